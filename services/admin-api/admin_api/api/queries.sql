-- name: orders
-- The orders as a list shows them.
select
    o.id::text as id, o.status, o.email, o.currency, o.total, o.kinguin_reservation_id, o.review, o.placed_at, o.paid_at,
    o.mailed_at, o.closed_at, o.updated_at, extract(epoch from o.mailed_at - o.paid_at)::float8 as time_to_key_seconds,
    coalesce(o.placed_at, '-infinity'::timestamptz) as sort_1, o.id as sort_2
from orders as o

-- name: order
-- All of one order but its parts.
select
    o.id::text as id, o.status, o.email, o.currency, o.total, o.kinguin_reservation_id, o.review, o.placed_at, o.paid_at,
    o.mailed_at, o.closed_at, o.updated_at, extract(epoch from o.mailed_at - o.paid_at)::float8 as time_to_key_seconds,
    o.version, o.invoice_id, o.pay_url, o.object_key, o.owed, o.message_id, o.incidents, o.purchased_at, o.received_at,
    o.stored_at, o.revealed_at, o.link_generation, o.mails as mail_states
from orders as o
where o.id = $1::uuid

-- name: orders_by_code
-- The orders that have a code, by one of its hashes, {hash}. Parameters: that hash with each key, how many at most.
select h.order_id::text as order_id, max(h.reservation_id) as reservation_id, max(h.first_seen_at) as first_seen_at,
    max(o.status) as status, max(o.placed_at) as placed_at
from code_hashes as h
left join orders as o on o.id = h.order_id
where h.{hash} = any($1::bytea[])
group by h.order_id
order by max(h.first_seen_at) desc, h.order_id
limit $2

-- name: order_status
-- Whether there is such an order, and where it is.
select status, exists (select from order_events as e where e.order_id = orders.id and e.type = 'order.retired') as has_left
from orders where id = $1::uuid

-- name: items_of_order
-- The items of an order, in its order.
select id, position, product_id, title, quantity, unit_price, status, reservation_id, expected_at
from order_items
where order_id = $1::uuid
order by position, id

-- name: keys_of_order
-- Where the codes of an order are.
select k.order_item_id, k.position, k.storage_ref, k.media_type, k.created_at, k.viewed_at
from keys as k
where k.order_id = $1::uuid
order by k.order_item_id, k.position

-- name: mails_of_order
-- The mails of an order without their texts, whose links open the codes.
select
    id, kind, sender, recipient, subject, status, attempts, rendered_at, link_expires_at, last_attempt_at, last_error,
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
    price_currency, pay_amount, pay_currency, actually_paid, outcome_amount, outcome_currency, first_seen_at, updated_at,
    updated_at as sort_1, id as sort_2
from payments

-- name: reservations
-- The reservations as a list shows them.
select id, order_id::text as order_id, order_item_id, order_item_ids, status, reserved_at, given_at, delivered_at,
    ended_at, reserved_at as sort_1, id as sort_2
from reservations

-- name: webhook_logs
-- The notifications as a list shows them; bodies can have 256 KiB, so a list has the beginning only.
select
    id, provider, external_id, event_type, order_id::text as order_id, headers, left(body, 4096) as body,
    length(body) > 4096 as body_cut, body_sha256, matched, remote_address, note, event_topic, event_key, event, repeats,
    first_received_at, last_received_at, last_received_at as sort_1, id as sort_2
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
    (select max(r.replayed_at) from dead_letter_replays as r where r.event_id = d.event_id) as replayed_at,
    (select earlier.id from dead_letters as earlier where earlier.event_id = d.replay_of) as replay_of,
    array(select later.id from dead_letters as later where later.replay_of = d.event_id order by later.id) as replayed_as,
    d.occurred_at as sort_1, d.id as sort_2
from dead_letters as d

