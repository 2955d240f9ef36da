-- name: orders
-- The orders as a list shows them.
select
    o.id::text as id, o.status, o.email, o.currency, o.total, o.kinguin_reservation_id, o.review, o.placed_at, o.paid_at,
    o.mailed_at, o.closed_at, o.updated_at, extract(epoch from o.mailed_at - o.paid_at)::float8 as time_to_key_seconds
from orders as o

-- name: order
-- All of one order but its parts.
select
    o.id::text as id, o.status, o.email, o.currency, o.total, o.kinguin_reservation_id, o.review, o.placed_at, o.paid_at,
    o.mailed_at, o.closed_at, o.updated_at, extract(epoch from o.mailed_at - o.paid_at)::float8 as time_to_key_seconds,
    o.version, o.invoice_id, o.pay_url, o.object_key, o.message_id, o.incidents, o.purchased_at, o.received_at,
    o.stored_at, o.revealed_at
from orders as o
where o.id = $1::uuid

-- name: order_status
-- Whether there is such an order, and where it is.
select status from orders where id = $1::uuid

-- name: items_of_order
-- The items of an order, in its order.
select id, position, product_id, title, quantity, unit_price, status, reservation_id
from order_items
where order_id = $1::uuid
order by position, id

-- name: keys_of_order
-- Where the codes of an order are.
select k.order_item_id, k.position, k.storage_ref, k.created_at, k.viewed_at
from keys as k
where k.order_id = $1::uuid
order by k.order_item_id, k.position

-- name: mails_of_order
-- The mails of an order without their texts, whose links open the codes.
select
    id, kind, recipient, subject, status, attempts, rendered_at, link_expires_at, last_attempt_at, last_error,
    provider_message_id, accepted_at
from emails
where order_id = $1::uuid
order by rendered_at, id

-- name: timeline_of_order
-- What happened to an order, oldest first. The limit is far above what an honest order has.
select
    event_id, type, occurred_at, repeats, last_recorded_at, payload,
    extract(epoch from occurred_at - lag(occurred_at) over told)::float8 as since_previous_seconds
from order_events
where order_id = $1::uuid
window told as (order by occurred_at, kafka_partition, kafka_offset)
order by occurred_at, kafka_partition, kafka_offset
limit 2000

-- name: payments
-- The payments as a list shows them.
select
    id, order_id::text as order_id, parent_payment_id, invoice_id, status, provider_status, verdict, price_amount,
    price_currency, pay_amount, pay_currency, actually_paid, outcome_amount, outcome_currency, first_seen_at, updated_at
from payments

-- name: reservations
-- The reservations as a list shows them.
select id, order_id::text as order_id, order_item_id, status, reserved_at, given_at, delivered_at, ended_at
from reservations

-- name: webhook_logs
-- The notifications as a list shows them; bodies can have 256 KiB, so a list has the beginning only.
select
    id, provider, external_id, event_type, order_id::text as order_id, headers, left(body, 4096) as body,
    length(body) > 4096 as body_cut, body_sha256, matched, remote_address, note, event_topic, event_key, event, repeats,
    first_received_at, last_received_at
from webhook_logs

-- name: webhook_log
-- One notification, whole.
select
    id, provider, external_id, event_type, order_id::text as order_id, headers, body, false as body_cut, body_sha256,
    matched, remote_address, note, event_topic, event_key, event, repeats, first_received_at, last_received_at
from webhook_logs
where id = $1

-- name: webhook_original
-- Where the newest record of a notification is in Kafka, and whether anything was published for it.
select kafka_partition, kafka_offset, event_topic, event_key from webhook_logs where id = $1

-- name: dead_letters
-- The dead letters as a list shows them; values can have 512 KiB, so a list has the beginning only.
select
    d.id, d.consumer, d.topic, d.partition, d.record_offset as "offset", d.key, left(d.value, 4096) as value, d.value_length,
    d.value_sha256, d.value_cut or coalesce(length(d.value) > 4096, false) as value_cut, d.headers, d.reason, d.error, d.stack, d.occurred_at,
    (select max(r.replayed_at) from dead_letter_replays as r where r.event_id = d.event_id) as replayed_at
from dead_letters as d

-- name: dead_letter
-- One dead letter, as whole as it is.
select
    d.id, d.consumer, d.topic, d.partition, d.record_offset as "offset", d.key, d.value, d.value_length, d.value_sha256, d.value_cut,
    d.headers, d.reason, d.error, d.stack, d.occurred_at,
    (select max(r.replayed_at) from dead_letter_replays as r where r.event_id = d.event_id) as replayed_at
from dead_letters as d
where d.id = $1

-- name: dead_letter_original
-- Where a dead letter is in Kafka, and whether its record can be sent again from it.
select event_id, topic, value_cut, kafka_partition, kafka_offset from dead_letters where id = $1

-- name: mark_replayed
-- Write down that a dead letter is sent again. Returns nothing when this very action was done before.
insert into dead_letter_replays (action_id, event_id, actor) values ($1, $2, $3)
on conflict (event_id, action_id) do nothing
returning action_id

-- name: time_to_key
-- From the settled payment to the accepted mail, over mails accepted since a moment, in seconds.
select
    count(*) as count,
    percentile_cont(0.5) within group (order by seconds) as p50,
    percentile_cont(0.9) within group (order by seconds) as p90,
    percentile_cont(0.99) within group (order by seconds) as p99
from (
    select extract(epoch from mailed_at - paid_at)::float8 as seconds
    from orders
    where mailed_at is not null and paid_at is not null and ($1::timestamptz is null or mailed_at >= $1)
) as waits
