/** Dead letters: the list, one of them, and replays of many: count, confirm, progress, a result for each. */
import { answered, type Model } from "@bitloot/admin-sdk";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Unmask } from "../parts/unmask";
import { api, useRight } from "../session";
import { words } from "../lib/order";
import { placeOf, type Paging, type Search } from "../lib/search";
import { ActionButton, ActionResult, useAction } from "../parts/action";
import { Badge, Fact, Failure, Found, Id, Loading, PageHead, Panel, Status } from "../parts/basics";
import { Dialog } from "../parts/dialog";
import type { FilterSpec } from "../parts/filters";
import { List, Pager, Table, useListSearch, type Column } from "../parts/list";
import { Payload } from "../parts/payload";
import { Ago, Time } from "../parts/time";
import { question } from "./lists";

type Letter = Model<"DeadLetter">;
type Replay = Model<"Replay">;
type ReplayItem = Model<"ReplayItem">;
type ReplayFilter = Model<"ReplayFilter">;

export const LETTER_FILTERS: readonly FilterSpec[] = [
  { name: "topic", label: "Topic", kind: "text", wide: true },
  { name: "consumer", label: "Consumer", kind: "text" },
  { name: "reason", label: "Reason", kind: "text" },
  { name: "replayed", label: "Replayed", kind: "choice", choices: ["true", "false"] },
  { name: "occurredFrom", label: "From", kind: "time" },
  { name: "occurredTo", label: "Before", kind: "time" },
];

const COLUMNS: readonly Column<Letter>[] = [
  {
    id: "id",
    header: "Letter",
    cell: (row) => (
      <Link to="/dead-letters/$id" params={{ id: String(row.id) }}>
        {row.topic}{" "}
        <span className="faint">
          {row.partition}:{row.offset}
        </span>
      </Link>
    ),
  },
  { id: "consumer", header: "Put aside by", cell: (row) => row.consumer },
  {
    id: "reason",
    header: "Reason",
    cell: (row) => <Badge tone="bad">{words(row.reason)}</Badge>,
  },
  {
    id: "error",
    header: "Error",
    cell: (row) => (
      <span className="clip" title={row.error}>
        {row.error}
      </span>
    ),
  },
  { id: "key", header: "Key", cell: (row) => <Id value={row.key} length={12} /> },
  { id: "at", header: "When", cell: (row) => <Time at={row.occurredAt} /> },
  {
    id: "replayed",
    header: "Replayed",
    cell: (row) => (row.replayedAt ? <Ago at={row.replayedAt} /> : <span className="faint">—</span>),
  },
];

const load = (search: Search, paging: Paging, signal: AbortSignal) =>
  answered(
    api.GET("/admin/dead-letters", { params: { query: question("/admin/dead-letters", search, paging) }, signal }),
  );

export function DeadLetters() {
  return (
    <List
      page="dead-letters"
      title="Dead letters"
      about="What a consumer gave up on. Nothing is lost: each can be sent again."
      filters={LETTER_FILTERS}
      columns={COLUMNS}
      rowId={(row) => String(row.id)}
      load={load}
      csv={{ path: "/admin/dead-letters.csv" }}
      empty="No consumer has given up on anything."
      actions={
        <>
          <Link to="/dead-letters/replays" className="button">
            Replays
          </Link>
          <ReplayMany />
        </>
      }
    />
  );
}

/** Count what the filter finds, show it, and only then begin. */
function ReplayMany() {
  const [search] = useListSearch(LETTER_FILTERS);
  const may = useRight("operate");
  const [open, setOpen] = useState(false);
  const conditions = Object.keys(placeOf(search).conditions).filter((name) => name !== "replayed");
  if (!may) return null;
  return (
    <>
      <button
        type="button"
        className="primary"
        disabled={conditions.length === 0}
        title={conditions.length === 0 ? "Filter first: never all of them at once" : undefined}
        onClick={() => setOpen(true)}
      >
        Replay these…
      </button>
      <Dialog
        open={open}
        close={() => setOpen(false)}
        title="Replay all that this filter finds"
        about="The set is fixed when you confirm. What was sent again before is left out unless the filter asks for it."
      >
        {open ? <Confirm filter={filterOf(search)} close={() => setOpen(false)} /> : null}
      </Dialog>
    </>
  );
}

