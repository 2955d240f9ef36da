-- What makes the desk's lists answer at once at ten million notifications and a million orders. Each list is read in
-- the order of an index, from where the page before it ended: both columns in one direction.

create index orders_in_order on orders ((coalesce(placed_at, '-infinity'::timestamptz)) desc, id desc);
comment on index orders_in_order is 'The list of orders, newest first, page after page, and the filters placedFrom and placedTo.';
create index orders_in_order_by_status on orders (status, (coalesce(placed_at, '-infinity'::timestamptz)) desc, id desc);
comment on index orders_in_order_by_status is 'The list of orders with one status, newest first; the counts of open orders.';
create index orders_in_order_by_email on orders (lower(email), (coalesce(placed_at, '-infinity'::timestamptz)) desc, id desc);
comment on index orders_in_order_by_email is 'All orders of one buyer, whatever the case of the address, newest first.';
drop index orders_by_time, orders_by_status, orders_by_email;
create index orders_in_review on orders ((review ->> 'cause'), id) where status = 'needs_review';
comment on index orders_in_review is 'The inbox of reviews, and their counts by cause: few rows, however many orders.';

create index payments_in_order on payments (updated_at desc, id desc);
comment on index payments_in_order is 'The list of payments, newest first.';
create index payments_in_order_by_status on payments (status, updated_at desc, id desc);
comment on index payments_in_order_by_status is 'The list of payments with one status, newest first.';
drop index payments_by_time, payments_by_status;

create index reservations_in_order on reservations (reserved_at desc, id desc);
comment on index reservations_in_order is 'The list of reservations, newest first.';
create index reservations_in_order_by_status on reservations (status, reserved_at desc, id desc);
comment on index reservations_in_order_by_status is 'The list of reservations with one status, newest first.';
drop index reservations_by_time, reservations_by_status;

create index webhook_logs_by_provider_and_type on webhook_logs (provider, event_type, last_received_at desc, id desc);
comment on index webhook_logs_by_provider_and_type is 'The list of one provider''s notifications of one type, newest first.';

create index effect_ledger_in_order on effect_ledger (claimed_at desc, effect_id desc);
comment on index effect_ledger_in_order is 'The list of tries, newest first, and what was called in the last hours.';
create index effect_ledger_in_order_by_kind on effect_ledger (kind, claimed_at desc, effect_id desc);
comment on index effect_ledger_in_order_by_kind is 'The list of tries of one kind, newest first.';
create index effect_ledger_failed on effect_ledger (finished_at) include (kind) where outcome ->> 'type' = 'effect.failed';
comment on index effect_ledger_failed is 'What failed since a moment, to be grouped by its cause.';

create index emails_in_order on emails (rendered_at desc, id desc);
comment on index emails_in_order is 'The list of mails, newest first.';
create index emails_in_order_by_status on emails (status, rendered_at desc, id desc);
comment on index emails_in_order_by_status is 'The list of mails with one status, newest first.';
create index emails_by_recipient on emails (lower(recipient), rendered_at desc, id desc);
comment on index emails_by_recipient is 'All mails to one address, newest first.';
