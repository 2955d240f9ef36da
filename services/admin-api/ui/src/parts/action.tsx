/** Buttons that never lie: each click has an id, and ends in done, refused with the reason, or still running. */
import { answered, ProblemError } from "@bitloot/admin-sdk";
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useReducer, useRef, type ReactNode } from "react";
import { failed, IDLE, step, underWay, type ActionState } from "../lib/action";
import { rest } from "../lib/rest";

type Outcome<T> = Parameters<typeof answered<T>>[0];

/** What is known of a click so far: over, with its end in words, or what it waits for. */
export type Progress =
  | { readonly kind: "done"; readonly note: string }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "running"; readonly note: string };

export interface ActionSpec<T> {
  /** Sends the click; the id goes along as the Idempotency-Key. */
  readonly send: (id: string) => Outcome<T>;
  /** Says how far it is. Asked for about every second until it is over. */
  readonly follow: (answer: T, id: string) => Promise<Progress> | Progress;
}

const LOOK_MS = 1000;
const LOOK_SLOWLY_MS = 5000;
const QUICK_LOOKS = 20;

export function useAction<T>(spec: ActionSpec<T>): { readonly state: ActionState; readonly run: () => void } {
  const [state, dispatch] = useReducer(step, IDLE);
  const queries = useQueryClient();
  const latest = useRef(state);
  const gone = useRef<AbortController | null>(null);
  useEffect(() => {
    latest.current = state;
  }, [state]);
  useEffect(() => () => gone.current?.abort(), []);

  const carryOut = useCallback(
    async (id: string, sentBefore: boolean, signal: AbortSignal) => {
      let accepted = false;
      try {
        const answer = await answered(spec.send(id));
        accepted = true;
        dispatch({ kind: "accepted", id, note: "Accepted; waiting for it to happen." });
        for (let looks = 0; !signal.aborted; looks += 1) {
          const progress = await spec.follow(answer, id);
          if (progress.kind === "done") dispatch({ kind: "finished", id, note: progress.note });
          else if (progress.kind === "refused") dispatch({ kind: "refused", id, reason: progress.reason });
          else dispatch({ kind: "progressed", id, note: progress.note });
          if (progress.kind !== "running") break;
          await rest(looks < QUICK_LOOKS ? LOOK_MS : LOOK_SLOWLY_MS, signal);
        }
      } catch (error) {
        if (signal.aborted) return;
        const status = error instanceof ProblemError ? error.status : 0;
        dispatch({ kind: failed(status, accepted, sentBefore), id, reason: reasonOf(error) });
      }
      await queries.invalidateQueries();
    },
    [spec, queries],
  );

  const run = useCallback(() => {
    const now = latest.current;
    const event = { kind: "clicked", newId: crypto.randomUUID() } as const;
    const next = step(now, event);
    if (next === now || next.kind !== "sending") return;
    latest.current = next; // the second click of a double click comes before React has rendered
    dispatch(event);
    gone.current?.abort();
    gone.current = new AbortController();
    void carryOut(next.id, now.kind === "unknown", gone.current.signal);
  }, [carryOut]);

  return { state, run };
}

function reasonOf(error: unknown): string {
  if (error instanceof ProblemError && error.errors.length > 0)
    return error.errors.map((each) => `${each.parameter}: ${each.detail}`).join(" ");
  return error instanceof Error ? error.message : String(error);
}

interface ButtonProps {
  readonly state: ActionState;
  readonly run: () => void;
  readonly children: ReactNode;
  readonly primary?: boolean;
  readonly danger?: boolean;
}

export function ActionButton({ state, run, children, primary = false, danger = false }: ButtonProps) {
  const busy = underWay(state);
  const look = [primary ? "primary" : "", danger ? "danger" : ""].join(" ");
  return (
    <button type="button" className={look} onClick={run} aria-disabled={busy} aria-busy={busy}>
      {busy ? <span className="spinner" aria-hidden="true" /> : null}
      {children}
    </button>
  );
}

/** How a click ended, or that it is still running. */
export function ActionResult({ state }: { readonly state: ActionState }) {
  return (
    <div className="action-result" role="status" data-action={state.kind}>
      {describe(state)}
    </div>
  );
}

function describe(state: ActionState): ReactNode {
  switch (state.kind) {
    case "idle":
      return null;
    case "sending":
      return <span className="busy">Sending…</span>;
    case "running":
      return <span className="busy">Still running: {state.note}</span>;
    case "done":
      return <span className="good">Done: {state.note}</span>;
    case "refused":
      return <span className="bad">Refused: {state.reason}</span>;
    case "unknown":
      return (
        <span className="warn">
          No answer came ({state.reason}). It may have been done; trying again is the same click.
        </span>
      );
  }
}
