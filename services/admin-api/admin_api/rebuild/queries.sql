-- name: digest
-- How many rows a table has, and a sum of their hashes that no order changes.
select count(*) as rows, coalesce(sum(hashtextextended(t::text, 0)), 0)::text as sum from {schema}.{table} as t

-- name: differences
-- Rows that only one of the two has, and rows that both have with other content.
select
    count(*) filter (where used is null) as missing,
    count(*) filter (where built is null) as surplus,
    count(*) filter (where used::text <> built::text) as changed
from {live}.{table} as used full join {shadow}.{table} as built using ({key})

-- name: drop_wrong
-- Delete the rows in use that were not built, or were built with other content.
delete from {live}.{table} as used
where not exists (
    select from {shadow}.{table} as built where ({built_key}) = ({used_key}) and built::text = used::text
)

-- name: add_missing
-- Add the rows that were built and are not in use.
insert into {live}.{table}
select built.* from {shadow}.{table} as built
where not exists (select from {live}.{table} as used where ({built_key}) = ({used_key}))

-- name: keep_expired_letters
-- Take over the dead letters that Kafka no longer has. Parameters: partitions and their first offsets (pairwise).
insert into {shadow}.dead_letters
select letter.* from {live}.dead_letters as letter
join unnest($1::integer[], $2::bigint[]) as kept (partition, first_offset)
    on letter.kafka_partition = kept.partition and letter.kafka_offset < kept.first_offset

-- name: keep_expired_logs
-- Take over of the notifications what Kafka no longer has by its retention. One whose records are all gone is taken over
-- as it is. Of one that Kafka still has some records of, the row that these gave gets the count, the first arrival and,
-- where the last one is gone, the content of the row in use; first and last go by the sink's rules. Records between the
-- first and the last may be gone unseen, from other partitions: the higher count is right. Where a record is gone that is
-- too young for that, nothing is taken over. Parameters: partitions and their first offsets (pairwise), the bits that an
-- id has for the partition, and the age from which records may be gone.
with begun as (select * from unnest($1::integer[], $2::bigint[]) as begun (partition, first_offset)),
aged as materialized (
    select distinct on (used.provider, used.external_id, used.event_type)
        used, used.id >> $3::integer < first.first_offset as first_gone, used.kafka_offset < last.first_offset as last_gone
    from {live}.webhook_logs as used
    join begun as first on first.partition = used.id & ((1 << $3::integer) - 1)
    join begun as last on last.partition = used.kafka_partition
    where used.first_received_at < now() - $4::interval
        and (used.last_received_at < now() - $4::interval or used.kafka_offset >= last.first_offset)
    order by used.provider, used.external_id, used.event_type, used.first_received_at, used.id
),
merged as materialized (
    select
        built.id as built_id, built.first_received_at as built_since, first.*, told.*,
        coalesce(told.told_order_id, built.order_id, (aged.used).order_id) as order_id,
        greatest((aged.used).repeats, built.repeats + (aged.first_gone or aged.last_gone)::integer) as repeats
    from aged
    join {shadow}.webhook_log_keys as known
        on (known.provider, known.external_id, known.event_type)
        = ((aged.used).provider, (aged.used).external_id, (aged.used).event_type)
    join {shadow}.webhook_logs as built
        on (built.id, built.first_received_at) = (known.log_id, known.first_received_at)
    cross join lateral (
        select id, first_received_at
        from (
            select built.id, built.first_received_at
            union all
            select (aged.used).id, (aged.used).first_received_at where aged.first_gone
        ) as each
        order by first_received_at, id
        limit 1
    ) as first
    cross join lateral (
        select
            order_id as told_order_id, headers, body, body_sha256, matched, remote_address, note, event_topic, event_key,
            event, last_received_at, kafka_partition, kafka_offset
        from (select built.* union all select (aged.used).* where aged.last_gone) as each
        order by last_received_at desc, kafka_offset desc, kafka_partition desc
        limit 1
    ) as told
),
put_keys as (
    update {shadow}.webhook_log_keys as known
    set log_id = merged.id, first_received_at = merged.first_received_at
    from merged
    where (known.log_id, known.first_received_at) = (merged.built_id, merged.built_since)
),
put_logs as (
    update {shadow}.webhook_logs as built set
        id = merged.id,
        order_id = merged.order_id,
        headers = merged.headers,
        body = merged.body,
        body_sha256 = merged.body_sha256,
        matched = merged.matched,
        remote_address = merged.remote_address,
        note = merged.note,
        event_topic = merged.event_topic,
        event_key = merged.event_key,
        event = merged.event,
        repeats = merged.repeats,
        first_received_at = merged.first_received_at,
        last_received_at = merged.last_received_at,
        kafka_partition = merged.kafka_partition,
        kafka_offset = merged.kafka_offset
    from merged
    where (built.id, built.first_received_at) = (merged.built_id, merged.built_since)
),
added as (
    insert into {shadow}.webhook_log_keys (provider, external_id, event_type, log_id, first_received_at)
    select
        (used).provider, (used).external_id, (used).event_type, (used).id, (used).first_received_at
    from aged
    where first_gone and last_gone
    on conflict (provider, external_id, event_type) do nothing
    returning log_id, first_received_at
)
insert into {shadow}.webhook_logs
select (aged.used).*
from aged
join added on (added.log_id, added.first_received_at) = ((aged.used).id, (aged.used).first_received_at)

-- name: lost_logs
-- Count the notifications in use whose first or last record is gone from Kafka and is too young for that. Parameters: as
-- above.
with begun as (select * from unnest($1::integer[], $2::bigint[]) as begun (partition, first_offset))
select count(*)
from {live}.webhook_logs as used
join begun as first on first.partition = used.id & ((1 << $3::integer) - 1)
join begun as last on last.partition = used.kafka_partition
where (used.id >> $3::integer < first.first_offset and used.first_received_at >= now() - $4::interval)
    or (used.kafka_offset < last.first_offset and used.last_received_at >= now() - $4::interval)

-- name: offsets
-- Where the sinks are.
select topic, partition, next_offset from {live}.sink_offsets

-- name: move_offset
-- Have the sinks go on behind what was built. Parameters: topic, partition, offset.
insert into {live}.sink_offsets (topic, partition, next_offset) values ($1, $2, $3::integer)
on conflict (topic, partition) do update set next_offset = excluded.next_offset, updated_at = now()

-- name: filled
-- The tables that rows go into: partitions in place of what they are of. Parameters: schema, tables.
select leaf.relid::text as name
from unnest($2::text[]) as wanted (name)
cross join pg_partition_tree(format('%I.%I', $1::text, wanted.name)::regclass) as leaf
where leaf.isleaf

-- name: columns
-- The columns of a table in their order. Parameters: schema, table.
select column_name || ' ' || data_type as described
from information_schema.columns
where table_schema = $1 and table_name = $2
order by ordinal_position

-- name: key
-- The columns of a table's primary key. Parameter: the qualified name of the table.
select attribute.attname as name
from pg_index as index
join pg_attribute as attribute on attribute.attrelid = index.indrelid and attribute.attnum = any (index.indkey)
where index.indrelid = $1::regclass and index.indisprimary
order by array_position(index.indkey::int2[], attribute.attnum)
