/** The pages of the desk, in the order of its menu, with the key that goes to each after `g`. */

export const PAGES = [
  { path: "/", name: "Overview", key: "h" },
  { path: "/orders", name: "Orders", key: "o" },
  { path: "/reviews", name: "Reviews", key: "r" },
  { path: "/payments", name: "Payments", key: "p" },
  { path: "/reservations", name: "Reservations", key: "k" },
  { path: "/webhook-logs", name: "Webhook logs", key: "w" },
  { path: "/dead-letters", name: "Dead letters", key: "d" },
  { path: "/mails", name: "Mails", key: "m" },
  { path: "/stock", name: "Stock", key: "s" },
  { path: "/actions", name: "Actions", key: "a" },
  { path: "/audit", name: "Audit log", key: "l" },
  { path: "/settings", name: "Settings", key: "," },
] as const;