/** The list's filter as a replay takes it. */
export function filterOf(search: Search): Partial<ReplayFilter> {
  const { replayed, ...rest } = placeOf(search).conditions;
  return { ...rest, ...(replayed === undefined ? {} : { replayed: replayed === "true" }) };
}

function Confirm({ filter, close }: { readonly filter: Partial<ReplayFilter>; readonly close: () => void }) {
  const navigate = useNavigate();
  const asked = { replayed: false, ...filter } as ReplayFilter;
  const count = useQuery({
    queryKey: ["count-letters", asked],
    queryFn: ({ signal }) =>
      answered(api.POST("/admin/dead-letters/replays/count", { body: { filter: asked }, signal })),
    gcTime: 0,
  });
  const matching = count.data?.matching ?? 0;
  const start = useAction({
    send: (action: string) =>
      api.POST("/admin/dead-letters/replays", {
        params: { header: { "Idempotency-Key": action } },
        body: { filter: asked, limit: 10_000, expected: matching },
      }),
    follow: async (replay: Replay) => {
      await navigate({ to: "/dead-letters/replays/$id", params: { id: replay.id } });
      return { kind: "done", note: "the replay has begun." } as const;
    },
  });
  if (count.isPending) return <Loading what="Counting" />;
  if (count.isError) return <Failure error={count.error} retry={() => void count.refetch()} />;
  return (
    <>
      <p className="big">
        <strong>{matching}</strong> {matching === 1 ? "letter" : "letters"}; <strong>{count.data.sendable}</strong> of
        them can be sent again.
      </p>
      <div className="split">
        <Groups title="By topic" groups={count.data.topics} />
        <Groups title="By reason" groups={count.data.reasons} />
      </div>
      {matching > 10_000 ? <p className="warn">The first 10,000 are sent; repeat it for the rest.</p> : null}
      <ActionResult state={start.state} />
      <div className="buttons end">
        <button type="button" onClick={close}>
          Not now
        </button>
        {start.state.kind === "refused" ? (
          <button type="button" onClick={() => void count.refetch()}>
            Count again
          </button>
        ) : null}
        {matching > 0 ? <ActionButton {...start} primary>{`Replay ${matching}`}</ActionButton> : null}
      </div>
    </>
  );
}

function Groups({ title, groups }: { readonly title: string; readonly groups: readonly Model<"Group">[] }) {
  return (
    <dl className="facts">
      <dt className="faint">{title}</dt>
      {groups.map((group) => (
        <Fact key={group.name} name={group.name}>
          {group.letters}
        </Fact>
      ))}
    </dl>
  );
}

export function DeadLetterPage() {
  const { id } = useParams({ from: "/dead-letters/$id" });
  const number = Number(id);
  const found = useQuery({
    queryKey: ["dead-letter", id],
    queryFn: ({ signal }) =>
      answered(api.GET("/admin/dead-letters/{id}", { params: { path: { id: number } }, signal })),
  });
  return (
    <Found from={found} what="the dead letter">
      {(letter) => <LoadedLetter key={letter.id} letter={letter} />}
    </Found>
  );
}

