/**
 * An order found by a code that somebody has, or by its last five characters. The code is in a field and in the body of one request:
 * it is in no address, no cache and no storage, and gone when the dialog is closed.
 */
import { answered, ProblemError, type Model } from "@bitloot/admin-sdk";
import { Link, useNavigate } from "@tanstack/react-router";
import { createContext, use, useCallback, useEffect, useRef, useState, type ReactNode } from "react";
import { canBeCode, LONGEST } from "../lib/code";
import { api } from "../session";
import { Empty, Failure, Loading, Status } from "./basics";
import { Dialog } from "./dialog";
import { UpTo } from "./fresh";
import { Time } from "./time";

type Found = Model<"FoundOrders">;

type State =
  | { readonly kind: "closed" | "asking" }
  | { readonly kind: "open"; readonly typed: string }
  | { readonly kind: "found"; readonly typed: string; readonly answer: Found }
  | { readonly kind: "failed"; readonly typed: string; readonly error: unknown };

const Opener = createContext<(code: string) => void>(() => undefined);

/** Opens the search; a code that is given is looked for at once. */
export function useCodeSearch(): (code: string) => void {
  return use(Opener);
}

export function CodeSearch({ children }: { readonly children: ReactNode }) {
  const [state, setState] = useState<State>({ kind: "closed" });
  const navigate = useNavigate();
  const asking = useRef<AbortController | null>(null);
  useEffect(() => () => asking.current?.abort(), []);
  const find = useCallback(
    async (code: string) => {
      asking.current?.abort();
      const control = new AbortController();
      asking.current = control;
      setState({ kind: "asking" });
      try {
        const answer = await answered(
          api.POST("/admin/orders/find-by-code", { body: { code: code.trim() }, signal: control.signal }),
        );
        if (control.signal.aborted) return;
        const [first] = answer.items;
        if (first && answer.items.length === 1 && first.foundBy === "code" && first.status !== null) {
          setState({ kind: "closed" });
          await navigate({ to: "/orders/$id", params: { id: first.orderId } });
        } else setState({ kind: "found", typed: code, answer });
      } catch (error) {
        if (!control.signal.aborted) setState({ kind: "failed", typed: code, error });
      }
    },
    [navigate],
  );
  const open = useCallback(
    (code: string) => {
      if (canBeCode(code)) void find(code);
      else setState({ kind: "open", typed: code });
    },
    [find],
  );
  const close = () => {
    asking.current?.abort();
    setState({ kind: "closed" });
  };
  return (
    <Opener value={open}>
      {children}
      <Dialog
        open={state.kind !== "closed"}
        close={close}
        title="Find an order by a code"
        about="By all of it, or by its last five characters. It is compared by keyed hashes: no stored code is opened, and this one is not kept. That you searched, and which orders you found, is written down."
      >
        {state.kind === "asking" ? <Loading what="Searching" /> : null}
        {state.kind === "open" || state.kind === "found" || state.kind === "failed" ? (
          <>
            <Question first={state.typed} find={(code) => void find(code)} />
            {state.kind === "found" ? <Answer found={state.answer} close={close} /> : null}
            {state.kind === "failed" ? <Trouble error={state.error} /> : null}
          </>
        ) : null}
      </Dialog>
    </Opener>
  );
}

function Question({ first, find }: { readonly first: string; readonly find: (code: string) => void }) {
  const [typed, setTyped] = useState(first);
  const sound = canBeCode(typed);
  return (
    <form
      className="form"
      autoComplete="off"
      onSubmit={(event) => {
        event.preventDefault();
        if (sound) find(typed);
      }}
    >
      <label>
        The code, or its last five characters
        <input
          value={typed}
          autoFocus
          maxLength={LONGEST}
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="off"
          onChange={(event) => setTyped(event.target.value)}
        />
      </label>
      <div className="buttons end">
        <button type="submit" className="primary" disabled={!sound}>
          Find
        </button>
      </div>
    </form>
  );
}

function Answer({ found, close }: { readonly found: Found; readonly close: () => void }) {
  if (found.items.length === 0)
    return (
      <Empty title={found.asOf ? "No order has this code, or one that ends like it." : "Nothing was found."}>
        <UpTo at={found.asOf} /> Pictures, and codes that were stored before this search was set up, cannot be found by
        it.
      </Empty>
    );
  return (
    <div role="status">
      <p>
        {found.items[0]?.foundBy === "code"
          ? "These orders have this very code:"
          : "No order has this very code. These have one with the same last five characters, which may be another one:"}
      </p>
      <ul className="rows">
        {found.items.map((each) => (
          <li key={`${each.orderId} ${each.reservationId ?? ""} ${each.firstSeenAt}`}>
            <Link to="/orders/$id" params={{ id: each.orderId }} onClick={close}>
              <code>{each.orderId}</code>
            </Link>
            <span className="end">
              <Time at={each.firstSeenAt} compact />{" "}
              {each.status === null ? <span className="faint">not read yet</span> : <Status of={each.status} />}
            </span>
          </li>
        ))}
      </ul>
      {found.more ? <p className="faint">There are more: the newest are shown. Give all of the code.</p> : null}
      <p className="faint">
        <UpTo at={found.asOf} />
      </p>
    </div>
  );
}

function Trouble({ error }: { readonly error: unknown }) {
  if (error instanceof ProblemError && error.status === 409)
    return (
      <div className="state failure" role="alert">
        <strong>The search by code is not set up.</strong>
        <p>{error.message} Nothing was searched.</p>
      </div>
    );
  return <Failure error={error} />;
}