-- name: dead_letter
-- One dead letter, as whole as it is.
select
    d.id, d.consumer, d.topic, d.partition, d.record_offset as "offset", d.key, d.value, d.value_length, d.value_sha256, d.value_cut,
    d.headers, d.reason, d.error, d.stack, d.occurred_at,
    (select max(r.replayed_at) from dead_letter_replays as r where r.event_id = d.event_id) as replayed_at,
    (select earlier.id from dead_letters as earlier where earlier.event_id = d.replay_of) as replay_of,
    array(select later.id from dead_letters as later where later.replay_of = d.event_id order by later.id) as replayed_as
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

-- name: few_mails
-- Whether there are few enough mails since a moment to sort their waits. Parameters: since, how many are few.
select count(*) <= $2::integer
from (
    select from orders
    where mailed_at is not null and paid_at is not null and mailed_at >= coalesce($1::timestamptz, '-infinity')
    limit $2::integer + 1
) as mails

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
    where mailed_at is not null and paid_at is not null and mailed_at >= coalesce($1::timestamptz, '-infinity')
) as waits

-- name: time_to_key_counted
-- The same from the days' counts, and of the first day from its orders: the middles of the buckets. Parameter: since.
with counted as (
    select bucket, sum(mails::float8) as mails
    from (
        select bucket, mails from time_to_key_days
        where day > coalesce(($1::timestamptz at time zone 'UTC')::date, '-infinity')
        union all
        select time_to_key_bucket(mailed_at - paid_at), 1 from orders
        where mailed_at is not null and paid_at is not null and mailed_at >= $1
            and mailed_at < (date_trunc('day', $1, 'UTC') + interval '24 hours')
    ) as parts
    group by bucket
),
ranked as (
    select exp((bucket + 0.5) / 50)::float8 as seconds, sum(mails) over (order by bucket) as upto, sum(mails) over () as total
    from counted
)
select
    coalesce(max(total), 0)::bigint as count, min(seconds) filter (where upto >= 0.5 * total) as p50,
    min(seconds) filter (where upto >= 0.9 * total) as p90, min(seconds) filter (where upto >= 0.99 * total) as p99
from ranked

-- name: count_letters
-- The dead letters that a filter finds, in groups of where they were, why they are here and whether they are whole.
select d.topic, d.reason, d.value_cut, count(*) as letters from dead_letters as d

-- name: begin_bulk_replay
-- Write down that many dead letters are to be sent again. Returns nothing when this very action was begun before.
insert into bulk_replays (id, action_id, request, matching, actor) values ($1, $2, $3, 0, $4)
on conflict (id) do nothing
returning id

-- name: asked_bulk_replay
-- What an action had asked for.
select request from bulk_replays where id = $1

-- name: choose_letters
-- Fix the dead letters of a replay; those of one partition in the order of its records. Returns how many there are.
with found as materialized (
    select d.id, d.event_id, d.topic, d.partition, d.record_offset from dead_letters as d {where}
),
chosen as (
    insert into bulk_replay_items (replay_id, position, dead_letter_id, event_id)
    select {replay}, row_number() over in_order, id, event_id from found
    window in_order as (order by topic, partition, record_offset, id)
    order by row_number() over in_order
    limit {limit}
)
update bulk_replays set matching = (select count(*) from found)
where id = {replay}
returning matching

-- name: bulk_replays
-- Replays and how far they are.
select
    r.id, r.action_id, r.request, r.matching, r.actor, r.created_at, r.started_at, r.finished_at, r.canceled_at, r.trouble,
    items.total, items.waiting, items.sent, items.refused, items.canceled, items.failed_again,
    r.created_at as sort_1, r.id as sort_2
from bulk_replays as r
cross join lateral (
    select
        count(*) as total,
        count(*) filter (where i.result = 'waiting') as waiting,
        count(*) filter (where i.result = 'sent') as sent,
        count(*) filter (where i.result = 'refused') as refused,
        count(*) filter (where i.result = 'canceled') as canceled,
        count(*) filter (
            where exists (
                select from dead_letters as later
                where later.replay_of = i.event_id and later.replay_action = r.action_id
            )
        ) as failed_again
    from bulk_replay_items as i
    where i.replay_id = r.id
) as items

