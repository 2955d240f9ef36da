/** What an admin can do about an order, as far as their rights go. */
import { Menu } from "@base-ui/react/menu";
import { answered, type Model } from "@bitloot/admin-sdk";
import { useMemo, useState } from "react";
import type { Advice } from "../lib/order";
import { ActionButton, ActionResult, useAction, type ActionSpec, type Progress } from "../parts/action";
import { ReasonDialog } from "../parts/reason";
import { api, useRight } from "../session";

type Accepted = Model<"Accepted">;
type Resolution = Model<"Resolution">;
type Asked = "resolve" | "mail" | "address" | "revoke" | "return" | "erase";

const RESOLUTIONS: readonly (readonly [Resolution, string])[] = [
  ["retry", "Try again where it stopped"],
  ["mark_refunded", "The buyer has the money back"],
  ["delivered_by_hand", "The buyer has the keys, though not from here"],
  ["close", "Nothing more is to be done"],
];

// Orders that wait for nothing more: nothing has to be mailed any more, either.
const CLOSED: ReadonlySet<Model<"OrderStatus">> = new Set(["fulfilled", "canceled", "refunded", "failed"]);

/** What became of a click, as the API tells it. */
export async function follow({ actionId }: Accepted): Promise<Progress> {
  const action = await answered(api.GET("/admin/actions/{id}", { params: { path: { id: actionId } } }));
  if (action.status === "done") return { kind: "done", note: action.detail || "it was sent." };
  if (action.status === "refused") return { kind: "refused", reason: action.detail };
  return { kind: "running", note: action.detail };
}

export function OrderActions({ order, advised }: { readonly order: Model<"WholeOrder">; readonly advised: Advice }) {
  const id = order.id;
  const mayOperate = useRight("operate");
  const maySupport = useRight("support");
  const mayAdminister = useRight("administer");
  const [asked, setAsked] = useState<Asked | null>(null);
  const reprocess = useAction(
    useMemo(
      (): ActionSpec<Accepted> => ({
        send: (action) =>
          api.POST("/admin/orders/{id}/reprocess", { params: { path: { id }, header: { "Idempotency-Key": action } } }),
        follow,
      }),
      [id],
    ),
  );
  const close = () => setAsked(null);
  if (!mayOperate && !maySupport) return null;
  return (
    <div className="actions">
      <div className="buttons">
        {mayOperate ? (
          <ActionButton {...reprocess} primary={advised.actions[0] === "reprocess"}>
            Reprocess
          </ActionButton>
        ) : null}
        {mayOperate && order.status === "needs_review" ? (
          <button type="button" onClick={() => setAsked("resolve")}>
            Resolve…
          </button>
        ) : null}
        {maySupport ? (
          <Menu.Root>
            <Menu.Trigger>More ▾</Menu.Trigger>
            <Menu.Portal>
              <Menu.Positioner sideOffset={4} align="end">
                <Menu.Popup className="menu">
                  <Menu.Item onClick={() => setAsked("mail")}>Send the mail again…</Menu.Item>
                  <Menu.Item onClick={() => setAsked("address")}>Correct the mail address…</Menu.Item>
                  <Menu.Item onClick={() => setAsked("revoke")}>Revoke the order link…</Menu.Item>
                  {mayOperate && returnable(order) ? (
                    <Menu.Item onClick={() => setAsked("return")}>Return the keys to Kinguin…</Menu.Item>
                  ) : null}
                  {mayAdminister ? (
                    <Menu.Item onClick={() => setAsked("erase")}>Erase the buyer’s data…</Menu.Item>
                  ) : null}
                </Menu.Popup>
              </Menu.Positioner>
            </Menu.Portal>
          </Menu.Root>
        ) : null}
      </div>
      <ActionResult state={reprocess.state} />
      <Resolve id={id} open={asked === "resolve"} close={close} />
      <SendMail id={id} open={asked === "mail"} close={close} />
      <ChangeAddress id={id} open={asked === "address"} close={close} />
      <Revoke id={id} open={asked === "revoke"} close={close} />
      <ReturnKeys id={id} open={asked === "return"} close={close} />
      <EraseBuyer id={id} closed={CLOSED.has(order.status)} open={asked === "erase"} close={close} />
    </div>
  );
}

interface AskProps {
  readonly id: string;
  readonly open: boolean;
  readonly close: () => void;
}

const about = (id: string, action: string) => ({ path: { id }, header: { "Idempotency-Key": action } });

