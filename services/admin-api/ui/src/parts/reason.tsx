/** Dialogs that want a written reason before anything is done. */
import { useState, type ReactNode } from "react";
import { ActionButton, ActionResult, useAction, type ActionSpec } from "./action";
import { Dialog } from "./dialog";

interface ReasonProps<T> {
  readonly open: boolean;
  readonly close: () => void;
  readonly title: string;
  readonly about: ReactNode;
  readonly verb: string;
  readonly danger?: boolean;
  readonly ready?: boolean;
  readonly spec: (reason: string) => ActionSpec<T>;
  readonly children?: ReactNode;
}

export function ReasonDialog<T>(props: ReasonProps<T>) {
  return (
    <Dialog open={props.open} close={props.close} title={props.title} about={props.about}>
      {props.open ? <Reason {...props} /> : null}
    </Dialog>
  );
}

function Reason<T>({ close, verb, danger = false, ready = true, spec, children }: ReasonProps<T>) {
  const [reason, setReason] = useState("");
  const action = useAction(spec(reason.trim()));
  const over = action.state.kind === "done";
  return (
    <div className="form">
      {children}
      <label>
        Reason, for the audit log
        <textarea value={reason} onChange={(event) => setReason(event.target.value)} maxLength={2000} />
      </label>
      <ActionResult state={action.state} />
      <div className="buttons end">
        <button type="button" onClick={close}>
          {over ? "Close" : "Not now"}
        </button>
        {reason.trim() !== "" && ready && !over ? (
          <ActionButton {...action} primary={!danger} danger={danger}>
            {verb}
          </ActionButton>
        ) : null}
      </div>
    </div>
  );
}
