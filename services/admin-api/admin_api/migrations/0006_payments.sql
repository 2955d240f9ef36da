-- How orders can be paid, what was found by asking, which orders the shop has placed, and which notifications were refused.

alter table orders add column pay_currency text;
comment on column orders.pay_currency is 'The coin that was asked for; null for an invoice, whose page offers all.';
alter table orders add column payment_instructions jsonb;
comment on column orders.payment_instructions is 'The newest way to pay: an invoice''s page, or address, amount, memo and network of a payment.';
alter table payments add column found_by text not null default 'notification';
comment on column payments.found_by is 'How its newest status was learned: notification, or poll when we had to ask.';
comment on column payments.verdict is 'open, checking (read once more before anything is bought), accepted (paid the order), mismatch, underpaid, extra, late, foreign (none of ours) or ended.';

create table checkouts (
    order_id     uuid primary key,
    request_hash text not null,
    placed_at    timestamptz not null
);
comment on table checkouts is 'Orders that the shop has begun to place: the first request of each Idempotency-Key. Written by the ingress before anybody is asked for an invoice; not rebuildable.';
comment on column checkouts.request_hash is 'What was asked for: another request under the same key is refused.';

create table refused_notifications (
    id          bigint generated always as identity primary key,
    provider    text not null,
    reason      text not null,
    detail      text not null,
    hint        text not null default '',
    sample      jsonb not null,
    remote      text not null,
    refused_at  timestamptz not null
);
comment on table refused_notifications is 'A bounded sample of refused notifications, the newest of each provider. Written by the ingress, best effort.';
comment on column refused_notifications.reason is 'The refusal word that the metric has too.';
comment on column refused_notifications.hint is 'What else was found out, such as the form of the body that the signature would fit.';
comment on column refused_notifications.sample is 'The shape of what came: its length, header names, and members with all but harmless values blacked out.';
create index refused_notifications_by_provider on refused_notifications (provider, id desc);
comment on index refused_notifications_by_provider is 'The newest of a provider.';
