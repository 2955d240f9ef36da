-- What was slow at ten million notifications and a million orders, as `make bench-desk` told.

-- Time-to-key of a year is a million waits to be sorted. They are counted as they come, day by day.
create function time_to_key_bucket(wait interval) returns smallint language sql immutable parallel safe as $$
    select floor(50 * ln(greatest(extract(epoch from wait)::float8, 0.01)))::smallint
$$;
comment on function time_to_key_bucket is 'Which bucket of waits one is in: e^(b/50) seconds up to e^((b+1)/50). The middle of a bucket is within 1 % of all that is in it.';

create table time_to_key_days (
    day    date not null,
    bucket smallint not null,
    mails  bigint not null,
    constraint time_to_key_days_pkey primary key (day, bucket)
) with (fillfactor = 80);
comment on table time_to_key_days is 'How many mails were accepted on a day (UTC), by how long their buyers had waited since the settled payment. Written by the sink, with the orders.';
insert into time_to_key_days
select (mailed_at at time zone 'UTC')::date, time_to_key_bucket(mailed_at - paid_at), count(*)
from orders
where mailed_at is not null and paid_at is not null
group by 1, 2;

-- What an order is of, in its own row: to look for it in order_items took a join, before anything could be sorted or counted.
alter table orders add column product_ids text[] not null default '{}';
comment on column orders.product_ids is 'The products of its items, each once, in order.';
-- An update would leave the table twice as large, and in no order: lists read what is of one time together.
create function products_of(of_order uuid) returns text[] language sql stable as $$
    select array(select distinct product_id from order_items where order_id = of_order order by product_id)
$$;
alter table orders alter column product_ids type text[] using products_of(id);
drop function products_of;
create index orders_by_product on orders using gin (product_ids);
comment on index orders_by_product is 'The orders that hold one product (productId, q).';
drop index order_items_by_product;

-- With the time itself beside the expression made of it, a span of time is counted from the index alone.
drop index orders_in_order, orders_in_order_by_status;
create index orders_in_order on orders ((coalesce(placed_at, '-infinity'::timestamptz)) desc, id desc) include (placed_at);
comment on index orders_in_order is 'The list of orders, newest first, page after page, and the filters placedFrom and placedTo, with their number.';
create index orders_in_order_by_status on orders (status, (coalesce(placed_at, '-infinity'::timestamptz)) desc, id desc) include (placed_at);
comment on index orders_in_order_by_status is 'The list of orders with one status, newest first; the counts of open orders.';

-- Expressions are not found in an index alone, so failures were counted by reading each outcome. Columns are.
alter table effect_ledger
    add column failure text generated always as (case when outcome ->> 'type' = 'effect.failed' then outcome ->> 'failure' end) stored,
    add column failed_cause text generated always as (case when outcome ->> 'type' = 'effect.failed' then outcome ->> 'cause' end) stored;
comment on column effect_ledger.failure is 'transient, refused or unknown; null for what did not fail.';
comment on column effect_ledger.failed_cause is 'The typed cause of a failure; null for what did not fail.';
create index effect_ledger_in_order_by_cause on effect_ledger (failed_cause, claimed_at desc, effect_id desc) where failed_cause is not null;
comment on index effect_ledger_in_order_by_cause is 'The list of failures of one cause, newest first, and their number, from the index alone.';
create index effect_ledger_in_order_by_kind_and_cause on effect_ledger (kind, failed_cause, claimed_at desc, effect_id desc) where failed_cause is not null;
comment on index effect_ledger_in_order_by_kind_and_cause is 'The same of one kind: where a group of failures leads to.';
create index effect_ledger_failures on effect_ledger (finished_at) include (kind, failure, failed_cause, order_id) where failed_cause is not null;
comment on index effect_ledger_failures is 'The failures since a moment, grouped by their cause, from the index alone.';
drop index effect_ledger_failed, effect_ledger_failed_by_cause;
