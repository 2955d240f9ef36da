-- The log of notifications in months, so that retention drops a month and deletes no rows (docs/adr/0030).
--
-- What keeps a notification one row has no month in it, so it is a narrow table of its own: the sink looks there first,
-- and learns which row, in which month, is meant.

alter table webhook_logs rename to webhook_logs_before;
alter table webhook_logs_before drop constraint webhook_logs_pkey, drop constraint webhook_logs_unique;
drop index
    webhook_logs_by_time, webhook_logs_by_provider, webhook_logs_by_type, webhook_logs_by_order,
    webhook_logs_by_provider_and_type;

create table webhook_logs (
    like webhook_logs_before including defaults including comments
) partition by range (first_received_at);
comment on table webhook_logs is 'One row for each distinct notification (webhooks.log.v1), with its repeats counted, in a partition for each month (UTC) of the first one. Written by the sink only.';

create table webhook_logs_default partition of webhook_logs default;
comment on table webhook_logs_default is 'The net: what is of no month that there is, and rows of dropped months that are still needed.';

create function add_month_of_webhook_logs(moment timestamptz) returns text language plpgsql set lock_timeout = '2s' as $$
declare
    month constant timestamp := date_trunc('month', moment at time zone 'UTC');
    begins constant timestamptz := month at time zone 'UTC';
    ends constant timestamptz := (month + interval '1 month') at time zone 'UTC';
    name constant text := 'webhook_logs_' || to_char(month, 'YYYY_MM');
begin
    if ends < now() - interval '15 months' or begins > now() + interval '3 months' then
        return null;
    end if;
    -- In the order in which a drop takes them, and one who adds after the other. Those who read and write go on, but for
    -- the net.
    lock table only webhook_logs in share update exclusive mode;
    if exists (
        select from pg_inherits join pg_class on pg_class.oid = inhrelid
        where inhparent = 'webhook_logs'::regclass and relname = name
    ) then
        return null;
    end if;
    lock table webhook_logs_default in access exclusive mode;
    execute format(
        'create %s table %I (like webhook_logs including defaults including comments)',
        (select case relpersistence when 'u' then 'unlogged' else '' end from pg_class where oid = 'webhook_logs_default'::regclass),
        name
    );
    execute format('comment on table %I is %L', name, 'The notifications that came first in ' || to_char(month, 'YYYY-MM') || '.');
    execute format(
        'with caught as (delete from webhook_logs_default where first_received_at >= %L and first_received_at < %L returning *) '
        'insert into %I select * from caught',
        begins, ends, name
    );
    execute format('alter table webhook_logs attach partition %I for values from (%L) to (%L)', name, begins, ends);
    return name;
end
$$;
comment on function add_month_of_webhook_logs is 'Make the partition for the month of a moment, with what the net has of it. Returns its name; null when there is one, or the moment is too far from now. Waits two seconds for locks at most.';

select add_month_of_webhook_logs(moment)
from (
    select distinct date_trunc('month', first_received_at, 'UTC') as moment from webhook_logs_before
    union
    select now() + make_interval(months => ahead) from generate_series(0, 2) as ahead
) as needed
order by moment;

insert into webhook_logs select * from webhook_logs_before;
alter table webhook_logs add constraint webhook_logs_pkey primary key (id, first_received_at);

create index webhook_logs_by_time on webhook_logs (last_received_at desc, id desc);
comment on index webhook_logs_by_time is 'The list of notifications, newest first.';
create index webhook_logs_by_provider on webhook_logs (provider, last_received_at desc, id desc);
comment on index webhook_logs_by_provider is 'The list of one provider''s notifications, newest first; when each was last heard of.';
create index webhook_logs_by_type on webhook_logs (event_type, last_received_at desc, id desc);
comment on index webhook_logs_by_type is 'The list of notifications of one type, newest first.';
create index webhook_logs_by_provider_and_type on webhook_logs (provider, event_type, last_received_at desc, id desc);
comment on index webhook_logs_by_provider_and_type is 'The list of one provider''s notifications of one type, newest first.';
create index webhook_logs_by_order on webhook_logs (order_id, last_received_at desc, id desc) where order_id is not null;
comment on index webhook_logs_by_order is 'The notifications of one order (orderId), and those of open orders when a month goes.';

create table webhook_log_keys (
    provider          text not null,
    external_id       text not null,
    event_type        text not null,
    log_id            bigint not null,
    first_received_at timestamptz not null,
    constraint webhook_log_keys_pkey primary key (provider, external_id, event_type)
) with (fillfactor = 90);
comment on table webhook_log_keys is 'What makes a notification the same one, and which row of webhook_logs it has: id and first_received_at are that row''s key. Written by the sink only.';
insert into webhook_log_keys
select provider, external_id, event_type, id, first_received_at from webhook_logs_before
order by provider, external_id, event_type;

drop table webhook_logs_before;
