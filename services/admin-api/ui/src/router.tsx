/** The addresses of the desk. What an address says beyond what its page knows of is dropped. Each route has a name of its own: in place, its type would be lost. */
import { createRootRoute, createRoute, createRouter, Link } from "@tanstack/react-router";
import { PATH } from "./path";
import { only, parseSearch, PLACES, stringifySearch } from "./lib/search";
import { Failure, PageHead } from "./parts/basics";
import { Shell } from "./parts/shell";
import { ACTION_FILTERS, Actions, Audit, AUDIT_FILTERS } from "./pages/audit";
import { DeadLetterPage, DeadLetters, LETTER_FILTERS, ReplayPage, Replays } from "./pages/dead-letters";
import {
  ORDER_FILTERS,
  Orders,
  PAYMENT_FILTERS,
  Payments,
  RESERVATION_FILTERS,
  Reservations,
  REVIEW_FILTERS,
  Reviews,
} from "./pages/lists";
import { Order } from "./pages/order";
import { MailsPage, MAIL_FILTERS } from "./pages/mails";
import { Settings } from "./pages/settings";
import { Overview } from "./pages/overview";
import { StockPage, STOCK_FILTERS } from "./pages/stock";
import { WEBHOOK_FILTERS, WebhookLogPage, WebhookLogs } from "./pages/webhook-logs";
import type { FilterSpec } from "./parts/filters";

const root = createRootRoute({
  component: Shell,
  notFoundComponent: () => <PageHead title="There is no such page." about={<Link to="/">To the overview</Link>} />,
  errorComponent: ({ error, reset }) => <Failure error={error} retry={reset} />,
});

const filtered = (filters: readonly FilterSpec[]) => ({
  validateSearch: (search: Record<string, unknown>): Record<string, string> =>
    only([...filters.map((each) => each.name), ...PLACES], search),
});

const at = () => root;

const overview = createRoute({ getParentRoute: at, path: "/", component: Overview });
const ordersRoute = createRoute({ getParentRoute: at, path: "/orders", component: Orders, ...filtered(ORDER_FILTERS) });
const ordersOneRoute = createRoute({ getParentRoute: at, path: "/orders/$id", component: Order });
const reviewsRoute = createRoute({
  getParentRoute: at,
  path: "/reviews",
  component: Reviews,
  ...filtered(REVIEW_FILTERS),
});
const paymentsRoute = createRoute({
  getParentRoute: at,
  path: "/payments",
  component: Payments,
  ...filtered(PAYMENT_FILTERS),
});
const reservationsRoute = createRoute({
  getParentRoute: at,
  path: "/reservations",
  component: Reservations,
  ...filtered(RESERVATION_FILTERS),
});
const webhookLogsRoute = createRoute({
  getParentRoute: at,
  path: "/webhook-logs",
  component: WebhookLogs,
  ...filtered(WEBHOOK_FILTERS),
});
const webhookLogsOneRoute = createRoute({ getParentRoute: at, path: "/webhook-logs/$id", component: WebhookLogPage });
const deadLettersRoute = createRoute({
  getParentRoute: at,
  path: "/dead-letters",
  component: DeadLetters,
  ...filtered(LETTER_FILTERS),
});
const deadLettersReplaysRoute = createRoute({
  getParentRoute: at,
  path: "/dead-letters/replays",
  component: Replays,
  ...filtered([]),
});
const deadLettersReplaysOneRoute = createRoute({
  getParentRoute: at,
  path: "/dead-letters/replays/$id",
  component: ReplayPage,
});
const deadLettersOneRoute = createRoute({ getParentRoute: at, path: "/dead-letters/$id", component: DeadLetterPage });
const stockRoute = createRoute({
  getParentRoute: at,
  path: "/stock",
  component: StockPage,
  ...filtered(STOCK_FILTERS),
});
const actionsRoute = createRoute({
  getParentRoute: at,
  path: "/actions",
  component: Actions,
  ...filtered(ACTION_FILTERS),
});
const auditRoute = createRoute({ getParentRoute: at, path: "/audit", component: Audit, ...filtered(AUDIT_FILTERS) });
const mailsRoute = createRoute({ getParentRoute: at, path: "/mails", component: MailsPage, ...filtered(MAIL_FILTERS) });
const settingsRoute = createRoute({ getParentRoute: at, path: "/settings", component: Settings });

const tree = root.addChildren([
  overview,
  ordersRoute,
  ordersOneRoute,
  reviewsRoute,
  paymentsRoute,
  reservationsRoute,
  webhookLogsRoute,
  webhookLogsOneRoute,
  deadLettersRoute,
  deadLettersReplaysRoute,
  deadLettersReplaysOneRoute,
  deadLettersOneRoute,
  stockRoute,
  actionsRoute,
  auditRoute,
  mailsRoute,
  settingsRoute,
]);

export const router = createRouter({
  routeTree: tree,
  basepath: PATH || "/",
  parseSearch,
  stringifySearch,
  defaultPreload: false,
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