-- name: bulk_replay_items
-- What became of each dead letter of a replay.
select
    i.position, i.dead_letter_id, i.result, i.detail, i.done_at,
    (
        select later.id from dead_letters as later
        where later.replay_of = i.event_id and later.replay_action = r.action_id
        order by later.id limit 1
    ) as failed_again_as,
    i.position as sort_1, i.replay_id as sort_2
from bulk_replay_items as i
join bulk_replays as r on r.id = i.replay_id

-- name: cancel_bulk_replay
-- End a replay; what was not sent yet never will be. Returns nothing when there is none, or it has ended.
update bulk_replays set canceled_at = now(), finished_at = now(), trouble = null
where id = $1 and finished_at is null
returning id

-- name: cancel_items
-- What is left of a replay that was ended.
update bulk_replay_items set result = 'canceled', done_at = now() where replay_id = $1 and result = 'waiting'

-- name: claim_bulk_replay
-- Take the oldest replay that is not finished, unless somebody alive has it: one after the other, so that together
-- they keep to one pace. Parameters: who takes it, for how long.
update bulk_replays
set claimed_by = $1, claimed_until = now() + $2, started_at = coalesce(started_at, now())
where id = (select id from bulk_replays where finished_at is null order by created_at, id limit 1)
    and finished_at is null
    and (claimed_by = $1 or claimed_until is null or claimed_until <= now())
returning id, action_id, actor

-- name: keep_bulk_replay
-- Stay the one who carries a replay out. Returns nothing when it was ended, or taken over.
update bulk_replays set claimed_until = now() + $3, trouble = null
where id = $1 and claimed_by = $2 and finished_at is null
returning id

-- name: next_items
-- What is to be sent next, and where it is.
select
    i.position, i.dead_letter_id, i.event_id, d.topic, d.value_cut, d.kafka_partition, d.kafka_offset
from bulk_replay_items as i
left join dead_letters as d on d.event_id = i.event_id
where i.replay_id = $1 and i.result = 'waiting'
order by i.position
limit $2

-- name: end_item
-- Write down what became of one. Parameters: replay, position, result, detail.
update bulk_replay_items set result = $3, detail = $4, done_at = now()
where replay_id = $1 and position = $2 and result = 'waiting'

-- name: finish_bulk_replay
-- End a replay of which nothing is left.
update bulk_replays set finished_at = now(), trouble = null
where id = $1 and finished_at is null
    and not exists (select from bulk_replay_items where replay_id = $1 and result = 'waiting')

-- name: trouble_bulk_replay
-- Tell why a replay stands still.
update bulk_replays set trouble = $2 where id = $1 and finished_at is null

-- name: stock
-- How many codes of a product are where.
select *, product_id as sort_1, product_id as sort_2 from (
    select
        product_id, count(*) filter (where state = 'free') as free, count(*) filter (where state = 'reserved') as reserved,
        count(*) filter (where state = 'sent') as sent, count(*) filter (where state = 'delivered') as delivered,
        count(*) filter (where state = 'returned') as returned, count(*) filter (where state = 'refunded') as refunded,
        count(*) filter (where state = 'reversed') as reversed, count(*) filter (where state = 'withheld') as withheld,
        count(*) as total, max(imported_at) as last_imported_at
    from stock_codes
    group by product_id
) as s

-- name: begin_import
-- Note a file once.
insert into stock_imports (id, product_id, lines, imported, in_file, in_stock, actor) values ($1, $2, $3, 0, 0, 0, $4)
on conflict (id) do nothing
returning true

-- name: store_codes
-- Add the codes that are not there yet, in the order of the file.
insert into stock_codes (product_id, import_id, code_hash, sealed)
select $1, $2, c.digest, c.sealed
from unnest($3::bytea[], $4::jsonb[]) with ordinality as c (digest, sealed, number)
order by c.number
on conflict (code_hash) do nothing
returning code_hash

