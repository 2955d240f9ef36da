-- name: known_offsets
-- How far each partition has been read. Parameters: topics, partitions (pairwise).
select topic, partition, next_offset
from sink_offsets
join unnest($1::text[], $2::integer[]) as wanted (topic, partition) using (topic, partition)

-- name: begin_partition
-- Begin a partition that was never read. Parameters: topic, partition, first offset.
insert into sink_offsets (topic, partition, next_offset)
values ($1, $2, $3)
on conflict (topic, partition) do nothing

-- name: move
-- Move on, unless another sink has. The rows are locked in one order for all sinks, so that none waits in a circle.
-- Parameters: topics, partitions, expected and new offsets (pairwise). Returns one row for each that moved.
with expected as materialized (
    select stored.topic, stored.partition, moved.new_offset
    from sink_offsets as stored
    join unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
        as moved (topic, partition, expected_offset, new_offset) using (topic, partition)
    where stored.next_offset = moved.expected_offset
    order by stored.topic, stored.partition
    for update of stored
)
update sink_offsets as stored
set next_offset = expected.new_offset, updated_at = now()
from expected
where stored.topic = expected.topic and stored.partition = expected.partition
returning stored.topic, stored.partition

-- name: write_orders
-- Write the orders that are newer than what is stored; returns the ids of those, and from when to when their buyers
-- waited, before and now. An order's version only grows.
insert into orders as stored (
    id, status, email, currency, total, request_hash, pay_url, invoice_id, pay_currency, payment_instructions,
    kinguin_reservation_id, object_key, owed, message_id, mails, link_generation, review, incidents,
    actions, product_ids, version,
    placed_at, paid_at, purchased_at, received_at, stored_at, mailed_at,
    revealed_at, closed_at, updated_at
)
select
    id, status, email, currency, total, request_hash, pay_url, invoice_id, pay_currency, payment_instructions,
    kinguin_reservation_id, object_key, owed, message_id, mails, link_generation, review, incidents,
    actions, product_ids, version,
    placed_at, paid_at, purchased_at, received_at, stored_at, mailed_at,
    revealed_at, closed_at, updated_at
from json_populate_recordset(null::orders, $1::text::json)
on conflict (id) do update set
    status = excluded.status,
    email = excluded.email,
    currency = excluded.currency,
    total = excluded.total,
    request_hash = excluded.request_hash,
    pay_url = excluded.pay_url,
    invoice_id = excluded.invoice_id,
    pay_currency = excluded.pay_currency,
    payment_instructions = excluded.payment_instructions,
    kinguin_reservation_id = excluded.kinguin_reservation_id,
    object_key = excluded.object_key,
    owed = excluded.owed,
    message_id = excluded.message_id,
    mails = excluded.mails,
    link_generation = excluded.link_generation,
    review = excluded.review,
    incidents = excluded.incidents,
    actions = excluded.actions,
    product_ids = excluded.product_ids,
    version = excluded.version,
    placed_at = excluded.placed_at,
    paid_at = excluded.paid_at,
    purchased_at = excluded.purchased_at,
    received_at = excluded.received_at,
    stored_at = excluded.stored_at,
    mailed_at = excluded.mailed_at,
    revealed_at = excluded.revealed_at,
    closed_at = excluded.closed_at,
    updated_at = excluded.updated_at
where stored.version < excluded.version
returning
    new.id::text as id, old.paid_at as paid_before, old.mailed_at as mailed_before, new.paid_at, new.mailed_at

-- name: count_waits
-- Count waits by day and length. Parameters (pairwise): when each was paid, when its mail was accepted, and 1 to count it or
-- -1 for one that is no longer so.
insert into time_to_key_days as stored (day, bucket, mails)
select (mailed_at at time zone 'UTC')::date, time_to_key_bucket(mailed_at - paid_at), sum(change)
from unnest($1::timestamptz[], $2::timestamptz[], $3::integer[]) as changes (paid_at, mailed_at, change)
group by 1, 2
having sum(change) <> 0
order by 1, 2
on conflict (day, bucket) do update set mails = stored.mails + excluded.mails

-- name: drop_no_waits
-- Nothing is counted as nothing at all, as it would be after a rebuild.
delete from time_to_key_days where mails = 0

-- name: write_order_items
-- Write the items of orders that were written.
insert into order_items (
    id, order_id, position, product_id, title, quantity, unit_price, status, reservation_id, expected_at, order_version
)
select id, order_id, position, product_id, title, quantity, unit_price, status, reservation_id, expected_at, order_version
from json_populate_recordset(null::order_items, $1::text::json)
on conflict (id) do update set
    order_id = excluded.order_id,
    position = excluded.position,
    product_id = excluded.product_id,
    title = excluded.title,
    quantity = excluded.quantity,
    unit_price = excluded.unit_price,
    status = excluded.status,
    reservation_id = excluded.reservation_id,
    expected_at = excluded.expected_at,
    order_version = excluded.order_version

