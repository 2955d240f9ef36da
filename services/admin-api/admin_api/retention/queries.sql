-- name: months_needed
-- This month, the next ones, and those that the net has notifications of. Parameters: how many ahead, days kept.
select now() + make_interval(months => ahead) as moment from generate_series(0, $1::integer) as ahead
union
select distinct date_trunc('month', first_received_at, 'UTC') from webhook_logs_default
where first_received_at >= now() - make_interval(days => $2)
order by moment

-- name: months
-- The partitions of the log, the oldest first.
select relname as name, now() as now
from pg_inherits join pg_class on pg_class.oid = inhrelid
where inhparent = 'webhook_logs'::regclass
order by relname

-- name: hold_month
-- Let nobody write into a month any more.
lock table only {month} in share mode

-- name: forget_keys
-- Forget the notifications of a month, but for those that are spared. Parameter: days kept.
delete from webhook_log_keys as known using {month} as leaving
where (known.provider, known.external_id, known.event_type) = (leaving.provider, leaving.external_id, leaving.event_type)
    and leaving.last_received_at < now() - make_interval(days => $1)
    and not exists (select from orders where orders.id = leaving.order_id and orders.closed_at is null)

-- name: spared
-- What stays of a month: what came again since, and what belongs to an open order. Parameter: days kept.
select coalesce(array_agg(leaving.id), '{{}}')
from {month} as leaving
where leaving.last_received_at >= now() - make_interval(days => $1)
    or exists (select from orders where orders.id = leaving.order_id and orders.closed_at is null)

-- name: detach_month
-- Take a month out of the log.
alter table webhook_logs detach partition {month}

-- name: spare
-- Keep some notifications of a month that was taken out: the net has them. Parameter: their ids.
insert into webhook_logs select * from {month} where id = any($1::bigint[])
