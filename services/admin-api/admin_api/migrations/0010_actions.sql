-- What admins have asked for, click by click, and what became of it.

alter table orders add column actions jsonb not null default '[]';
comment on column orders.actions is 'What became of the last clicks of admins when their events reached the order.';

create table admin_actions (
    action_id text primary key,
    kind      text not null,
    actor     text not null,
    target    text not null,
    order_id  uuid,
    request   jsonb not null,
    asked_at  timestamptz not null default now(),
    sent_at   timestamptz,
    refused   text
);
comment on table admin_actions is 'One row for each click that asks for something. Written by the admin API; outlives a rebuild.';
comment on column admin_actions.target is 'What it is about: an order, a notification, a dead letter.';
comment on column admin_actions.order_id is 'The order whose actions tell what became of it; null for what is done once it is sent.';
comment on column admin_actions.request is 'What was asked for; the same action id with another request is refused.';
comment on column admin_actions.sent_at is 'When Kafka had acknowledged it. Null: the same click again sends it.';
comment on column admin_actions.refused is 'Why nothing was sent.';
create index admin_actions_by_time on admin_actions (asked_at desc, action_id);
comment on index admin_actions_by_time is 'The list of actions, newest first.';
create index admin_actions_by_order on admin_actions (order_id, asked_at desc) where order_id is not null;
comment on index admin_actions_by_order is 'The clicks of one order.';