-- name: known_codes
-- How many of these codes the stock has, or had. Parameter: their hashes, each once.
select count(*) from stock_codes where code_hash = any($1::bytea[])

-- name: end_import
-- Count what became of a file.
update stock_imports set imported = $2, in_file = $3, in_stock = $4 where id = $1

-- name: stock_import
-- What became of a file.
select id as import_id, product_id, lines, imported, in_file, in_stock from stock_imports where id = $1

-- name: offers
-- Our offers as they were last read.
select offer_id, product_id, name, status, available, buyable, reserved, declared, wanted, problems, read_at,
    product_id as sort_1, offer_id as sort_2
from stock_offers

-- name: offer_problems
-- What is wrong with an offer.
select offer_id, problems, read_at from stock_offers where offer_id = $1

-- name: begin_action
-- Write down a click. Returns nothing when it was written down before. Parameters: id, kind, who, target, order, request.
insert into admin_actions (action_id, kind, actor, target, order_id, request, sent_at) values ($1, $2, $3, $4, $5, $6, now())
on conflict (action_id) do nothing
returning action_id

-- name: known_action
-- What a click had asked for.
select kind, target, request, refused from admin_actions where action_id = $1

-- name: refuse_action
-- Write down that a click was refused. Parameters as above, and why.
insert into admin_actions (action_id, kind, actor, target, order_id, request, refused) values ($1, $2, $3, $4, $5, $6, $7)
on conflict (action_id) do nothing

-- name: actions
-- Clicks, with what their orders say of them.
select
    a.action_id, a.kind, a.actor, a.target, a.order_id::text as order_id, a.asked_at, a.refused, o.status as order_status,
    o.review,
    case when a.kind = 'returnKeys' then o.incidents end as incidents,
    case when a.kind = 'returnKeys' then (
        select max(r.ended_at) from reservations as r where r.order_id = o.id and r.status = 'reversed'
    ) end as returned_at,
    (
        select answer from jsonb_array_elements(o.actions) as answer where answer ->> 'action_id' = a.action_id limit 1
    ) as answer,
    a.asked_at as sort_1, a.action_id as sort_2
from admin_actions as a
left join orders as o on o.id = a.order_id

-- name: audit_entries
-- The audit log as a list shows it.
select number, at, actor, via, action, target, reason, result, details, encode(hash, 'hex') as hash,
    number as sort_1, number as sort_2
from audit_log

-- name: effects
-- Tries of calls, without their outcomes' contents.
select
    effect_id, order_id::text as order_id, kind, attempt, claimed_by, claimed_at, deadline, finished_at,
    extract(epoch from finished_at - claimed_at)::float8 as duration_seconds, outcome ->> 'type' as outcome,
    failure, failed_cause as cause, outcome ->> 'detail' as detail,
    claimed_at as sort_1, effect_id as sort_2
from effect_ledger

-- name: mails
-- Mails without their texts, whose links open the codes.
select
    id, order_id::text as order_id, kind, sender, recipient, subject, status, attempts, rendered_at, link_expires_at,
    last_attempt_at, last_error, provider_message_id, accepted_at, rendered_at as sort_1, id as sort_2
from emails

-- name: reviews
-- Orders that wait for a human.
select
    o.id::text as order_id, o.review ->> 'cause' as cause, o.review ->> 'detail' as detail,
    o.review ->> 'item_id' as item_id, (o.review ->> 'since')::timestamptz as since, o.email, o.currency, o.total,
    o.paid_at, (o.review ->> 'since')::timestamptz as sort_1, o.id as sort_2
from orders as o

-- name: open_orders
-- How many orders are open, by status.
select status, count(*) as orders
from orders
where status in ('awaiting_payment', 'paid', 'purchasing', 'delivering', 'needs_review')
group by status
order by status

-- name: review_causes
-- Why orders wait for a human, the most frequent first.
select review ->> 'cause' as cause, count(*) as orders, min((review ->> 'since')::timestamptz) as oldest_since
from orders
where status = 'needs_review' and review is not null
group by review ->> 'cause'
order by count(*) desc, review ->> 'cause'

