-- Mails and how far each came, links to order pages that can be revoked, and what buyers may do how often.

alter table orders add column mails jsonb not null default '[]';
comment on column orders.mails is 'The order''s newest mails: kind, recipient, when, and how far each came. From orders.state.v1.';
alter table orders add column link_generation bigint not null default 1;
comment on column orders.link_generation is 'Links to the order page of an earlier generation are revoked.';

create table attempt_limits (
    name      text primary key,
    next_at   timestamptz not null
);
comment on table attempt_limits is 'One row for whatever is limited for each order, address or client: reveals, mails asked for. Written by the order page.';
comment on column attempt_limits.name is 'What is limited and for whom; of mail addresses and clients only a keyed hash.';
comment on column attempt_limits.next_at is 'When the allowance is whole again (GCRA): each attempt moves it on. Rows of the past say nothing.';
create index attempt_limits_by_time on attempt_limits (next_at);
comment on index attempt_limits_by_time is 'The rows that may be deleted.';

create table deleted_objects (
    object_key text primary key,
    order_id   uuid not null,
    deleted_at timestamptz not null default now()
);
comment on table deleted_objects is 'Keys whose time in the storage is over (KEYS_RETENTION). Written by the delivery worker; outlives a rebuild.';
create index deleted_objects_by_order on deleted_objects (order_id);
comment on index deleted_objects_by_order is 'What is gone of one order.';

create index keys_by_time on keys (created_at, storage_ref);
comment on index keys_by_time is 'The keys whose time in the storage is over.';

create view key_reveals as
select
    order_id,
    count(*) as reveals,
    min(occurred_at) as first_at,
    max(occurred_at) as last_at,
    array_agg(distinct payload ->> 'client') filter (where payload ->> 'client' <> '') as clients
from order_events
where type = 'keys.revealed'
group by order_id;
comment on view key_reveals is 'How often, when and from where (address prefixes) each order''s keys were revealed.';
