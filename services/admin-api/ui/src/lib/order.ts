/** What an order needs from a human, in plain words. */
import type { Model } from "@bitloot/admin-sdk";

export type Tone = "good" | "busy" | "warn" | "bad" | "quiet";

const TONES: Readonly<Record<string, Tone>> = {
  fulfilled: "good",
  finished: "good",
  accepted: "good",
  delivered: "good",
  sent: "good",
  done: "good",
  stored: "good",
  confirmed: "good",
  paid: "busy",
  purchasing: "busy",
  delivering: "busy",
  buying: "busy",
  running: "busy",
  reserved: "busy",
  given: "busy",
  bought: "busy",
  received: "busy",
  confirming: "busy",
  sending: "busy",
  rendered: "busy",
  scheduled: "busy",
  delayed: "warn",
  needs_review: "warn",
  partially_paid: "warn",
  mismatch: "warn",
  underpaid: "warn",
  late: "warn",
  extra: "warn",
  reversed: "warn",
  unplaced: "warn",
  failed: "bad",
  refused: "bad",
  bounced: "bad",
  complained: "bad",
  suppressed: "bad",
  down: "bad",
  unknown: "bad",
};

/** How a status looks; one that nobody has heard of yet looks quiet. */
export function tone(status: string): Tone {
  return TONES[status] ?? "quiet";
}

/** A status or a cause as words. */
export function words(name: string): string {
  return name.replaceAll("_", " ").replaceAll(".", " · ");
}

/** Words from a machine as a sentence. */
function sentence(text: string): string {
  return text === "" || /[.!?]$/.test(text) ? text : `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

export interface Advice {
  readonly tone: Tone;
  readonly title: string;
  readonly text: string;
  /** What helps; the first is the usual one. */
  readonly actions: readonly ("reprocess" | "resolve" | "resend")[];
}

type Whole = Pick<Model<"WholeOrder">, "status" | "review" | "mailedAt" | "revealedAt" | "payments">;

// By the causes of bitloot.errors.Cause.
const REVIEW_HELP: Readonly<Record<string, string>> = {
  out_of_stock: "Kinguin has nothing to sell at the moment. Try again later, or refund the buyer.",
  not_visible: "The offer is not on sale. Try again when it is, or refund the buyer.",
  price_changed:
    "The offer costs more than the order allows. Reprocess when the price is right again, or refund the buyer.",
  insufficient_balance: "The account at Kinguin has too little money. Top it up, then reprocess.",
  cannot_ask:
    "Nobody can tell whether Kinguin sold the key. Look it up there first: reprocessing may buy a second one.",
  amount_mismatch: "Another amount or currency came than was asked for. Settle it with the buyer, then resolve.",
  mail_outcome_unknown:
    "The mail may have gone out, too long ago to be repeated as the same one. Ask the buyer, then reprocess.",
  bad_recipient: "The mail address is refused for good. Get the right one from the buyer.",
  attempts_exhausted: "All automatic tries failed. Look at the timeline, then reprocess.",
  stuck: "It has not moved for too long. Look at the timeline, then reprocess.",
  refunded: "Kinguin sent the money back. Reprocess buys anew, or refund the buyer.",
  canceled: "Kinguin ended the purchase. Reprocess buys anew, or refund the buyer.",
};

/** Say what an order waits for and what an admin can do about it. */
export function advice(order: Whole): Advice {
  switch (order.status) {
    case "needs_review": {
      const cause = order.review?.cause ?? "unknown cause";
      const help = REVIEW_HELP[cause];
      return {
        tone: "warn",
        title: `Waits for you: ${words(cause)}`,
        text: [sentence(order.review?.detail ?? ""), help].filter(Boolean).join(" "),
        actions: ["reprocess", "resolve"],
      };
    }
    case "awaiting_payment": {
      const begun = order.payments.some((payment) => payment.status !== "waiting");
      return {
        tone: "busy",
        title: "Waits for the payment",
        text: begun
          ? "A payment has begun and is not final yet. It goes on by itself."
          : "Nothing has been paid yet. It goes on by itself when a payment is final.",
        actions: [],
      };
    }
    case "unplaced":
      return {
        tone: "warn",
        title: "Never placed here",
        text: "A notification named this order, but the shop never placed it.",
        actions: [],
      };
    case "paid":
    case "purchasing":
    case "delivering":
      return {
        tone: "busy",
        title: "Under way",
        text: "It goes on by itself, also after a failure. Reprocess makes it try again at once.",
        actions: ["reprocess"],
      };
    case "fulfilled":
      return order.revealedAt
        ? {
            tone: "good",
            title: "Fulfilled, and the buyer has seen the key",
            text: "Nothing is left to do.",
            actions: [],
          }
        : {
            tone: "good",
            title: "Fulfilled",
            text: "The mail is out; the buyer has not looked at the key yet.",
            actions: ["resend"],
          };
    case "canceled":
    case "refunded":
    case "failed":
      return { tone: "quiet", title: `Closed: ${words(order.status)}`, text: "Nothing is left to do.", actions: [] };
  }
}