function Resolve({ id, open, close }: AskProps) {
  const [resolution, setResolution] = useState<Resolution>("retry");
  return (
    <ReasonDialog
      open={open}
      close={close}
      title="Resolve the review"
      about="You decide how this order goes on, or ends."
      verb="Resolve"
      spec={(reason) => ({
        send: (action) =>
          api.POST("/admin/orders/{id}/resolve", { params: about(id, action), body: { resolution, reason } }),
        follow,
      })}
    >
      <label>
        How
        <select
          value={resolution}
          onChange={(event) =>
            setResolution(RESOLUTIONS.find(([value]) => value === event.target.value)?.[0] ?? "retry")
          }
        >
          {RESOLUTIONS.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </label>
    </ReasonDialog>
  );
}

function SendMail({ id, open, close }: AskProps) {
  const [kind, setKind] = useState<"keys" | "page">("keys");
  return (
    <ReasonDialog
      open={open}
      close={close}
      title="Send the mail again"
      about="It is rendered anew, with a link of its own."
      verb="Send"
      spec={(reason) => ({
        send: (action) => api.POST("/admin/orders/{id}/mails", { params: about(id, action), body: { kind, reason } }),
        follow,
      })}
    >
      <label>
        Which
        <select value={kind} onChange={(event) => setKind(event.target.value === "page" ? "page" : "keys")}>
          <option value="keys">With the link to the keys</option>
          <option value="page">With the order page alone</option>
        </select>
      </label>
    </ReasonDialog>
  );
}

function ChangeAddress({ id, open, close }: AskProps) {
  const [email, setEmail] = useState("");
  const sound = /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(email.trim());
  return (
    <ReasonDialog
      open={open}
      close={close}
      title="Correct the mail address"
      about="Links to the order page that were sent before open nothing any more."
      verb="Change"
      ready={sound}
      spec={(reason) => ({
        send: (action) =>
          api.POST("/admin/orders/{id}/address", { params: about(id, action), body: { email: email.trim(), reason } }),
        follow,
      })}
    >
      <label>
        The right address
        <input
          type="email"
          value={email}
          onChange={(event) => setEmail(event.target.value)}
          maxLength={254}
          autoComplete="off"
        />
      </label>
    </ReasonDialog>
  );
}

function Revoke({ id, open, close }: AskProps) {
  return (
    <ReasonDialog
      open={open}
      close={close}
      title="Revoke the order link"
      about="No link to the order page that was given out before opens anything any more."
      verb="Revoke"
      danger
      spec={(reason) => ({
        send: (action) => api.POST("/admin/orders/{id}/revoke-link", { params: about(id, action), body: { reason } }),
        follow,
      })}
    />
  );
}

/** Whether there may be something to give back: bought, and neither downloaded nor given back yet. */
function returnable(order: Model<"WholeOrder">): boolean {
  return order.reservations.some((each) => each.givenAt !== null && each.deliveredAt === null && each.endedAt === null);
}

function ReturnKeys({ id, open, close }: AskProps) {
  return (
    <ReasonDialog
      open={open}
      close={close}
      title="Return the keys to Kinguin"
      about="Kinguin takes back, within 24 hours, what was bought and nobody has downloaded. The buyer does not get these keys; the order waits for you afterwards."
      verb="Return"
      danger
      spec={(reason) => ({
        send: (action) => api.POST("/admin/orders/{id}/return-keys", { params: about(id, action), body: { reason } }),
        follow,
      })}
    />
  );
}

const PROOF_LENGTH = 8;

/** What an erasure takes with it cannot be had back: whoever asks for it says which order they mean. */
function EraseBuyer({ id, closed, open, close }: AskProps & { readonly closed: boolean }) {
  const [meant, setMeant] = useState("");
  const [evenOpen, setEvenOpen] = useState(false);
  return (
    <ReasonDialog
      open={open}
      close={close}
      title="Erase the buyer’s data"
      about="The mail address of this order goes for good, from the database and from Kafka: its key is destroyed. What was bought, when and for how much stays, and its page goes on showing the keys to whoever has the link."
      verb="Erase for good"
      danger
      ready={meant.trim().toLowerCase() === id.slice(0, PROOF_LENGTH) && (closed || evenOpen)}
      spec={(reason) => ({
        send: (action) =>
          api.POST("/admin/orders/{id}/erase", {
            params: about(id, action),
            body: { reason, evenOpen: evenOpen && !closed },
          }),
        follow: async (accepted: Accepted) => {
          const progress = await follow(accepted);
          return progress.kind === "done" ? { kind: "done", note: "the buyer’s data is erased." } : progress;
        },
      })}
    >
      {closed ? null : (
        <label className="check">
          <input type="checkbox" checked={evenOpen} onChange={(event) => setEvenOpen(event.target.checked)} />
          Even though the order is open: not even paid keys can be mailed afterwards
        </label>
      )}
      <label>
        The first {PROOF_LENGTH} characters of the order’s id
        <input
          value={meant}
          onChange={(event) => setMeant(event.target.value)}
          maxLength={36}
          autoComplete="off"
          spellCheck={false}
        />
      </label>
    </ReasonDialog>
  );
}
