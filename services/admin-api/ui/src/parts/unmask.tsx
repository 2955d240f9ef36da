/** Showing what is masked: a right of its own, for a reason that goes into the audit log. */
import type { answered } from "@bitloot/admin-sdk";
import { useState } from "react";
import { useRight, type Right } from "../session";
import { ReasonDialog } from "./reason";

interface UnmaskProps<T> {
  readonly right: Right;
  readonly what: string;
  readonly ask: (reason: string) => Parameters<typeof answered<T>>[0];
  readonly show: (found: T) => void;
}

export function Unmask<T>({ right, what, ask, show }: UnmaskProps<T>) {
  const may = useRight(right);
  const [open, setOpen] = useState(false);
  if (!may) return null;
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        Show {what}…
      </button>
      <ReasonDialog<T>
        open={open}
        close={() => setOpen(false)}
        title={`Show ${what}`}
        about="That you looked, and why, is written down."
        verb="Show"
        spec={(reason) => ({
          send: () => ask(reason),
          follow: (found) => {
            show(found);
            setOpen(false);
            return { kind: "done", note: "shown." };
          },
        })}
      />
    </>
  );
}