-- name: write_keys
-- Write the keys of orders that were written.
insert into keys (order_item_id, position, order_id, storage_ref, media_type, viewed_at, created_at, order_version)
select order_item_id, position, order_id, storage_ref, media_type, viewed_at, created_at, order_version
from json_populate_recordset(null::keys, $1::text::json)
on conflict (order_item_id, position) do update set
    order_id = excluded.order_id,
    storage_ref = excluded.storage_ref,
    media_type = excluded.media_type,
    viewed_at = excluded.viewed_at,
    created_at = excluded.created_at,
    order_version = excluded.order_version

-- name: write_payments
-- Write the payments of orders that were written.
insert into payments as stored (
    id, order_id, parent_payment_id, invoice_id, status, provider_status, verdict, price_amount, price_currency,
    pay_amount, pay_currency, actually_paid, outcome_amount, outcome_currency, found_by, first_seen_at,
    updated_at, order_version
)
select
    id, order_id, parent_payment_id, invoice_id, status, provider_status, verdict, price_amount, price_currency,
    pay_amount, pay_currency, actually_paid, outcome_amount, outcome_currency, found_by, first_seen_at,
    updated_at, order_version
from json_populate_recordset(null::payments, $1::text::json)
on conflict (id) do update set
    order_id = excluded.order_id,
    parent_payment_id = excluded.parent_payment_id,
    invoice_id = excluded.invoice_id,
    status = excluded.status,
    provider_status = excluded.provider_status,
    verdict = excluded.verdict,
    price_amount = excluded.price_amount,
    price_currency = excluded.price_currency,
    pay_amount = excluded.pay_amount,
    pay_currency = excluded.pay_currency,
    actually_paid = excluded.actually_paid,
    outcome_amount = excluded.outcome_amount,
    outcome_currency = excluded.outcome_currency,
    found_by = excluded.found_by,
    first_seen_at = excluded.first_seen_at,
    updated_at = excluded.updated_at,
    order_version = excluded.order_version
-- Should two orders claim the same one, the order of reading must not matter.
where stored.order_id = excluded.order_id
    or (stored.updated_at, stored.order_id) < (excluded.updated_at, excluded.order_id)

-- name: write_reservations
-- Write the reservations of orders that were written.
insert into reservations as stored (
    id, order_id, purchase_id, order_item_id, order_item_ids, status, reserved_at, given_at, delivered_at, ended_at,
    order_version
)
select id, order_id, purchase_id, order_item_id, order_item_ids, status, reserved_at, given_at, delivered_at, ended_at,
    order_version
from json_populate_recordset(null::reservations, $1::text::json)
on conflict (id) do update set
    order_id = excluded.order_id,
    purchase_id = excluded.purchase_id,
    order_item_id = excluded.order_item_id,
    order_item_ids = excluded.order_item_ids,
    status = excluded.status,
    reserved_at = excluded.reserved_at,
    given_at = excluded.given_at,
    delivered_at = excluded.delivered_at,
    ended_at = excluded.ended_at,
    order_version = excluded.order_version
-- Should two orders claim the same one, the order of reading must not matter.
where stored.order_id = excluded.order_id
    or (stored.reserved_at, stored.order_id) < (excluded.reserved_at, excluded.order_id)

-- name: drop_superseded
-- A snapshot is whole: what an older version had and the new one has not is gone. Parameter: the orders written.
with newest as materialized (select id, version from json_populate_recordset(null::orders, $1::text::json)),
items as (
    delete from order_items as stored using newest
    where stored.order_id = newest.id and stored.order_version < newest.version
),
codes as (
    delete from keys as stored using newest
    where stored.order_id = newest.id and stored.order_version < newest.version
),
paid as (
    delete from payments as stored using newest
    where stored.order_id = newest.id and stored.order_version < newest.version
)
delete from reservations as stored using newest
where stored.order_id = newest.id and stored.order_version < newest.version

-- name: write_order_events
-- Add events to timelines; one that is known already is counted. Parameters (pairwise): the columns, with the times of
-- recording in milliseconds since 1970, as Kafka has them.
insert into order_events as stored (
    order_id, event_id, type, occurred_at, recorded_at, payload, kafka_partition, kafka_offset, repeats,
    last_recorded_at
)
select
    order_id, event_id, type, occurred_at, 'epoch'::timestamptz + recorded_at * interval '1 millisecond',
    payload::jsonb, kafka_partition, kafka_offset, repeats,
    'epoch'::timestamptz + last_recorded_at * interval '1 millisecond'
