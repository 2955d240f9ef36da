-- The read model that the sink fills from Kafka, and the tables that the workers write themselves.
--
-- Rebuildable from Kafka (truncate them together with sink_offsets, and the sink fills them again):
--   orders, order_items, keys, payments, reservations, webhook_logs, order_events, dead_letters
-- Not rebuildable, never truncate:
--   effect_ledger, emails, dead_letter_replays
--
-- No table has a foreign key across topics: a payment's events may come before the order's state does.

create extension if not exists pg_trgm;

-- Orders -------------------------------------------------------------------------------------------------

create table orders (
    id                     uuid primary key,
    status                 text not null,
    email                  text,
    currency               text,
    total                  numeric,
    request_hash           text,
    pay_url                text,
    invoice_id             text,
    kinguin_reservation_id text,
    object_key             text,
    message_id             text,
    review                 jsonb,
    incidents              jsonb not null default '[]',
    version                bigint not null,
    placed_at              timestamptz,
    paid_at                timestamptz,
    purchased_at           timestamptz,
    received_at            timestamptz,
    stored_at              timestamptz,
    mailed_at              timestamptz,
    revealed_at            timestamptz,
    closed_at              timestamptz,
    updated_at             timestamptz not null
) with (fillfactor = 85);
comment on table orders is 'The newest public state of every order (orders.state.v1). Written by the sink only.';
comment on column orders.version is 'Grows with every change of the order; an older snapshot never overwrites a newer one.';
comment on column orders.kinguin_reservation_id is 'The reservation of the first item; order_items has one for each.';
comment on column orders.object_key is 'Where the codes are in R2: an object key, never a link.';
comment on column orders.review is 'Why the order waits for a human: cause, detail, item, since.';

create index orders_by_time on orders (placed_at desc nulls last, id);
comment on index orders_by_time is 'The list of orders, newest first, and the filters placedFrom and placedTo.';
create index orders_by_status on orders (status, placed_at desc nulls last, id);
comment on index orders_by_status is 'The list of orders with one status, newest first.';
create index orders_by_email on orders (lower(email), placed_at desc nulls last);
comment on index orders_by_email is 'All orders of one buyer, whatever the case of the address.';
create index orders_by_email_part on orders using gin (lower(email) gin_trgm_ops);
comment on index orders_by_email_part is 'The search for a part of a mail address (q).';
create index orders_by_invoice on orders (invoice_id) where invoice_id is not null;
comment on index orders_by_invoice is 'The search for an invoice of NOWPayments (q).';
create index orders_time_to_key on orders (mailed_at) include (paid_at) where mailed_at is not null and paid_at is not null;
comment on index orders_time_to_key is 'Time-to-key over a window, answered from the index alone.';

create table order_items (
    id             text primary key,
    order_id       uuid not null,
    position       integer not null,
    product_id     text not null,
    title          text not null,
    quantity       integer not null,
    unit_price     numeric not null,
    status         text not null,
    reservation_id text,
    order_version  bigint not null
);
comment on table order_items is 'The lines of an order: quantity keys of one product. Written by the sink only.';
comment on column order_items.order_version is 'The version of the order that this row is from.';
create index order_items_by_order on order_items (order_id, position);
comment on index order_items_by_order is 'The items of one order, in order.';
create index order_items_by_product on order_items (product_id, order_id);
comment on index order_items_by_product is 'The orders that hold one product (productId).';

create table keys (
    order_item_id text not null,
    position      integer not null,
    order_id      uuid not null,
    storage_ref   text not null,
    viewed_at     timestamptz,
    created_at    timestamptz not null,
    order_version bigint not null,
    primary key (order_item_id, position)
);
comment on table keys is 'One row for each delivered code: where it is, never what it is. Written by the sink only.';
comment on column keys.storage_ref is 'The object key in R2, never a link.';
comment on column keys.viewed_at is 'When the buyer first revealed the order''s keys.';
create index keys_by_order on keys (order_id);
comment on index keys_by_order is 'The keys of one order.';

