/** The plain lists: orders, reviews, payments, reservations. */
import { answered, type Model, type Query, type QueryPath } from "@bitloot/admin-sdk";
import { Link } from "@tanstack/react-router";
import { api } from "../session";
import { Amount, Id, short, Status } from "../parts/basics";
import type { FilterSpec } from "../parts/filters";
import { List, type Column } from "../parts/list";
import { Ago, Time } from "../parts/time";
import { words } from "../lib/order";
import { duration } from "../lib/time";
import { ORDER_STATUSES, PAYMENT_STATUSES, RESERVATION_STATUSES } from "../lib/statuses";
import type { Paging, Search } from "../lib/search";

type Order = Model<"Order">;
type Waiting = Model<"WaitingOrder">;
type Payment = Model<"Payment">;
type Reservation = Model<"Reservation">;

export const ORDER_FILTERS: readonly FilterSpec[] = [
  { name: "q", label: "Mail address or any id", kind: "text", wide: true },
  { name: "status", label: "Status", kind: "choice", choices: ORDER_STATUSES },
  { name: "productId", label: "Product", kind: "text" },
  { name: "placedFrom", label: "Placed from", kind: "time" },
  { name: "placedTo", label: "Placed before", kind: "time" },
];
export const PAYMENT_FILTERS: readonly FilterSpec[] = [
  { name: "orderId", label: "Order", kind: "text", wide: true },
  { name: "status", label: "Status", kind: "choice", choices: PAYMENT_STATUSES },
];
export const RESERVATION_FILTERS: readonly FilterSpec[] = [
  { name: "reservationId", label: "Reservation", kind: "text" },
  { name: "orderId", label: "Order", kind: "text", wide: true },
  { name: "status", label: "Status", kind: "choice", choices: RESERVATION_STATUSES },
];

/** What an address names is checked by the API: the SDK's types stand for what it takes. */
export function question<Path extends QueryPath>(_path: Path, search: Search, paging: Paging): Query<Path> {
  return { ...search, ...paging };
}

export function OrderLink({ id, length = 8 }: { readonly id: string | null; readonly length?: number }) {
  if (!id) return <span className="faint">—</span>;
  return (
    <Id
      value={id}
      link={
        <Link to="/orders/$id" params={{ id }} title={id}>
          <code>{short(id, length)}</code>
        </Link>
      }
    />
  );
}

const ORDER_COLUMNS: readonly Column<Order>[] = [
  { id: "id", header: "Order", cell: (row) => <OrderLink id={row.id} /> },
  { id: "status", header: "Status", cell: (row) => <Status of={row.status} /> },
  {
    id: "email",
    header: "Buyer",
    cell: (row) => row.email ?? <span className="faint">—</span>,
  },
  {
    id: "total",
    header: "Total",
    align: "right",
    cell: (row) => <Amount value={row.total} currency={row.currency} />,
  },
  {
    id: "currency",
    header: "Cause",
    cell: (row) =>
      row.review ? <span title={row.review.detail}>{words(row.review.cause)}</span> : <span className="faint">—</span>,
  },
  { id: "placed", header: "Placed", cell: (row) => <Time at={row.placedAt} compact /> },
  {
    id: "ttk",
    header: "Time to key",
    align: "right",
    cell: (row) => (row.timeToKeySeconds === null ? <span className="faint">—</span> : duration(row.timeToKeySeconds)),
  },
  { id: "updated", header: "Last change", cell: (row) => <Ago at={row.updatedAt} /> },
];

const loadOrders = (search: Search, paging: Paging, signal: AbortSignal) =>
  answered(api.GET("/admin/orders", { params: { query: question("/admin/orders", search, paging) }, signal }));

export function Orders() {
  return (
    <List
      page="orders"
      title="Orders"
      filters={ORDER_FILTERS}
      columns={ORDER_COLUMNS}
      rowId={(row) => row.id}
      load={loadOrders}
      csv={{ path: "/admin/orders.csv", masked: "read_addresses" }}
      empty="No order has been placed yet."
    />
  );
}

