/** Mails: each as it stands at the provider, without its text. */
import { answered, type Model } from "@bitloot/admin-sdk";
import { words } from "../lib/order";
import type { Paging, Search } from "../lib/search";
import { Status } from "../parts/basics";
import type { FilterSpec } from "../parts/filters";
import { List, type Column } from "../parts/list";
import { Time } from "../parts/time";
import { api } from "../session";
import { OrderLink, question } from "./lists";

type Mail = Model<"ListedMail">;

export const MAIL_FILTERS: readonly FilterSpec[] = [
  { name: "recipient", label: "Recipient", kind: "text", wide: true },
  { name: "orderId", label: "Order", kind: "text" },
  { name: "status", label: "Status", kind: "text" },
  { name: "kind", label: "Kind", kind: "text" },
];

const COLUMNS: readonly Column<Mail>[] = [
  { id: "order", header: "Order", cell: (row) => <OrderLink id={row.orderId} /> },
  { id: "kind", header: "Kind", cell: (row) => words(row.kind) },
  { id: "recipient", header: "To", cell: (row) => row.recipient },
  { id: "status", header: "Status", cell: (row) => <Status of={row.status} /> },
  { id: "attempts", header: "Tries", align: "right", cell: (row) => row.attempts },
  {
    id: "error",
    header: "Last error",
    cell: (row) => (
      <span className="clip" title={row.lastError ?? undefined}>
        {row.lastError ?? "—"}
      </span>
    ),
  },
  { id: "rendered", header: "Rendered", cell: (row) => <Time at={row.renderedAt} /> },
  {
    id: "accepted",
    header: "Accepted",
    cell: (row) => <Time at={row.acceptedAt} compact />,
  },
];

const load = (search: Search, paging: Paging, signal: AbortSignal) =>
  answered(api.GET("/admin/mails", { params: { query: question("/admin/mails", search, paging) }, signal }));

export function MailsPage() {
  return (
    <List
      page="mails"
      title="Mails"
      filters={MAIL_FILTERS}
      columns={COLUMNS}
      rowId={(row) => row.id}
      load={load}
      csv={{ path: "/admin/mails.csv", masked: "read_addresses" }}
      empty="No mail has been rendered yet."
    />
  );
}