create table payments (
    id                text primary key,
    order_id          uuid not null,
    parent_payment_id text,
    invoice_id        text,
    status            text not null,
    provider_status   text not null,
    verdict           text not null,
    price_amount      numeric,
    price_currency    text,
    pay_amount        numeric,
    pay_currency      text,
    actually_paid     numeric,
    outcome_amount    numeric,
    outcome_currency  text,
    first_seen_at     timestamptz not null,
    updated_at        timestamptz not null,
    order_version     bigint not null
);
comment on table payments is 'Payments at NOWPayments and what they mean for their orders. Written by the sink only.';
comment on column payments.verdict is 'open, accepted (paid the order), mismatch, underpaid, extra, late or ended.';
create index payments_by_order on payments (order_id);
comment on index payments_by_order is 'The payments of one order (orderId).';
create index payments_by_status on payments (status, updated_at desc, id);
comment on index payments_by_status is 'The list of payments with one status, newest first.';
create index payments_by_time on payments (updated_at desc, id);
comment on index payments_by_time is 'The list of payments, newest first.';

create table reservations (
    id            text primary key,
    order_id      uuid not null,
    order_item_id text not null,
    status        text not null,
    reserved_at   timestamptz not null,
    given_at      timestamptz,
    delivered_at  timestamptz,
    ended_at      timestamptz,
    order_version bigint not null
);
comment on table reservations is 'Purchases at Kinguin and how far each came. Written by the sink only.';
comment on column reservations.ended_at is 'When Kinguin canceled or reversed it.';
create index reservations_by_order on reservations (order_id);
comment on index reservations_by_order is 'The reservations of one order (orderId).';
create index reservations_by_status on reservations (status, reserved_at desc, id);
comment on index reservations_by_status is 'The list of reservations with one status, newest first.';
create index reservations_by_time on reservations (reserved_at desc, id);
comment on index reservations_by_time is 'The list of reservations, newest first.';

-- What happened ------------------------------------------------------------------------------------------

create table order_events (
    order_id         uuid not null,
    event_id         text not null,
    type             text not null,
    occurred_at      timestamptz not null,
    recorded_at      timestamptz not null,
    payload          jsonb not null,
    kafka_partition  integer not null,
    kafka_offset     bigint not null,
    repeats          integer not null default 0,
    last_recorded_at timestamptz not null,
    primary key (order_id, event_id)
);
comment on table order_events is 'Every event of every order but its timers (orders.events.v1): the timeline. Written by the sink only.';
comment on column order_events.recorded_at is 'When the first record of the event was written to Kafka.';
comment on column order_events.payload is 'The event without its ids; sealed codes are replaced by their number.';
comment on column order_events.repeats is 'How often the same event was told again.';
create index order_events_by_time on order_events (order_id, occurred_at, kafka_offset);
comment on index order_events_by_time is 'The timeline of one order.';

create table webhook_logs (
    id                bigint primary key,
    provider          text not null,
    external_id       text not null,
    event_type        text not null,
    order_id          uuid,
    headers           jsonb not null,
    body              text not null,
    body_sha256       text not null,
    matched           text not null,
    remote_address    text not null,
    note              text not null,
    event_topic       text,
    event_key         text,
    event             jsonb,
    repeats           integer not null default 0,
    first_received_at timestamptz not null,
    last_received_at  timestamptz not null,
    kafka_partition   integer not null,
    kafka_offset      bigint not null,
    constraint webhook_logs_unique unique (provider, external_id, event_type)
);
comment on table webhook_logs is 'One row for each distinct notification (webhooks.log.v1), with its repeats counted. Written by the sink only.';
comment on column webhook_logs.id is 'Made of offset and partition of the first one received, so that a rebuild gives the same ids.';
comment on column webhook_logs.body is 'As the last one received had it, codes replaced.';
comment on column webhook_logs.matched is 'Which secret and which form of the body verified it.';
comment on column webhook_logs.event is 'The event that was published for it, sealed codes replaced by their number; null when there was nothing to do.';
comment on column webhook_logs.kafka_offset is 'Where the last one received is in webhooks.log.v1.';
create index webhook_logs_by_time on webhook_logs (last_received_at desc, id desc);
comment on index webhook_logs_by_time is 'The list of notifications, newest first.';
create index webhook_logs_by_provider on webhook_logs (provider, last_received_at desc, id desc);
comment on index webhook_logs_by_provider is 'The list of one provider''s notifications, newest first.';
create index webhook_logs_by_type on webhook_logs (event_type, last_received_at desc, id desc);
comment on index webhook_logs_by_type is 'The list of notifications of one type, newest first.';
create index webhook_logs_by_order on webhook_logs (order_id, last_received_at desc) where order_id is not null;
comment on index webhook_logs_by_order is 'The notifications of one order (orderId).';

