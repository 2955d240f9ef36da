/** One order: what it waits for, what to do, and its whole story. */
import { answered, type Model } from "@bitloot/admin-sdk";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { api } from "../session";
import { advice, words } from "../lib/order";
import { safeLink } from "../lib/search";
import { story, type Step } from "../lib/story";
import { duration } from "../lib/time";
import { useRefresh } from "../live";
import { Amount, Badge, Empty, Fact, Failure, Found, Id, PageHead, Panel, Status } from "../parts/basics";
import { UpTo } from "../parts/fresh";
import { Payload } from "../parts/payload";
import { Ago, Time } from "../parts/time";
import { Unmask } from "../parts/unmask";
import { OrderActions } from "./order-actions";

type Whole = Model<"WholeOrder">;

export function Order() {
  const { id } = useParams({ from: "/orders/$id" });
  const refetchInterval = useRefresh();
  const found = useQuery({
    queryKey: ["order", id],
    queryFn: ({ signal }) => answered(api.GET("/admin/orders/{id}", { params: { path: { id } }, signal })),
    refetchInterval,
  });
  // By its id: what was clicked, typed or shown at one order is nothing of the next one.
  return (
    <Found from={found} what="the order">
      {(order) => <Loaded key={order.id} order={order} />}
    </Found>
  );
}

function Loaded({ order: found }: { readonly order: Whole }) {
  const [shown, setShown] = useState<Whole | null>(null);
  // What was unmasked is masked again once something has changed.
  const order = shown?.id === found.id && shown.version === found.version ? shown : found;
  const advised = advice(order);
  return (
    <>
      <PageHead
        title={
          <>
            Order <code className="h-id">{order.id.slice(0, 8)}</code> <Status of={order.status} />
          </>
        }
        about={
          <>
            <span>{order.email ?? "No mail address"}</span> · <Amount value={order.total} currency={order.currency} /> ·
            changed <Ago at={order.updatedAt} /> · <UpTo at={found.asOf} />
          </>
        }
      >
        {order.email?.includes("***@") ? (
          <Unmask<Whole>
            right="read_addresses"
            what="the address"
            ask={(reason) =>
              api.POST("/admin/orders/{id}/unmask", { params: { path: { id: order.id } }, body: { reason } })
            }
            show={setShown}
          />
        ) : null}
      </PageHead>
      <section className={`advice ${advised.tone}`} aria-label="What to do">
        <div>
          <h2>{advised.title}</h2>
          <p>{advised.text}</p>
        </div>
        <OrderActions order={order} advised={advised} />
      </section>
      <div className="columns">
        <Timeline order={order} />
        <div className="stack">
          <ClicksPart id={order.id} />
          <Facts order={order} />
          <Items order={order} />
          <PaymentsPart order={order} />
          <PurchasesPart order={order} />
          <KeysPart order={order} />
          <MailsPart order={order} />
        </div>
      </div>
    </>
  );
}

function Timeline({ order }: { readonly order: Whole }) {
  const steps = useMemo(() => story(order), [order]);
  return (
    <Panel title="Timeline" aside={<span className="faint">{steps.length} steps, oldest first</span>}>
      {steps.length === 0 ? (
        <Empty title="Nothing has happened yet." />
      ) : (
        <ol className="timeline">
          {steps.map((step) => (
            <StepRow key={step.key} step={step} />
          ))}
        </ol>
      )}
    </Panel>
  );
}

function StepRow({ step }: { readonly step: Step }) {
  const [open, setOpen] = useState(false);
  return (
    <li className={step.tone}>
      <button type="button" className="step" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span className="step-title">{step.title}</span>
        <span className="step-text">{step.text}</span>
        {step.repeats > 0 ? <Badge>told {step.repeats + 1}×</Badge> : null}
        <span className="step-gap faint">{step.gapSeconds === null ? "" : `+${duration(step.gapSeconds)}`}</span>
      </button>
      <Time at={step.at} compact />
      {open ? <Payload text={JSON.stringify(step.payload, null, 2)} label={`Record of ${step.title}`} /> : null}
    </li>
  );
}

function Facts({ order }: { readonly order: Whole }) {
  const pay = safeLink(order.payUrl);
  return (
    <Panel title="Facts">
      <dl className="facts">
        <Fact name="Order">
          <Id value={order.id} length={36} />
        </Fact>
        <Fact name="Time to key">{order.timeToKeySeconds === null ? "—" : duration(order.timeToKeySeconds)}</Fact>
        <Fact name="Placed">
          <Time at={order.placedAt} />
        </Fact>
        <Fact name="Paid">
          <Time at={order.paidAt} />
        </Fact>
        <Fact name="Bought">
          <Time at={order.purchasedAt} />
        </Fact>
        <Fact name="Stored">
          <Time at={order.storedAt} />
        </Fact>
        <Fact name="Mailed">
          <Time at={order.mailedAt} />
        </Fact>
        <Fact name="Key seen">
          <Time at={order.revealedAt} />
        </Fact>
        <Fact name="Invoice">
          {pay ? (
            <a href={pay} target="_blank" rel="noreferrer noopener">
              {order.invoiceId ?? "Open"}
            </a>
          ) : (
            (order.invoiceId ?? "—")
          )}
        </Fact>
        <Fact name="Notifications">
          <Link to="/webhook-logs" search={{ orderId: order.id }}>
            All that named this order
          </Link>
        </Fact>
      </dl>
    </Panel>
  );
}