-- name: figures
-- Figures of the last day.
select
    (
        select count(*) from orders where coalesce(placed_at, '-infinity'::timestamptz) >= now() - interval '1 day'
    ) as placed_last_day,
    (
        select count(*) from orders
        where mailed_at >= now() - interval '1 day' and mailed_at is not null and paid_at is not null
    ) as mailed_last_day,
    (select count(*) from dead_letters where occurred_at >= now() - interval '1 day') as dead_letters_last_day,
    (select count(*) from effect_ledger where finished_at is null and deadline < now()) as unfinished_calls

-- name: failure_groups
-- Failed calls since a moment, by what failed and why.
select
    kind as call, failure, failed_cause as cause, count(*) as count,
    count(distinct order_id) as orders, min(finished_at) as first_at, max(finished_at) as last_at,
    (array_agg(order_id::text order by finished_at desc))[1] as newest_order_id
from effect_ledger
where failed_cause is not null and finished_at >= $1
group by kind, failure, failed_cause
order by count(*) desc, kind, failed_cause
limit 200

-- name: calls_last_hour
-- The calls of the last hour, by kind.
select
    kind, count(*) as calls, count(finished_at) as ended,
    count(*) filter (where outcome ->> 'type' = 'effect.failed') as failures, max(claimed_at) as last_call_at,
    max(finished_at) filter (where outcome ->> 'type' <> 'effect.failed') as last_success_at
from effect_ledger
where claimed_at >= now() - interval '1 hour'
group by kind

-- name: balances
-- The newest reading of each account.
select distinct on (account) account, balance, currency, low, read_at
from balance_readings
order by account, read_at desc

-- name: time_to_key_series
-- Time-to-key hour by hour or day by day, over mails accepted since a moment. Parameters: hour or day, since.
select
    date_trunc($1, mailed_at, 'UTC') as at, count(*) as count,
    percentile_cont(0.5) within group (order by extract(epoch from mailed_at - paid_at)::float8) as p50,
    percentile_cont(0.9) within group (order by extract(epoch from mailed_at - paid_at)::float8) as p90,
    percentile_cont(0.99) within group (order by extract(epoch from mailed_at - paid_at)::float8) as p99
from orders
where mailed_at is not null and paid_at is not null and mailed_at >= $2
group by 1
order by 1

-- name: time_to_key_days_counted
-- Time-to-key day by day from the days' counts, and of the first day from its orders. Parameter: since.
with counted as (
    select day, bucket, sum(mails::float8) as mails
    from (
        select day, bucket, mails from time_to_key_days where day > ($1::timestamptz at time zone 'UTC')::date
        union all
        select (mailed_at at time zone 'UTC')::date, time_to_key_bucket(mailed_at - paid_at), 1 from orders
        where mailed_at is not null and paid_at is not null and mailed_at >= $1
            and mailed_at < (date_trunc('day', $1, 'UTC') + interval '24 hours')
    ) as parts
    group by day, bucket
),
ranked as (
    select
        day, exp((bucket + 0.5) / 50)::float8 as seconds, sum(mails) over (partition by day order by bucket) as upto,
        sum(mails) over (partition by day) as total
    from counted
)
select
    day::timestamp at time zone 'UTC' as at, max(total)::bigint as count, min(seconds) filter (where upto >= 0.5 * total) as p50,
    min(seconds) filter (where upto >= 0.9 * total) as p90, min(seconds) filter (where upto >= 0.99 * total) as p99
from ranked
group by day
order by day

-- name: notifications_of_order
-- The notifications about an order, oldest first.
select id, provider, event_type, repeats, first_received_at, last_received_at
from webhook_logs
where order_id = $1::uuid
order by first_received_at, id
limit 2000

-- name: actions_of_order
-- What was asked of an order, oldest first.
select action_id, kind, actor, asked_at, refused from admin_actions where order_id = $1::uuid order by asked_at, action_id
