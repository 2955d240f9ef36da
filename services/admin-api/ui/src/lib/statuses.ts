/** The values that filters offer. The type checker compares them with the API's. */
import type { Model } from "@bitloot/admin-sdk";

export const ORDER_STATUSES = [
  "awaiting_payment",
  "paid",
  "purchasing",
  "delivering",
  "needs_review",
  "fulfilled",
  "canceled",
  "refunded",
  "failed",
  "unplaced",
] as const satisfies readonly Model<"OrderStatus">[];

export const PAYMENT_STATUSES = [
  "waiting",
  "confirming",
  "confirmed",
  "sending",
  "partially_paid",
  "finished",
  "failed",
  "expired",
  "refunded",
  "canceled",
  "unknown",
] as const satisfies readonly Model<"PaymentStatus">[];

export const RESERVATION_STATUSES = [
  "reserved",
  "given",
  "delivered",
  "canceled",
  "reversed",
] as const satisfies readonly Model<"ReservationStatus">[];

export const PROVIDERS = ["nowpayments", "kinguin", "kinguin-seller", "resend"] as const;
