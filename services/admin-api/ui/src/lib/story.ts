/** An order's events as a story that a person can read: pure. */
import type { Model } from "@bitloot/admin-sdk";
import type { Tone } from "./order";

export interface Step {
  readonly key: string;
  readonly title: string;
  readonly text: string;
  readonly at: string;
  readonly gapSeconds: number | null;
  readonly repeats: number;
  readonly tone: Tone;
  readonly payload: unknown;
}

type Fields = Readonly<Record<string, unknown>>;
type Telling = readonly [title: string, tone: Tone, ...fields: string[]];

const TELLINGS: Readonly<Record<string, Telling>> = {
  "order.placed": ["Order placed", "quiet", "email", "total", "currency"],
  "payment.updated": ["Payment", "busy", "status", "actually_paid", "pay_currency", "source"],
  "purchase.placed": ["Bought at Kinguin", "busy", "reservation_id"],
  "purchases.found": ["Looked up at Kinguin", "busy"],
  "reservation.given": ["Kinguin gave the key", "busy", "reservation_id"],
  "kinguin.notified": ["Kinguin told", "busy", "notice", "reservation_id"],
  "codes.received": ["Codes received and sealed", "busy", "codes"],
  "codes.pending": ["Codes are not there yet", "quiet", "retry_after"],
  "keys.stored": ["Keys stored", "busy", "object_key"],
  "mail.sent": ["Mail accepted", "good", "provider_message_id"],
  "keys.revealed": ["Buyer saw the key", "good"],
  "effect.failed": ["Failed", "bad", "failure", "cause", "detail"],
  "reprocess.requested": ["Reprocess", "warn", "actor", "reason"],
  "review.resolved": ["Review resolved", "warn", "resolution", "actor", "reason"],
  "mail.requested": ["Mail asked for again", "warn", "actor", "kind"],
  "mail.delivery_updated": ["Mail", "busy", "status", "delivery"],
  "email.changed": ["Mail address changed", "warn", "actor", "email"],
  "link.revoked": ["Order link revoked", "warn", "actor", "reason"],
  "keys.return_requested": ["Return of keys asked for", "warn", "actor", "reason"],
  "timer.fired": ["Timer", "quiet"],
  "order.retired": ["Retired", "quiet"],
};

/** Return the steps, oldest first. An event that this desk has never heard of is told by its name. */
export function story(order: Pick<Model<"WholeOrder">, "timeline">): readonly Step[] {
  return order.timeline.map((happening) => {
    const payload = happening.payload;
    const fields: Fields =
      typeof payload === "object" && payload !== null && !Array.isArray(payload) ? (payload as Fields) : {};
    const [title, tone, ...names] = TELLINGS[happening.type] ?? ([happening.type, "quiet"] as Telling);
    return {
      key: happening.eventId,
      title: happening.type === "effect.failed" ? failedEffect(title, fields["effect_id"]) : title,
      tone,
      text: names
        .map((name) => shown(name, fields[name]))
        .filter((part) => part !== "")
        .join(" · "),
      at: happening.occurredAt,
      gapSeconds: happening.sincePreviousSeconds,
      repeats: happening.repeats,
      payload,
    };
  });
}

/** Which call failed, and which try it was: effect ids end in "kind/attempt". */
function failedEffect(title: string, id: unknown): string {
  const found = typeof id === "string" ? /\/([a-z_]+)\/(\d+)$/.exec(id) : null;
  return found ? `${title}: ${(found[1] ?? "").replaceAll("_", " ")}, try ${found[2] ?? ""}` : title;
}

function shown(name: string, value: unknown): string {
  if (typeof value === "string")
    return name === "status" || name === "cause" || name === "failure" || name === "resolution"
      ? value.replaceAll("_", " ")
      : value;
  if (typeof value === "number") return name === "codes" ? `${value} ${value === 1 ? "code" : "codes"}` : String(value);
  return "";
}
