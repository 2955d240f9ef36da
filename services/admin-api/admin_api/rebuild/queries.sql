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

-- name: offsets
-- Where the sinks are.
select topic, partition, next_offset from {live}.sink_offsets

-- name: move_offset
-- Have the sinks go on behind what was built. Parameters: topic, partition, offset.
insert into {live}.sink_offsets (topic, partition, next_offset) values ($1, $2, $3)
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