function Items({ order }: { readonly order: Whole }) {
  return (
    <Panel title={`Items (${order.items.length})`}>
      <ul className="rows">
        {order.items.map((item) => (
          <li key={item.id}>
            <span>
              <strong>{item.quantity}×</strong> {item.title}{" "}
              <Link to="/orders" search={{ productId: item.productId }} className="faint">
                {item.productId}
              </Link>
            </span>
            <span className="end">
              <Amount value={item.unitPrice} currency={order.currency} /> <Status of={item.status} />
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function PaymentsPart({ order }: { readonly order: Whole }) {
  return (
    <Panel title={`Payments (${order.payments.length})`}>
      {order.payments.length === 0 ? (
        <p className="state">None yet.</p>
      ) : (
        <ul className="rows">
          {order.payments.map((payment) => (
            <li key={payment.id}>
              <span>
                <Id value={payment.id} length={12} />{" "}
                <Amount value={payment.actuallyPaid ?? payment.payAmount} currency={payment.payCurrency} />{" "}
                <span className="faint">of</span>{" "}
                <Amount value={payment.priceAmount} currency={payment.priceCurrency} />
              </span>
              <span className="end">
                <Status of={payment.status} /> <Status of={payment.verdict} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function PurchasesPart({ order }: { readonly order: Whole }) {
  return (
    <Panel title={`Purchases (${order.reservations.length})`}>
      {order.reservations.length === 0 ? (
        <p className="state">None yet.</p>
      ) : (
        <ul className="rows">
          {order.reservations.map((each) => (
            <li key={each.id}>
              <Id value={each.id} length={16} />
              <span className="end">
                <Time at={each.reservedAt} compact /> <Status of={each.status} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function KeysPart({ order }: { readonly order: Whole }) {
  return (
    <Panel title={`Keys (${order.keys.length})`} aside={<span className="faint">never shown here</span>}>
      {order.keys.length === 0 ? (
        <p className="state">None stored yet.</p>
      ) : (
        <ul className="rows">
          {order.keys.map((key) => (
            <li key={`${key.orderItemId} ${key.position}`}>
              <code className="clip" title={key.storageRef}>
                {key.storageRef}
              </code>
              <span className="end">
                {key.viewedAt ? (
                  <>
                    seen <Ago at={key.viewedAt} />
                  </>
                ) : (
                  <span className="faint">not seen</span>
                )}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function MailsPart({ order }: { readonly order: Whole }) {
  return (
    <Panel title={`Mails (${order.mails.length})`}>
      {order.mails.length === 0 ? (
        <p className="state">None yet.</p>
      ) : (
        <ul className="rows">
          {order.mails.map((mail) => (
            <li key={mail.id}>
              <span>
                {mail.subject}{" "}
                <span className="faint">
                  {words(mail.kind)} to {mail.recipient}, {mail.attempts} {mail.attempts === 1 ? "try" : "tries"}
                </span>
                {mail.lastError ? <span className="bad"> {mail.lastError}</span> : null}
              </span>
              <span className="end">
                <Time at={mail.acceptedAt ?? mail.renderedAt} compact /> <Status of={mail.status} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

/** What admins asked of this order and what became of it, also after the page was left. */
function ClicksPart({ id }: { readonly id: string }) {
  const refetchInterval = useRefresh();
  const found = useQuery({
    queryKey: ["list", "actions", "order", id],
    queryFn: ({ signal }) =>
      answered(api.GET("/admin/actions", { params: { query: { orderId: id, limit: 5 } }, signal })),
    refetchInterval,
  });
  if (found.isError) return <Failure error={found.error} retry={() => void found.refetch()} />;
  if (!found.data || found.data.items.length === 0) return null;
  return (
    <Panel
      title={`Actions (${found.data.total})`}
      aside={
        <Link to="/actions" search={{ orderId: id }}>
          All
        </Link>
      }
    >
      <ul className="rows">
        {found.data.items.map((action) => (
          <li key={action.actionId}>
            <span>
              {words(action.kind.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`))}{" "}
              <span className="faint">
                by {action.actor}, <Ago at={action.askedAt} />
                {action.detail ? `. ${action.detail}` : ""}
              </span>
            </span>
            <span className="end">
              <Status of={action.status} />
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
