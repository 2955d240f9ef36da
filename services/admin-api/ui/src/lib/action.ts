/**
 * A click and what becomes of it, as a pure machine. Each deliberate click has an id of its own; while it is under way another
 * click is the same one; when no answer came nobody knows whether it was done, so trying again says the same id.
 */

export type ActionState =
  | { readonly kind: "idle" }
  | { readonly kind: "sending"; readonly id: string }
  | { readonly kind: "running"; readonly id: string; readonly note: string }
  | { readonly kind: "done"; readonly id: string; readonly note: string }
  | { readonly kind: "refused"; readonly id: string; readonly reason: string }
  | { readonly kind: "unknown"; readonly id: string; readonly reason: string };

export type ActionEvent =
  | { readonly kind: "clicked"; readonly newId: string }
  | { readonly kind: "accepted"; readonly id: string; readonly note: string }
  | { readonly kind: "progressed"; readonly id: string; readonly note: string }
  | { readonly kind: "finished"; readonly id: string; readonly note: string }
  | { readonly kind: "refused"; readonly id: string; readonly reason: string }
  | { readonly kind: "lost"; readonly id: string; readonly reason: string };

export const IDLE: ActionState = { kind: "idle" };

/** Return the next state. What belongs to an older click changes nothing. */
export function step(state: ActionState, event: ActionEvent): ActionState {
  if (event.kind === "clicked") {
    if (underWay(state)) return state;
    return { kind: "sending", id: state.kind === "unknown" ? state.id : event.newId };
  }
  if (state.kind === "idle" || state.id !== event.id || !underWay(state)) return state;
  switch (event.kind) {
    case "accepted":
    case "progressed":
      return { kind: "running", id: event.id, note: event.note };
    case "finished":
      return { kind: "done", id: event.id, note: event.note };
    case "refused":
      return { kind: "refused", id: event.id, reason: event.reason };
    case "lost":
      return { kind: "unknown", id: event.id, reason: event.reason };
  }
}

/** Answers to a request as such, given before anybody looked at the click that it tells of. */
const NOT_JUDGED: ReadonlySet<number> = new Set([401, 403, 408, 429]);

/**
 * What a failure says of a click, by its status (0: no answer). Once a click was accepted, only its follower can call it refused;
 * and one that was sent before may have been done then, unless it was judged now.
 */
export function failed(status: number, accepted: boolean, sentBefore: boolean): "refused" | "lost" {
  if (accepted || status === 0 || status >= 500) return "lost";
  return sentBefore && NOT_JUDGED.has(status) ? "lost" : "refused";
}

/** Whether a click is being carried out. */
export function underWay(state: ActionState): boolean {
  return state.kind === "sending" || state.kind === "running";
}
