/** How fresh what is shown is: by when all that had happened is in it. */
import { Time } from "./time";

export function UpTo({ at }: { readonly at: string | null | undefined }) {
  if (!at) return <span>How far the read model has come is not known: newer things may be missing.</span>;
  return (
    <span>
      All that had happened by <Time at={at} /> is in it.
    </span>
  );
}
