/** What goes on now, and what needs a human. */
import { answered, type Model } from "@bitloot/admin-sdk";
import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api } from "../session";
import { tone, words } from "../lib/order";
import { everyPage, howMany } from "../lib/search";
import { duration } from "../lib/time";
import { POLL_MS, useRefresh } from "../live";
import { Amount, Badge, Empty, Failure, Loading, PageHead, Panel, Status } from "../parts/basics";
import { TimeToKeyChart } from "../parts/chart";
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
        <Reviews />
        <TimeToKey />
      </div>
      <div className="columns even">
        <FailuresNow />
        <ProvidersNow />
        <LagNow />
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
        const found = counts[at]?.data;
        return (
          <Link
            key={status}
            to={status === "needs_review" ? "/reviews" : "/orders"}
            search={status === "needs_review" ? {} : { status }}
            className={`tile ${found?.total ? tone(status) : "quiet"}`}
          >
            <span className="tile-number">{found ? howMany(found) : "…"}</span>
            <span className="tile-name">{words(status)}</span>
          </Link>
        );
      })}
    </div>
  );
}

function Reviews() {
  const refetchInterval = useRefresh();
  const found = useQuery({
    queryKey: ["overview"],
    queryFn: ({ signal }) => answered(api.GET("/admin/overview", { signal })),
    refetchInterval,
  });
  return (
    <Panel title="Waiting for a human, by cause" aside={<Link to="/reviews">All</Link>}>
      {found.isPending ? <Loading /> : null}
      {found.isError ? <Failure error={found.error} /> : null}
      {found.data?.reviews.length === 0 ? <Empty title="Nothing waits for you." /> : null}
      <ul className="rows">
        {found.data?.reviews.map((group) => (
          <li key={group.cause}>
            <span>
              <Badge tone="warn">{group.orders}</Badge>{" "}
              <Link to="/reviews" search={{ cause: group.cause }}>
                {words(group.cause)}
              </Link>
            </span>
            <span className="end faint">
              oldest <Ago at={group.oldestSince} />
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function FailuresNow() {
  const refetchInterval = useRefresh();
  const found = useQuery({
    queryKey: ["failures"],
    queryFn: ({ signal }) => answered(api.GET("/admin/failures", { signal })),
    refetchInterval,
  });
  return (
    <Panel
      title="Failures, by cause"
      aside={
        found.data ? (
          <span className="faint">
            since <Ago at={found.data.since} />
          </span>
        ) : null
      }
    >
      {found.isPending ? <Loading /> : null}
      {found.isError ? <Failure error={found.error} /> : null}
      {found.data?.items.length === 0 ? <Empty title="Nothing has failed." /> : null}
      <ul className="rows">
        {found.data?.items.slice(0, 8).map((group) => (
          <li key={`${group.provider} ${group.call} ${group.failure} ${group.cause}`}>
            <span>
              <Badge tone="bad">{group.count}</Badge> {group.provider} · {words(group.call)} · {words(group.cause)}{" "}
              <span className="faint">
                {group.failure}, {group.orders} orders
              </span>
            </span>
            <span className="end faint">
              {group.newestOrderId ? (
                <Link to="/orders/$id" params={{ id: group.newestOrderId }}>
                  newest
                </Link>
              ) : null}{" "}
              <Ago at={group.lastAt} />
            </span>
          </li>
        ))}
      </ul>
      {found.data ? <p className="rule faint">{found.data.rule}</p> : null}
    </Panel>
  );
}

function ProvidersNow() {
  const refetchInterval = POLL_MS; // no notice tells of it
  const found = useQuery({
    queryKey: ["providers"],
    queryFn: ({ signal }) => answered(api.GET("/admin/providers", { signal })),
    refetchInterval,
  });
  const balances = useQuery({
    queryKey: ["balances"],
    queryFn: ({ signal }) => answered(api.GET("/admin/balances", { signal })),
    refetchInterval,
  });
  return (
    <Panel title="Providers and balance">
      {found.isPending ? <Loading /> : null}
      {found.isError ? <Failure error={found.error} /> : null}
      {balances.isError ? <Failure error={balances.error} /> : null}
      <ul className="rows">
        {found.data?.items.map((each) => (
          <li key={each.provider}>
            <span>
              <strong>{each.provider}</strong>{" "}
              <span className="faint">
                {numbers.format(each.failures)} of {numbers.format(each.calls)} calls failed
                {each.lastNotificationAt ? (
                  <>
                    , told last <Ago at={each.lastNotificationAt} />
                  </>
                ) : null}
              </span>
            </span>
            <span className="end">
              <Status of={each.state} />
            </span>
          </li>
        ))}
        {balances.data?.items.map((each) => (
          <li key={each.account}>
            <span>
              Balance {each.account}{" "}
              <span className="faint">
                read <Ago at={each.readAt} />
              </span>
            </span>
            <span className="end">
              <Amount value={each.balance} currency={each.currency} /> {each.low ? <Badge tone="bad">low</Badge> : null}
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function LagNow() {
  const refetchInterval = POLL_MS; // no notice tells of it
  const found = useQuery({
    queryKey: ["lag"],
    queryFn: ({ signal }) => answered(api.GET("/admin/lag", { signal })),
    refetchInterval,
  });
  const behind = found.data?.items
    .filter((each) => each.records > 0)
    .sort((a, b) => (b.oldestSeconds ?? 0) - (a.oldestSeconds ?? 0));
  return (
    <Panel
      title="Consumer lag"
      aside={
        found.data?.lookedAt ? (
          <span className="faint">
            looked <Ago at={found.data.lookedAt} />
          </span>
        ) : null
      }
    >
      {found.isPending ? <Loading /> : null}
      {found.isError ? <Failure error={found.error} /> : null}
      {behind?.length === 0 ? (
        <Empty title={found.data?.lookedAt ? "Every consumer has read all there is." : "Nobody has looked yet."} />
      ) : null}
      <ul className="rows">
        {behind?.slice(0, 6).map((each) => (
          <li key={`${each.group} ${each.topic} ${each.partition}`}>
            <span>
              {each.group}{" "}
              <span className="faint">
                {each.topic}:{each.partition}
              </span>
            </span>
            <span className="end">
              <Badge tone="warn">{numbers.format(each.records)}</Badge>
              {each.oldestSeconds === null ? null : (
                <span className="faint">oldest {duration(each.oldestSeconds)}</span>
              )}
            </span>
          </li>
        ))}
      </ul>
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
  const series = useQuery({
    queryKey: ["time-to-key", "series"],
    queryFn: ({ signal }) =>
      answered(api.GET("/admin/metrics/time-to-key/series", { params: { query: { step: "hour" } }, signal })),
    refetchInterval: 60_000,
  });
  const show = (value: number | null | undefined) =>
    value === null || value === undefined ? <span className="faint">—</span> : duration(value);
  const failed = [...figures, series].find((each) => each.isError);
  return (
    <Panel title="Time to key" aside={<span className="faint">from settled payment to accepted mail</span>}>
      {failed ? <Failure error={failed.error} /> : null}
      <table className="small" aria-label="Time to key">
        <thead>
          <tr>
            <th scope="col">Window</th>
            <th scope="col" className="right">
              Orders
            </th>
            <th scope="col" className="right p50">
              p50
            </th>
            <th scope="col" className="right p90">
              p90
            </th>
            <th scope="col" className="right p99">
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
      {series.data ? <TimeToKeyChart steps={series.data.items} /> : null}
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
      title={`Dead letters not replayed${found.data ? ` (${howMany(found.data)})` : ""}`}
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
    queryFn: ({ signal }) =>
      everyPage((paging) => answered(api.GET("/admin/stock", { params: { query: paging }, signal }))),
  });
  const low = found.data?.filter((each) => each.free < 5).slice(0, 5) ?? [];
  return (
    <Panel title="Stock that runs out" aside={<Link to="/stock">All</Link>}>
      {found.isPending ? <Loading /> : null}
      {found.isError ? <Failure error={found.error} /> : null}
      {found.isError ? <Failure error={found.error} /> : null}
      {found.data && low.length === 0 ? (
        <Empty
          title={found.data.length === 0 ? "We sell no codes of our own." : "Each product has five free codes or more."}
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