const REVIEW_COLUMNS: readonly Column<Waiting>[] = [
  { id: "id", header: "Order", cell: (row) => <OrderLink id={row.orderId} /> },
  {
    id: "cause",
    header: "Waits because of",
    cell: (row) => <strong>{words(row.cause)}</strong>,
  },
  {
    id: "detail",
    header: "Detail",
    cell: (row) => (
      <span className="clip" title={told(row.detail)}>
        {told(row.detail)}
      </span>
    ),
  },
  { id: "email", header: "Buyer", cell: (row) => row.email ?? "—" },
  {
    id: "total",
    header: "Total",
    align: "right",
    cell: (row) => <Amount value={row.total} currency={row.currency} />,
  },
  { id: "since", header: "Since", cell: (row) => <Time at={row.since} /> },
];

function told(detail: unknown): string {
  return typeof detail === "string" ? detail : JSON.stringify(detail);
}

export const REVIEW_FILTERS: readonly FilterSpec[] = [{ name: "cause", label: "Cause", kind: "text", wide: true }];

const loadReviews = (search: Search, paging: Paging, signal: AbortSignal) =>
  answered(api.GET("/admin/reviews", { params: { query: question("/admin/reviews", search, paging) }, signal }));

export function Reviews() {
  return (
    <List
      page="reviews"
      title="Reviews"
      about="Orders that wait for a human, with the reason."
      filters={REVIEW_FILTERS}
      columns={REVIEW_COLUMNS}
      rowId={(row) => row.orderId}
      load={loadReviews}
      csv={{ path: "/admin/reviews.csv", masked: "read_addresses" }}
      empty="Nothing waits for you."
    />
  );
}

const PAYMENT_COLUMNS: readonly Column<Payment>[] = [
  { id: "id", header: "Payment", cell: (row) => <Id value={row.id} length={14} /> },
  { id: "order", header: "Order", cell: (row) => <OrderLink id={row.orderId} /> },
  { id: "status", header: "Status", cell: (row) => <Status of={row.status} /> },
  { id: "verdict", header: "Verdict", cell: (row) => <Status of={row.verdict} /> },
  {
    id: "price",
    header: "Price",
    align: "right",
    cell: (row) => <Amount value={row.priceAmount} currency={row.priceCurrency} />,
  },
  {
    id: "asked",
    header: "Asked for",
    align: "right",
    cell: (row) => <Amount value={row.payAmount} currency={row.payCurrency} />,
  },
  {
    id: "paid",
    header: "Paid",
    align: "right",
    cell: (row) => <Amount value={row.actuallyPaid} currency={row.payCurrency} />,
  },
  {
    id: "first",
    header: "First seen",
    cell: (row) => <Time at={row.firstSeenAt} compact />,
  },
  { id: "updated", header: "Last change", cell: (row) => <Ago at={row.updatedAt} /> },
];

const loadPayments = (search: Search, paging: Paging, signal: AbortSignal) =>
  answered(api.GET("/admin/payments", { params: { query: question("/admin/payments", search, paging) }, signal }));

export function Payments() {
  return (
    <List
      page="payments"
      title="Payments"
      filters={PAYMENT_FILTERS}
      columns={PAYMENT_COLUMNS}
      rowId={(row) => row.id}
      load={loadPayments}
      csv={{ path: "/admin/payments.csv" }}
      empty="NOWPayments has not told of any payment yet."
    />
  );
}

const RESERVATION_COLUMNS: readonly Column<Reservation>[] = [
  { id: "id", header: "Reservation", cell: (row) => <Id value={row.id} length={14} /> },
  { id: "order", header: "Order", cell: (row) => <OrderLink id={row.orderId} /> },
  { id: "status", header: "Status", cell: (row) => <Status of={row.status} /> },
  { id: "reserved", header: "Reserved", cell: (row) => <Time at={row.reservedAt} /> },
  { id: "given", header: "Given", cell: (row) => <Time at={row.givenAt} compact /> },
  {
    id: "delivered",
    header: "Delivered",
    cell: (row) => <Time at={row.deliveredAt} compact />,
  },
  { id: "ended", header: "Ended", cell: (row) => <Time at={row.endedAt} compact /> },
];

const loadReservations = (search: Search, paging: Paging, signal: AbortSignal) =>
  answered(
    api.GET("/admin/reservations", { params: { query: question("/admin/reservations", search, paging) }, signal }),
  );

export function Reservations() {
  return (
    <List
      page="reservations"
      title="Reservations"
      about="Purchases at Kinguin."
      filters={RESERVATION_FILTERS}
      columns={RESERVATION_COLUMNS}
      rowId={(row) => row.id}
      load={loadReservations}
      csv={{ path: "/admin/reservations.csv" }}
      empty="Nothing has been bought at Kinguin yet."
    />
  );
}
