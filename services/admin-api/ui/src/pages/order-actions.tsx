/** What an admin can do about an order. */
import { answered, type Model } from "@bitloot/admin-sdk";
import { useMemo } from "react";
import { api } from "../api";
import { words, type Advice } from "../lib/order";
import { ActionButton, ActionResult, useAction, type Progress } from "../parts/action";

type Whole = Model<"WholeOrder">;

/** What an order's own record says of a click. */
export function clickProgress(order: Whole, actionId: string): Progress {
  const taken = order.timeline.some((each) => actionOf(each.payload) === actionId);
  if (!taken) return { kind: "running", note: "the order has not taken it up yet." };
  return order.status === "needs_review"
    ? { kind: "done", note: `taken up; the order waits for a human (${words(order.review?.cause ?? "")}).` }
    : { kind: "done", note: `taken up; the order is ${words(order.status)} now.` };
}

function actionOf(payload: unknown): unknown {
  return typeof payload === "object" && payload !== null
    ? (payload as Record<string, unknown>)["action_id"]
    : undefined;
}

export async function followOrder(id: string, actionId: string): Promise<Progress> {
  return clickProgress(await answered(api.GET("/admin/orders/{id}", { params: { path: { id } } })), actionId);
}

export function OrderActions({ order, advised }: { readonly order: Whole; readonly advised: Advice }) {
  const id = order.id;
  const reprocess = useAction(
    useMemo(
      () => ({
        send: (action: string) =>
          api.POST("/admin/orders/{id}/reprocess", { params: { path: { id }, header: { "Idempotency-Key": action } } }),
        follow: (answer: Model<"Accepted">) => followOrder(id, answer.actionId),
      }),
      [id],
    ),
  );
  return (
    <div className="actions">
      <div className="buttons">
        <ActionButton state={reprocess.state} run={reprocess.run} primary={advised.actions[0] === "reprocess"}>
          Reprocess
        </ActionButton>
      </div>
      <ActionResult state={reprocess.state} />
    </div>
  );
}
