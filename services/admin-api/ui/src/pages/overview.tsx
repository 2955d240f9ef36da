/** What goes on now, and what needs a human. */
import { answered, type Model } from "@bitloot/admin-sdk";
import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api } from "../session";
import { grouped } from "../lib/causes";
import { tone, words } from "../lib/order";
import { duration } from "../lib/time";
import { useRefresh } from "../live";
import { Badge, Empty, Failure, Loading, PageHead, Panel } from "../parts/basics";
import { Ago } from "../parts/time";

const OPEN = [
  "awaiting_payment",
  "paid",
  "purchasing",
  "delivering",
  "needs_review",
] as const satisfies readonly Model<"OrderStatus">[];
const WINDOWS = [
  ["last hour", 3_600],
  ["last day", 86_400],
  ["last week", 604_800],
] as const;
const numbers = new Intl.NumberFormat("en-US");

export function Overview() {
  return (
    <>
      <PageHead title="Overview" about="What goes on now, and what needs you." />
      <OrdersNow />
      <div className="columns even">
        <Failures />
        <TimeToKey />
      </div>
      <div className="columns even">
        <LettersNow />
        <OffersNow />
      </div>
    </>
  );
}

function OrdersNow() {
  const refetchInterval = useRefresh();
  const counts = useQueries({
    queries: OPEN.map((status) => ({
      queryKey: ["count-orders", status],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        answered(api.GET("/admin/orders", { params: { query: { status, limit: 1 } }, signal })),
      refetchInterval,
    })),
  });
  const failed = counts.find((each) => each.isError);
  if (failed) return <Failure error={failed.error} retry={() => counts.forEach((each) => void each.refetch())} />;
  return (
    <div className="tiles">
      {OPEN.map((status, at) => {
        const total = counts[at]?.data?.total;
        return (
          <Link
            key={status}
            to={status === "needs_review" ? "/reviews" : "/orders"}
            search={status === "needs_review" ? {} : { status }}
            className={`tile ${total ? tone(status) : "quiet"}`}
          >
            <span className="tile-number">{total === undefined ? "…" : numbers.format(total)}</span>
            <span className="tile-name">{words(status)}</span>
          </Link>
        );
      })}
    </div>
  );
}

function Failures() {
  const refetchInterval = useRefresh();
  const found = useQuery({
    queryKey: ["list", "reviews", "grouped"],
    queryFn: ({ signal }) =>
      answered(api.GET("/admin/orders", { params: { query: { status: "needs_review", limit: 100 } }, signal })),
    refetchInterval,
  });
  return (
    <Panel title="Waiting for a human, by cause" aside={<Link to="/reviews">All</Link>}>
      {found.isPending ? <Loading /> : null}
      {found.isError ? <Failure error={found.error} /> : null}
      {found.data?.total === 0 ? <Empty title="Nothing waits for you." /> : null}
      {found.data && found.data.total > 0 ? (
        <>
          <ul className="rows">
            {grouped(found.data.items).map((group) => (
              <li key={group.cause}>
                <span>
                  <Badge tone="warn">{group.count}</Badge> <strong>{words(group.cause)}</strong>{" "}
                  <span className="faint">
                    first{" "}
                    <Link to="/orders/$id" params={{ id: group.first.id }}>
                      <code>{group.first.id.slice(0, 8)}</code>
                    </Link>
                  </span>
                </span>
                <span className="end faint">oldest {group.oldest ? <Ago at={group.oldest} /> : "—"}</span>
              </li>
            ))}
          </ul>
          <p className="rule faint">
            Grouped by the typed cause of the review, never by its text
            {found.data.total > 100 ? "; of the newest 100" : ""}.
          </p>
        </>
      ) : null}
    </Panel>
  );
}

function TimeToKey() {
  const figures = useQueries({
    queries: WINDOWS.map(([name, seconds]) => ({
      queryKey: ["time-to-key", name],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        answered(
          api.GET("/admin/metrics/time-to-key", {
            params: { query: { since: new Date(Date.now() - seconds * 1000).toISOString() } },
            signal,
          }),
        ),
      refetchInterval: 30_000,
    })),
  });
  const show = (value: number | null | undefined) =>
    value === null || value === undefined ? <span className="faint">—</span> : duration(value);
  return (
    <Panel title="Time to key" aside={<span className="faint">from settled payment to accepted mail</span>}>
      <table className="small" aria-label="Time to key">
        <thead>
          <tr>
            <th scope="col">Window</th>
            <th scope="col" className="right">
              Orders
            </th>
            <th scope="col" className="right">
              p50
            </th>
            <th scope="col" className="right">
              p90
            </th>
            <th scope="col" className="right">
              p99
            </th>
          </tr>
        </thead>
        <tbody>
          {WINDOWS.map(([name], at) => {
            const figure = figures[at]?.data;
            return (
              <tr key={name}>
                <td>{name}</td>
                <td className="right">{figure ? numbers.format(figure.count) : "…"}</td>
                <td className="right">{show(figure?.p50)}</td>
                <td className="right">{show(figure?.p90)}</td>
                <td className="right">{show(figure?.p99)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Panel>
  );
}

function LettersNow() {
  const refetchInterval = useRefresh();
  const found = useQuery({
    queryKey: ["list", "dead-letters", "newest"],
    queryFn: ({ signal }) =>
      answered(api.GET("/admin/dead-letters", { params: { query: { replayed: false, limit: 5 } }, signal })),
    refetchInterval,
  });
  return (
    <Panel
      title={`Dead letters not replayed${found.data ? ` (${numbers.format(found.data.total)})` : ""}`}
      aside={
        <Link to="/dead-letters" search={{ replayed: "false" }}>
          All
        </Link>
      }
    >
      {found.isPending ? <Loading /> : null}
      {found.isError ? <Failure error={found.error} /> : null}
      {found.data?.total === 0 ? <Empty title="No consumer has given up on anything." /> : null}
      <ul className="rows">
        {found.data?.items.map((letter) => (
          <li key={letter.id}>
            <span>
              <Badge tone="bad">{words(letter.reason)}</Badge>{" "}
              <Link to="/dead-letters/$id" params={{ id: String(letter.id) }}>
                {letter.topic}
              </Link>{" "}
              <span className="faint">by {letter.consumer}</span>
            </span>
            <span className="end faint">
              <Ago at={letter.occurredAt} />
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function OffersNow() {
  const found = useQuery({
    queryKey: ["stock", "low"],
    queryFn: ({ signal }) => answered(api.GET("/admin/stock", { params: { query: { limit: 100 } }, signal })),
  });
  const low = found.data?.items.filter((each) => each.free < 5).slice(0, 5) ?? [];
  return (
    <Panel title="Stock that runs out" aside={<Link to="/stock">All</Link>}>
      {found.isPending ? <Loading /> : null}
      {found.isError ? <Failure error={found.error} /> : null}
      {found.data && low.length === 0 ? (
        <Empty
          title={found.data.total === 0 ? "We sell no codes of our own." : "Each product has five free codes or more."}
        />
      ) : null}
      <ul className="rows">
        {low.map((each) => (
          <li key={each.productId}>
            <strong>{each.productId}</strong>
            <span className="end">
              <Badge tone={each.free === 0 ? "bad" : "warn"}>{each.free} free</Badge>
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