from unnest(
    $1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::text[], $7::integer[],
    $8::bigint[], $9::integer[], $10::bigint[]
) as told (
    order_id, event_id, type, occurred_at, recorded_at, payload, kafka_partition, kafka_offset, repeats,
    last_recorded_at
)
on conflict (order_id, event_id) do update set
    repeats = stored.repeats + excluded.repeats + 1,
    last_recorded_at = excluded.last_recorded_at

-- name: write_code_hashes
-- Add the hashes of codes. A code that is told again says nothing new: all events of an order are in one partition.
-- Parameters (pairwise): the columns.
insert into code_hashes (order_id, key_id, whole_hash, tail_hash, reservation_id, first_seen_at)
select * from unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::timestamptz[])
on conflict (order_id, key_id, whole_hash) do nothing

-- name: claim_webhook_logs
-- Note which notifications there are, and learn under which key the row of each is that was known before: that of the
-- first one received. Whoever writes one at the same time waits here. Parameters: providers, external ids, event
-- types, ids and times of arrival (pairwise). The key known before is another one where the first came last.
with claimed as (
    insert into webhook_log_keys as stored (provider, external_id, event_type, log_id, first_received_at)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])
    on conflict (provider, external_id, event_type) do update set
        (log_id, first_received_at) = (
            select log_id, first_received_at
            from (
                values (stored.log_id, stored.first_received_at), (excluded.log_id, excluded.first_received_at)
            ) as told (log_id, first_received_at)
            order by first_received_at, log_id
            limit 1
        )
    returning
        stored.provider, stored.external_id, stored.event_type, new.log_id, new.first_received_at,
        old.log_id as known_id, old.first_received_at as known_since
)
select * from claimed where known_id is not null

-- name: move_webhook_log
-- Give a row its other key, and so perhaps its other month. Parameters: the key it has, the key it gets.
update webhook_logs set id = $3, first_received_at = $4 where id = $1 and first_received_at = $2

-- name: write_webhook_logs
-- Add notifications to the log; of one that is known already the count and the content of the last one are kept.
-- Those without an order's id have another key, so partition, than those with it: the id is not forgotten again. As
-- partitions are read side by side, first and last are told by the times of arrival: a rebuild gives the same row.
-- Parameters (pairwise): the columns.
insert into webhook_logs as stored (
    id, provider, external_id, event_type, order_id, headers, body, body_sha256, matched, remote_address, note,
    event_topic, event_key, event, repeats, first_received_at, last_received_at, kafka_partition, kafka_offset
)
select
    id, provider, external_id, event_type, order_id, headers::jsonb, body, body_sha256, matched, remote_address, note,
    event_topic, event_key, event::jsonb, repeats, first_received_at, last_received_at, kafka_partition, kafka_offset
from unnest(
    $1::bigint[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::integer[], $16::timestamptz[],
    $17::timestamptz[], $18::integer[], $19::bigint[]
) as told (
    id, provider, external_id, event_type, order_id, headers, body, body_sha256, matched, remote_address, note,
    event_topic, event_key, event, repeats, first_received_at, last_received_at, kafka_partition, kafka_offset
)
on conflict (id, first_received_at) do update set
    (
        order_id, headers, body, body_sha256, matched, remote_address, note, event_topic, event_key, event,
        last_received_at, kafka_partition, kafka_offset
    ) = (
        select
            coalesce(order_id, stored.order_id, excluded.order_id), headers, body, body_sha256, matched, remote_address,
            note, event_topic, event_key, event, last_received_at, kafka_partition, kafka_offset
        from (select stored.* union all select excluded.*) as told
        order by last_received_at desc, kafka_offset desc, kafka_partition desc
        limit 1
    ),
    repeats = stored.repeats + excluded.repeats + 1

-- name: write_dead_letters
-- Add dead letters. The same one again says nothing new: its consumer was stopped before it could move on.
insert into dead_letters (
    id, event_id, consumer, topic, partition, record_offset, key, value, value_length, value_sha256, value_cut,
    headers, reason, error, stack, occurred_at, kafka_partition, kafka_offset,
    replay_of, replay_action
)
select
    id, event_id, consumer, topic, partition, record_offset, key, value, value_length, value_sha256, value_cut,
    headers, reason, error, stack, occurred_at, kafka_partition, kafka_offset,
    replay_of, replay_action
from json_populate_recordset(null::dead_letters, $1::text::json)
on conflict (event_id) do nothing

-- name: add_month
-- Make the partition for the month of a moment, unless there is one.
select add_month_of_webhook_logs($1)
