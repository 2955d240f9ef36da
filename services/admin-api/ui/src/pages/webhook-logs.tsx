/** Notifications: the list, and one of them with its payload and how it differs from its neighbors. */
import { answered, type Model } from "@bitloot/admin-sdk";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Unmask } from "../parts/unmask";
import { api, useRight } from "../session";
import type { Paging, Search } from "../lib/search";
import { PROVIDERS } from "../lib/statuses";
import { ActionButton, ActionResult, useAction } from "../parts/action";
import { Badge, Fact, Found, Id, PageHead, Panel } from "../parts/basics";
import type { FilterSpec } from "../parts/filters";
import { List, type Column } from "../parts/list";
import { Difference, Payload } from "../parts/payload";
import { Ago, Time } from "../parts/time";
import { OrderLink, question } from "./lists";

type Log = Model<"WebhookLog">;

const HIDDEN = "(hidden)"; // what stands for a body that may not be seen

export const WEBHOOK_FILTERS: readonly FilterSpec[] = [
  { name: "orderId", label: "Order", kind: "text", wide: true },
  { name: "provider", label: "Provider", kind: "choice", choices: PROVIDERS },
  { name: "eventType", label: "Event", kind: "text" },
];

const COLUMNS: readonly Column<Log>[] = [
  {
    id: "id",
    header: "Notification",
    cell: (row) => (
      <Link to="/webhook-logs/$id" params={{ id: String(row.id) }}>
        {row.provider} · {row.eventType}
      </Link>
    ),
  },
  {
    id: "external",
    header: "About",
    cell: (row) => <Id value={row.externalId} length={16} />,
  },
  { id: "order", header: "Order", cell: (row) => <OrderLink id={row.orderId} /> },
  {
    id: "verdict",
    header: "Verified by",
    cell: (row) => <Badge tone={row.matched ? "good" : "bad"}>{row.matched || "nothing"}</Badge>,
  },
  {
    id: "repeats",
    header: "Repeats",
    align: "right",
    cell: (row) => (row.repeats > 0 ? <strong>{row.repeats}</strong> : <span className="faint">0</span>),
  },
  {
    id: "note",
    header: "Note",
    cell: (row) => (
      <span className="clip" title={row.note}>
        {row.note || "—"}
      </span>
    ),
  },
  {
    id: "first",
    header: "First",
    cell: (row) => <Time at={row.firstReceivedAt} compact />,
  },
  { id: "last", header: "Last", cell: (row) => <Time at={row.lastReceivedAt} /> },
];

const load = (search: Search, paging: Paging, signal: AbortSignal) =>
  answered(
    api.GET("/admin/webhook-logs", { params: { query: question("/admin/webhook-logs", search, paging) }, signal }),
  );

export function WebhookLogs() {
  return (
    <List
      page="webhook-logs"
      title="Webhook logs"
      about="What providers told, as it came, with codes hidden."
      filters={WEBHOOK_FILTERS}
      columns={COLUMNS}
      rowId={(row) => String(row.id)}
      load={load}
      csv={{ path: "/admin/webhook-logs.csv", masked: "read_bodies" }}
      empty="No provider has told anything yet."
    />
  );
}

export function WebhookLogPage() {
  const { id } = useParams({ from: "/webhook-logs/$id" });
  const number = Number(id);
  const found = useQuery({
    queryKey: ["webhook-log", id],
    queryFn: ({ signal }) =>
      answered(api.GET("/admin/webhook-logs/{id}", { params: { path: { id: number } }, signal })),
  });
  return (
    <Found from={found} what="the notification">
      {(log) => <Loaded key={log.id} log={log} />}
    </Found>
  );
}