function LoadedLetter({ letter: found }: { readonly letter: Letter }) {
  const [shown, setShown] = useState<Letter | null>(null);
  const letter = shown?.id === found.id ? shown : found;
  const may = useRight("operate");
  const replay = useAction(
    useMemo(
      () => ({
        send: (action: string) =>
          api.POST("/admin/dead-letters/{id}/replay", {
            params: { path: { id: letter.id }, header: { "Idempotency-Key": action } },
          }),
        follow: async (_: Model<"Accepted">) => {
          const now = await answered(api.GET("/admin/dead-letters/{id}", { params: { path: { id: letter.id } } }));
          const again = now.replayedAs.filter((each) => !letter.replayedAs.includes(each));
          return again.length > 0
            ? ({
                kind: "done",
                note: `sent to ${letter.topic} again, where it failed again (letter ${again.join(", ")}).`,
              } as const)
            : ({ kind: "done", note: `sent to ${letter.topic} again. Should it fail again, it shows here.` } as const);
        },
      }),
      [letter],
    ),
  );
  return (
    <>
      <PageHead
        title={
          <>
            {letter.topic}{" "}
            <span className="faint">
              {letter.partition}:{letter.offset}
            </span>
          </>
        }
        about={
          <>
            put aside by {letter.consumer} <Ago at={letter.occurredAt} />
          </>
        }
      >
        <ActionResult state={replay.state} />
        {letter.value === "(hidden)" ? (
          <Unmask<Letter>
            right="read_bodies"
            what="the value"
            ask={(reason) =>
              api.POST("/admin/dead-letters/{id}/unmask", { params: { path: { id: letter.id } }, body: { reason } })
            }
            show={setShown}
          />
        ) : null}
        {may ? (
          <ActionButton {...replay} primary>
            Replay
          </ActionButton>
        ) : null}
      </PageHead>
      <section className="advice bad">
        <div>
          <h2>{words(letter.reason)}</h2>
          <p>{letter.error}</p>
        </div>
      </section>
      <div className="columns">
        <div className="stack">
          <Panel title="Value" aside={letter.valueCut ? <Badge tone="warn">cut</Badge> : null}>
            {letter.value === null ? (
              <p className="state">It is no text. {letter.valueLength} bytes.</p>
            ) : (
              <Payload text={letter.value} label="Value" />
            )}
          </Panel>
          <Panel title="Stack">
            <Payload text={letter.stack || "None."} label="Stack" />
          </Panel>
        </div>
        <div className="stack">
          <Panel title="Facts">
            <dl className="facts">
              <Fact name="Key">
                <Id value={letter.key} length={36} />
              </Fact>
              <Fact name="Length">{letter.valueLength} bytes</Fact>
              <Fact name="SHA-256">
                <Id value={letter.valueSha256} length={16} />
              </Fact>
              <Fact name="When">
                <Time at={letter.occurredAt} />
              </Fact>
              <Fact name="Replayed">
                <Time at={letter.replayedAt} />
              </Fact>
              <Fact name="Replay of">{letter.replayOf === null ? "—" : <LetterLink id={letter.replayOf} />}</Fact>
              <Fact name="Failed again as">
                {letter.replayedAs.length === 0
                  ? "—"
                  : letter.replayedAs.map((each) => <LetterLink key={each} id={each} />)}
              </Fact>
            </dl>
          </Panel>
          <Panel title="Headers">
            <dl className="facts">
              {Object.entries(letter.headers).map(([name, value]) => (
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

function LetterLink({ id }: { readonly id: number }) {
  return (
    <Link to="/dead-letters/$id" params={{ id: String(id) }}>
      {id}
    </Link>
  );
}

const REPLAY_COLUMNS: readonly Column<Replay>[] = [
  {
    id: "id",
    header: "Replay",
    cell: (row) => (
      <Link to="/dead-letters/replays/$id" params={{ id: row.id }}>
        {asWords(row.request.filter)}
      </Link>
    ),
  },
  { id: "actor", header: "By", cell: (row) => row.actor },
  { id: "status", header: "Status", cell: (row) => <Status of={row.status} /> },
  { id: "sent", header: "Sent", align: "right", cell: (row) => `${row.sent} of ${row.total}` },
  { id: "refused", header: "Refused", align: "right", cell: (row) => row.refused },
  {
    id: "again",
    header: "Failed again",
    align: "right",
    cell: (row) => row.failedAgain,
  },
  { id: "created", header: "Begun", cell: (row) => <Time at={row.createdAt} /> },
];

function asWords(filter: ReplayFilter): string {
  return Object.entries(filter)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ");
}

const loadReplays = (_: Search, paging: Paging, signal: AbortSignal) =>
  answered(api.GET("/admin/dead-letters/replays", { params: { query: paging }, signal }));

export function Replays() {
  return (
    <List
      page="replays"
      title="Replays"
      about="Replays of many dead letters."
      filters={[]}
      columns={REPLAY_COLUMNS}
      rowId={(row) => row.id}
      load={loadReplays}
      csv={{ path: "/admin/dead-letters/replays.csv" }}
      empty="Nothing has been replayed in bulk yet."
    />
  );
}

const ITEM_COLUMNS: readonly Column<ReplayItem>[] = [
  { id: "position", header: "#", align: "right", cell: (row) => row.position },
  { id: "letter", header: "Letter", cell: (row) => <LetterLink id={row.deadLetterId} /> },
  { id: "result", header: "Result", cell: (row) => <Status of={row.result} /> },
  { id: "detail", header: "Detail", cell: (row) => row.detail ?? "—" },
  {
    id: "again",
    header: "Failed again as",
    cell: (row) => (row.failedAgainAs === null ? "—" : <LetterLink id={row.failedAgainAs} />),
  },
  { id: "done", header: "When", cell: (row) => <Time at={row.doneAt} compact /> },
];

const RUNNING_MS = 1000;

export function ReplayPage() {
  const { id } = useParams({ from: "/dead-letters/replays/$id" });
  const [cursor, setCursor] = useState<string | null>(null);
  const path = { id };
  const replay = useQuery({
    queryKey: ["replay", id],
    queryFn: ({ signal }) => answered(api.GET("/admin/dead-letters/replays/{id}", { params: { path }, signal })),
    refetchInterval: (query) => (query.state.data?.finishedAt ? false : RUNNING_MS),
  });
  const items = useQuery({
    queryKey: ["replay-items", id, cursor, replay.data?.waiting, replay.data?.failedAgain],
    queryFn: ({ signal }) =>
      answered(
        api.GET("/admin/dead-letters/replays/{id}/items", {
          params: { path, query: { limit: 100, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
    placeholderData: (before) => before,
  });
  const cancel = useAction({
    send: () => api.POST("/admin/dead-letters/replays/{id}/cancel", { params: { path } }),
    follow: (now: Replay) => ({ kind: "done", note: `ended; ${now.sent} of ${now.total} were sent before.` }) as const,
  });
  if (replay.isPending) return <Loading what="Loading the replay" />;
  if (replay.isError) return <Failure error={replay.error} retry={() => void replay.refetch()} />;
  const { data } = replay;
  const over = data.finishedAt !== null || data.status === "canceled";
  const done = data.total - data.waiting;
  return (
    <>
      <PageHead
        title={
          <>
            Replay <Status of={data.status} />
          </>
        }
        about={
          <>
            {asWords(data.request.filter)} · by {data.actor}, <Ago at={data.createdAt} />
          </>
        }
      >
        <ActionResult state={cancel.state} />
        {over ? null : (
          <ActionButton {...cancel} danger>
            Cancel
          </ActionButton>
        )}
      </PageHead>
      <Panel
        title={`${done} of ${data.total} done`}
        aside={data.trouble ? <Badge tone="warn">stands still: {data.trouble}</Badge> : null}
      >
        <progress max={Math.max(1, data.total)} value={done} aria-label="Progress" />
        <dl className="facts wide">
          <Fact name="Sent">{data.sent}</Fact>
          <Fact name="Refused">{data.refused}</Fact>
          <Fact name="Canceled">{data.canceled}</Fact>
          <Fact name="Failed again">{data.failedAgain}</Fact>
          <Fact name="Begun">
            <Time at={data.startedAt} />
          </Fact>
          <Fact name="Ended">
            <Time at={data.finishedAt} />
          </Fact>
        </dl>
      </Panel>
      {items.data ? (
        <>
          <Table rows={items.data.items} columns={ITEM_COLUMNS} rowId={(row) => String(row.position)} label="Results" />
          <Pager of={items.data} noun="results" go={setCursor} />
        </>
      ) : (
        <Loading what="Loading the results" />
      )}
    </>
  );
}