create table dead_letters (
    id               bigint primary key,
    event_id         text not null,
    consumer         text not null,
    topic            text not null,
    partition        integer not null,
    record_offset    bigint not null,
    key              text,
    value            text,
    value_length     bigint not null,
    value_sha256     text not null,
    value_cut        boolean not null,
    headers          jsonb not null,
    reason           text not null,
    error            text not null,
    stack            text not null,
    occurred_at      timestamptz not null,
    kafka_partition  integer not null,
    kafka_offset     bigint not null,
    constraint dead_letters_unique unique (event_id)
);
comment on table dead_letters is 'What a consumer gave up on (dead-letters.v1). Written by the sink only.';
comment on column dead_letters.id is 'Made of offset and partition in dead-letters.v1, so that a rebuild gives the same ids.';
comment on column dead_letters.value is 'For people: text without sealed codes, null when it is no text. The original bytes are in Kafka only.';
comment on column dead_letters.kafka_offset is 'Where it is in dead-letters.v1.';
create index dead_letters_by_time on dead_letters (occurred_at desc, id desc);
comment on index dead_letters_by_time is 'The list of dead letters, newest first.';
create index dead_letters_by_topic on dead_letters (topic, occurred_at desc, id desc);
comment on index dead_letters_by_topic is 'The list of one topic''s dead letters, newest first.';
create index dead_letters_by_consumer on dead_letters (consumer, occurred_at desc, id desc);
comment on index dead_letters_by_consumer is 'The list of one consumer''s dead letters, newest first.';

create table dead_letter_replays (
    event_id    text not null,
    action_id   text not null,
    actor       text not null,
    replayed_at timestamptz not null default now(),
    primary key (event_id, action_id)
);
comment on table dead_letter_replays is 'Which dead letters an admin sent again. Written by the admin API; outlives a rebuild.';

create table sink_offsets (
    topic       text not null,
    partition   integer not null,
    next_offset bigint not null,
    updated_at  timestamptz not null default now(),
    primary key (topic, partition)
);
comment on table sink_offsets is 'How far the sink has read. Changed in the transaction of the rows themselves, so that each record counts once.';

-- What the workers write ---------------------------------------------------------------------------------

create table effect_ledger (
    effect_id   text primary key,
    order_id    uuid not null,
    kind        text not null,
    attempt     integer not null,
    claimed_by  text not null,
    claimed_at  timestamptz not null,
    deadline    timestamptz not null,
    finished_at timestamptz,
    outcome     jsonb
);
comment on table effect_ledger is 'Every try of an effect, claimed before it touches the world. Written by the workers only.';
comment on column effect_ledger.claimed_by is 'The incarnation of the process that claimed it: unique for each start.';
comment on column effect_ledger.deadline is 'After this an unfinished try counts as abandoned: its outcome is unknown.';
create index effect_ledger_by_order on effect_ledger (order_id, claimed_at);
comment on index effect_ledger_by_order is 'The tries of one order.';
create index effect_ledger_unfinished on effect_ledger (deadline) where finished_at is null;
comment on index effect_ledger_unfinished is 'Tries whose worker may have died.';

create table emails (
    id                  text primary key,
    order_id            uuid not null,
    kind                text not null,
    recipient           text not null,
    subject             text not null,
    html                text not null,
    text                text not null,
    link_expires_at     timestamptz,
    rendered_at         timestamptz not null,
    status              text not null,
    provider_message_id text,
    attempts            integer not null default 0,
    last_attempt_at     timestamptz,
    last_error          text,
    accepted_at         timestamptz
);
comment on table emails is 'Every mail as it was rendered before its first try. Written by the delivery worker only.';
comment on column emails.id is 'The message id, which is also the Idempotency-Key of every try.';
create index emails_by_order on emails (order_id, rendered_at);
comment on index emails_by_order is 'The mails of one order.';
create index emails_by_provider_id on emails (provider_message_id) where provider_message_id is not null;
comment on index emails_by_provider_id is 'The mail that a notification of Resend is about.';
