/** Orders that wait for a human, grouped by their typed cause: never by text, which has ids and times in it. */
import type { Model } from "@bitloot/admin-sdk";

type Waiting = Pick<Model<"Order">, "id" | "review">;

export interface CauseGroup {
  readonly cause: string;
  readonly count: number;
  /** The one that has waited longest. */
  readonly first: Waiting;
  readonly oldest: string | null;
}

/** Return the groups, the largest first. */
export function grouped(orders: readonly Waiting[]): readonly CauseGroup[] {
  const groups = new Map<string, CauseGroup>();
  for (const order of orders) {
    const cause = order.review?.cause ?? "unknown";
    const since = order.review?.since ?? null;
    const known = groups.get(cause);
    const older = !known || (since !== null && (known.oldest === null || since < known.oldest));
    groups.set(cause, {
      cause,
      count: (known?.count ?? 0) + 1,
      first: older ? order : known.first,
      oldest: older ? since : known.oldest,
    });
  }
  return [...groups.values()].sort((a, b) => b.count - a.count || a.cause.localeCompare(b.cause));
}