function Loaded({ log: found }: { readonly log: Log }) {
  const [shown, setShown] = useState<Log | null>(null);
  const log = shown?.id === found.id ? shown : found;
  const may = useRight("operate");
  const reprocess = useAction(
    useMemo(
      () => ({
        send: (action: string) =>
          api.POST("/admin/webhook-logs/{id}/reprocess", {
            params: { path: { id: log.id }, header: { "Idempotency-Key": action } },
          }),
        follow: () =>
          ({
            kind: "done",
            note: "its event was published again; what came of it shows in the order's timeline.",
          }) as const,
      }),
      [log.id],
    ),
  );
  return (
    <>
      <PageHead
        title={
          <>
            {log.provider} · {log.eventType}
          </>
        }
        about={
          <>
            about <code>{log.externalId}</code>, last <Ago at={log.lastReceivedAt} />
          </>
        }
      >
        <ActionResult state={reprocess.state} />
        {log.body === HIDDEN ? (
          <Unmask<Log>
            right="read_bodies"
            what="the body"
            ask={(reason) =>
              api.POST("/admin/webhook-logs/{id}/unmask", { params: { path: { id: log.id } }, body: { reason } })
            }
            show={setShown}
          />
        ) : null}
        {may ? (
          <ActionButton {...reprocess} primary>
            Reprocess
          </ActionButton>
        ) : null}
      </PageHead>
      <div className="columns">
        <div className="stack">
          <Panel title="Body" aside={log.bodyCut ? <Badge tone="warn">cut: the whole is in Kafka</Badge> : null}>
            <Payload text={log.body} label="Body" />
          </Panel>
          <Panel title="What was published for it">
            <Payload text={JSON.stringify(log.event, null, 2)} label="Event" />
          </Panel>
          <Compare log={log} />
        </div>
        <div className="stack">
          <Panel title="Facts">
            <dl className="facts">
              <Fact name="Order">
                <OrderLink id={log.orderId} length={36} />
              </Fact>
              <Fact name="Verified by">{log.matched || "nothing"}</Fact>
              <Fact name="Note">{log.note || "—"}</Fact>
              <Fact name="From">
                <code>{log.remoteAddress}</code>
              </Fact>
              <Fact name="Repeats">{log.repeats}</Fact>
              <Fact name="First">
                <Time at={log.firstReceivedAt} />
              </Fact>
              <Fact name="Last">
                <Time at={log.lastReceivedAt} />
              </Fact>
              <Fact name="Published to">{log.eventTopic ?? "nowhere"}</Fact>
              <Fact name="SHA-256">
                <Id value={log.bodySha256} length={16} />
              </Fact>
            </dl>
          </Panel>
          <Panel title="Headers">
            <dl className="facts">
              {Object.entries(log.headers).map(([name, value]) => (
                <Fact key={name} name={name}>
                  <code>{value}</code>
                </Fact>
              ))}
            </dl>
          </Panel>
        </div>
      </div>
    </>
  );
}

/** The notifications of the same order, each beside this one. */
function Compare({ log }: { readonly log: Log }) {
  const [chosen, setChosen] = useState<number | null>(null);
  const others = useQuery({
    queryKey: ["list", "webhook-logs", "beside", log.id],
    queryFn: async ({ signal }) => {
      const { items } = await answered(
        api.GET("/admin/webhook-logs", {
          params: {
            query: {
              provider: log.provider as "kinguin",
              limit: 100,
              ...(log.orderId ? { orderId: log.orderId } : {}),
            },
          },
          signal,
        }),
      );
      return items.filter((each) => each.id !== log.id && (log.orderId !== null || each.externalId === log.externalId));
    },
  });
  const other = others.data?.find((each) => each.id === chosen) ?? others.data?.[0];
  if (!other || log.body === HIDDEN) return null;
  return (
    <Panel
      title="Difference"
      aside={
        <label className="inline">
          from{" "}
          <select value={other.id} onChange={(event) => setChosen(Number(event.target.value))}>
            {others.data?.map((each) => (
              <option key={each.id} value={each.id}>
                {each.eventType} · {each.lastReceivedAt.slice(0, 19).replace("T", " ")} UTC
              </option>
            ))}
          </select>
        </label>
      }
    >
      <Difference before={other.body} after={log.body} label="Difference between the two bodies" />
    </Panel>
  );
}
