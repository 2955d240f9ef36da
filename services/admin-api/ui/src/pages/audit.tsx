/** Who did what: the audit log, and the clicks with what became of them. */
import { answered, type Model } from "@bitloot/admin-sdk";
import { Link } from "@tanstack/react-router";
import { words } from "../lib/order";
import type { Paging, Search } from "../lib/search";
import { Id, Status } from "../parts/basics";
import type { FilterSpec } from "../parts/filters";
import { List, type Column } from "../parts/list";
import { Time } from "../parts/time";
import { api } from "../session";
import { OrderLink, question } from "./lists";

type Entry = Model<"AuditEntry">;
type Action = Model<"Action">;

export const AUDIT_FILTERS: readonly FilterSpec[] = [
  { name: "actor", label: "Who", kind: "text" },
  { name: "action", label: "What", kind: "text" },
  { name: "target", label: "To what", kind: "text", wide: true },
  { name: "result", label: "Result", kind: "choice", choices: ["asked", "done", "refused"] },
  { name: "atFrom", label: "From", kind: "time" },
  { name: "atTo", label: "Before", kind: "time" },
];

const AUDIT_COLUMNS: readonly Column<Entry>[] = [
  { id: "number", header: "#", align: "right", cell: (row) => row.number },
  { id: "at", header: "When", cell: (row) => <Time at={row.at} /> },
  {
    id: "actor",
    header: "Who",
    cell: (row) => (
      <>
        <strong>{row.actor}</strong> <span className="faint">by {row.via}</span>
      </>
    ),
  },
  { id: "action", header: "What", cell: (row) => row.action },
  { id: "target", header: "To what", cell: (row) => <Target of={row.target} /> },
  { id: "result", header: "Result", cell: (row) => <Status of={row.result} /> },
  {
    id: "reason",
    header: "Reason",
    cell: (row) => (
      <span className="clip" title={row.reason}>
        {row.reason || "—"}
      </span>
    ),
  },
  { id: "hash", header: "Hash", cell: (row) => <Id value={row.hash} length={10} /> },
];

const ORDER_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function Target({ of }: { readonly of: string }) {
  if (ORDER_ID.test(of)) return <OrderLink id={of} />;
  return of ? <Id value={of} length={24} /> : <span className="faint">—</span>;
}

const loadAudit = (search: Search, paging: Paging, signal: AbortSignal) =>
  answered(api.GET("/admin/audit", { params: { query: question("/admin/audit", search, paging) }, signal }));

export function Audit() {
  return (
    <List
      page="audit"
      title="Audit log"
      about="Who did what, and with what result. Only ever added to; each entry's hash covers the one before."
      filters={AUDIT_FILTERS}
      columns={AUDIT_COLUMNS}
      rowId={(row) => String(row.number)}
      load={loadAudit}
      csv={{ path: "/admin/audit.csv" }}
      empty="Nobody has done anything yet."
    />
  );
}

export const ACTION_FILTERS: readonly FilterSpec[] = [
  { name: "orderId", label: "Order", kind: "text", wide: true },
  { name: "actor", label: "Who", kind: "text" },
  { name: "kind", label: "What", kind: "text" },
];

const ACTION_COLUMNS: readonly Column<Action>[] = [
  { id: "kind", header: "What", cell: (row) => <strong>{asWords(row.kind)}</strong> },
  { id: "actor", header: "Who", cell: (row) => row.actor },
  {
    id: "target",
    header: "To what",
    cell: (row) =>
      row.orderId ? (
        <OrderLink id={row.orderId} />
      ) : row.kind === "replayDeadLetter" ? (
        <Link to="/dead-letters/$id" params={{ id: row.target }}>
          letter {row.target}
        </Link>
      ) : row.kind === "reprocessWebhookLog" ? (
        <Link to="/webhook-logs/$id" params={{ id: row.target }}>
          notification {row.target}
        </Link>
      ) : (
        row.target
      ),
  },
  { id: "status", header: "Result", cell: (row) => <Status of={row.status} /> },
  {
    id: "detail",
    header: "Detail",
    cell: (row) => (
      <span className="clip" title={row.detail}>
        {row.detail || "—"}
      </span>
    ),
  },
  { id: "asked", header: "Asked", cell: (row) => <Time at={row.askedAt} /> },
];

/** A name in camelCase as words. */
function asWords(kind: string): string {
  return words(kind.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`));
}

const loadActions = (search: Search, paging: Paging, signal: AbortSignal) =>
  answered(api.GET("/admin/actions", { params: { query: question("/admin/actions", search, paging) }, signal }));

export function Actions() {
  return (
    <List
      page="actions"
      title="Actions"
      about="Every click that asked for something, and what became of it."
      filters={ACTION_FILTERS}
      columns={ACTION_COLUMNS}
      rowId={(row) => row.actionId}
      load={loadActions}
      csv={{ path: "/admin/actions.csv" }}
      empty="Nobody has asked for anything yet."
    />
  );
}
