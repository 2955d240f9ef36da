-- name: begin
-- What tells chances: from 0 up to 1, the same for the same order and question in every run.
create function pg_temp.chance(number bigint, question text) returns float8 language sql immutable parallel safe as
$$ select (hashtextextended(question, number) & 1048575)::float8 / 1048576 $$;

create temporary table batch (
    number bigint, id uuid, placed_at timestamptz, paid boolean, status text, email text, product integer, items integer,
    paid_at timestamptz, mailed_at timestamptz, total numeric, payment text, reservation text, age interval
);

set local maintenance_work_mem = '512MB';

select add_month_of_webhook_logs(now() - make_interval(months => back)) from generate_series(0, 12) as back;

-- name: indexes
-- The indexes of tables, but for those that keep rows unique.
select
    indexrelid::regclass::text as name, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') as definition,
    format('comment on index %s is %L', indexrelid::regclass, obj_description(indexrelid, 'pg_class')) as commented
from pg_index
where indrelid = any($1::text[]::regclass[]) and not exists (select from pg_constraint where conindid = indexrelid)
order by indrelid, indexrelid

-- name: choose
-- The orders from $1 to $2 of $3: of a year, more each day, and most buyers come once while some come often.
insert into batch
with placed as (
    select
        number, md5('order ' || number)::uuid as id,
        now() - interval '365 days' * power(($3 - number)::float8 / $3, 1.3) as placed_at,
        pg_temp.chance(number, 'fate') as fate,
        floor(greatest($3 * 0.3, 1) * power(pg_temp.chance(number, 'buyer'), 2))::bigint as buyer,
        floor(5000 * power(pg_temp.chance(number, 'product'), 3))::integer as product,
        case when pg_temp.chance(number, 'items') < 0.75 then 1 when pg_temp.chance(number, 'items') < 0.95 then 2 else 3 end
            as items,
        interval '4 minutes' * (1 + 5 * power(pg_temp.chance(number, 'payment'), 2)) as pays,
        interval '1 second' * (2 + 4 * pg_temp.chance(number, 'wait') + 3000 * power(pg_temp.chance(number, 'wait'), 40))
            as waits
    from generate_series($1::bigint, $2::bigint) as number
),
judged as (
    select
        *,
        case
            when fate < 0.0003 then 'needs_review'
            when placed_at + pays + waits > now() then
                case when fate < 0.7 then 'awaiting_payment' when fate < 0.8 then 'paid' when fate < 0.95 then 'purchasing' else 'delivering' end
            when fate < 0.08 then 'canceled'
            when fate < 0.09 then 'failed'
            when fate < 0.1 then 'refunded'
            else 'fulfilled'
        end as status
    from placed
)
select
    number, id, placed_at, status not in ('canceled', 'failed', 'awaiting_payment'), status,
    (array['anna', 'ben', 'chloe', 'david', 'elif', 'fatima', 'george', 'hana', 'ivan', 'julia', 'kenji', 'lena', 'marco', 'nora', 'omar', 'petra'])
        [1 + buyer % 16] || '.' ||
    (array['smith', 'garcia', 'mueller', 'rossi', 'tanaka', 'novak', 'silva', 'kowalski', 'dubois', 'yilmaz', 'jansen'])[1 + buyer % 11] ||
    buyer || '@' ||
    case when buyer % 20 < 9 then 'gmail.example' when buyer % 20 < 13 then 'outlook.example' when buyer % 20 < 15 then 'yahoo.example'
        else 'host' || buyer % 5000 || '.example' end,
    product, items,
    case when status not in ('canceled', 'failed', 'awaiting_payment') then placed_at + pays end,
    case when status = 'fulfilled' then placed_at + pays + waits end,
    items * (4.99 + product % 60), (4000000000 + number)::text, 'res-' || md5('reservation ' || number), now() - placed_at
from judged

-- name: orders
insert into orders (
    id, status, email, currency, total, request_hash, pay_url, invoice_id, kinguin_reservation_id, object_key, message_id, review,
    incidents, version, placed_at, paid_at, purchased_at, received_at, stored_at, mailed_at, revealed_at, closed_at, updated_at, product_ids
)
select
    id, status, email, 'eur', total, md5(number::text), 'https://pay.example.test/' || payment, 'inv-' || payment,
    case when paid then reservation end, case when status = 'fulfilled' then 'keys/' || id || '.json' end,
    case when status = 'fulfilled' then id || '/mail/1' end,
    case when status = 'needs_review' then jsonb_build_object(
        'cause', (array['out_of_stock', 'underpaid', 'price_above_cap', 'mail_outcome_unknown', 'stuck'])[1 + number % 5],
        'detail', 'as Kinguin said', 'item_id', id || '-1', 'since', placed_at + interval '20 minutes'
    ) end,
    '[]', 9, placed_at, paid_at, paid_at + (mailed_at - paid_at) * 0.3, paid_at + (mailed_at - paid_at) * 0.8,
    paid_at + (mailed_at - paid_at) * 0.9, mailed_at,
    case when pg_temp.chance(number, 'reveals') < 0.9 then mailed_at + interval '3 minutes' end,
    case when status in ('fulfilled', 'canceled', 'failed', 'refunded') then coalesce(mailed_at, placed_at + interval '1 day') end,
    coalesce(mailed_at, placed_at + interval '1 hour'),
    array(select distinct 'product-' || (product + (position - 1) * 7) % 5000 from generate_series(1, items) as position order by 1)
from batch

-- name: time_to_key_days
insert into time_to_key_days as stored (day, bucket, mails)
select (mailed_at at time zone 'UTC')::date, time_to_key_bucket(mailed_at - paid_at), count(*)
from batch
where mailed_at is not null
group by 1, 2
on conflict (day, bucket) do update set mails = stored.mails + excluded.mails

-- name: order_items
insert into order_items (id, order_id, position, product_id, title, quantity, unit_price, status, reservation_id, order_version)
select
    id || '-' || position, id, position, 'product-' || (product + (position - 1) * 7) % 5000, 'Game ' || product, 1, 4.99 + product % 60,
    case when status = 'fulfilled' then 'stored' when status = 'canceled' then 'canceled' else 'waiting' end,
    case when paid then reservation end, 9
from batch, generate_series(1, items) as position

-- name: keys
insert into keys (order_item_id, position, order_id, storage_ref, viewed_at, created_at, order_version)
select id || '-' || position, 1, id, 'keys/' || id || '.json', mailed_at + interval '3 minutes', mailed_at, 9
from batch, generate_series(1, items) as position
where status = 'fulfilled'

-- name: payments
insert into payments (
    id, order_id, invoice_id, status, provider_status, verdict, price_amount, price_currency, pay_amount, pay_currency, actually_paid,
    first_seen_at, updated_at, order_version
)
select
    payment || case when again then 'b' else '' end, id, 'inv-' || payment, told.status, told.status,
    case when again then 'extra' when told.status = 'finished' then 'accepted' when told.status = 'waiting' then 'open' else 'ended' end,
    total, 'eur', total / 50000, (array['btc', 'eth', 'usdttrc20', 'ltc'])[1 + number % 4], case when paid then total / 50000 else 0 end,
    placed_at, coalesce(paid_at, placed_at + interval '20 minutes'), 9
from batch
cross join lateral (
    select case when paid then 'finished' when batch.status = 'awaiting_payment' then 'waiting' when batch.status = 'failed' then 'failed' else 'expired' end
        as status
) as told
cross join lateral (select false as again union all select true where pg_temp.chance(number, 'again') < 0.03) as times

-- name: reservations
insert into reservations (
    id, order_id, order_item_id, order_item_ids, purchase_id, status, reserved_at, given_at, delivered_at, ended_at, order_version
)
select
    reservation, id, id || '-1', array(select id || '-' || position from generate_series(1, items) as position), id || '-1',
    case when status = 'fulfilled' then 'delivered' when status = 'refunded' then 'canceled' else 'reserved' end,
    paid_at + interval '1 second', paid_at + interval '2 seconds', mailed_at, case when status = 'refunded' then placed_at + interval '1 hour' end, 9
from batch
where paid

-- name: order_events
insert into order_events (
    order_id, event_id, type, occurred_at, recorded_at, payload, kafka_partition, kafka_offset, repeats, last_recorded_at
)
select
    id, id || '/' || type, type, placed_at + step * interval '20 seconds', placed_at + step * interval '20 seconds',
    jsonb_build_object('payment_id', payment, 'status', status, 'reservation_id', reservation, 'note', 'as the provider told it'),
    number % 8, number * 10 + step, 0, placed_at + step * interval '20 seconds'
from batch
cross join unnest(array[
    'order.placed', 'payment.changed', 'payment.settled', 'key.purchased', 'codes.received', 'keys.stored', 'mail.sent', 'keys.revealed'
]) with ordinality as happened (type, step)
where paid or step <= 2

-- name: effect_ledger
insert into effect_ledger (effect_id, order_id, kind, attempt, claimed_by, claimed_at, deadline, finished_at, outcome)
select
    id || '-1/' || kind || '/' || attempt, id, kind, attempt, 'seed-1', begun, begun + interval '1 minute',
    begun + interval '1 second' * (0.05 + pg_temp.chance(number, kind)),
    case
        when failed then jsonb_build_object(
            'type', 'effect.failed', 'failure', (array['transient', 'transient', 'refused', 'unknown'])[1 + number % 4],
            'cause', (array['supplier_unavailable', 'supplier_rate_limited', 'out_of_stock', 'timeout', 'mail_unavailable'])[1 + number % 5],
            'detail', 'HTTP 503', 'effect_id', id || '-1/' || kind || '/' || attempt
        )
        else jsonb_build_object('type', outcome, 'effect_id', id || '-1/' || kind || '/' || attempt, 'reservation_id', reservation)
    end
from batch
cross join unnest(
    array['check_payment', 'buy_key', 'fetch_codes', 'store_keys', 'send_mail'],
    array['payment.checked', 'key.purchased', 'codes.received', 'keys.stored', 'mail.sent']
) with ordinality as call (kind, outcome, step)
cross join lateral (
    select 1 as attempt, pg_temp.chance(number, 'fails ' || kind) < 0.02 as failed
    union all select 2, false where pg_temp.chance(number, 'fails ' || kind) < 0.02
) as tries
cross join lateral (select paid_at + step * interval '300 milliseconds' + (attempt - 1) * interval '30 seconds' as begun) as at
where paid

-- name: emails
insert into emails (
    id, order_id, kind, sender, recipient, subject, html, text, link_expires_at, rendered_at, status, provider_message_id, attempts,
    last_attempt_at, accepted_at
)
select
    id || '/mail/1', id, 'keys', 'shop@bitloot.example', email, 'Your BitLoot Order', '', '', mailed_at + interval '15 minutes', mailed_at,
    case when pg_temp.chance(number, 'mail') < 0.001 then 'refused' else 'accepted' end, md5('mail ' || number), 1, mailed_at, mailed_at
from batch
where status = 'fulfilled'

-- name: webhook_logs
-- Ten for each order; those who paid nothing leave room for sales of our own codes, which belong to no order. And their keys.
with written as (
    insert into webhook_logs (
        id, provider, external_id, event_type, order_id, headers, body, body_sha256, matched, remote_address, note, event_topic, event_key,
        event, repeats, first_received_at, last_received_at, kafka_partition, kafka_offset
    )
    select
        (1::bigint << 45) + number * 10 + step, provider, external, event_type, case when provider <> 'kinguin-seller' then id end,
        jsonb_build_object('content-type', 'application/json', 'user-agent', provider || '/2.1', 'x-request-id', md5('request ' || number * 10 + step)),
        format(
            '{"id": "%s", "event": "%s", "order_id": "%s", "price_amount": %s, "price_currency": "eur", "purchase_id": "%s", "created_at": "%s", "updated_at": "%s"}',
            external, event_type, id, total, md5('purchase ' || number), placed_at, at
        ),
        encode(sha256(convert_to(external || event_type, 'utf8')), 'hex'), 'current', '203.0.113.' || number % 200, '', 'orders.events.v1', id::text,
        jsonb_build_object('type', 'payment.changed', 'payment_id', payment, 'status', event_type),
        case when pg_temp.chance(number * 10 + step, 'repeats') < 0.1 then 1 else 0 end, at, at, number % 8, number * 10 + step
    from batch
    cross join unnest(
        array['nowpayments', 'nowpayments', 'nowpayments', 'nowpayments', 'nowpayments', 'kinguin', 'kinguin', 'kinguin', 'resend', 'resend'],
        array['waiting', 'confirming', 'confirmed', 'sending', 'finished', 'reserve', 'give', 'delivered', 'email.sent', 'email.delivered']
    ) with ordinality as usual (usual_provider, usual_type, step)
    cross join lateral (
        select
            case when paid or step <= 2 then usual_provider else 'kinguin-seller' end as provider,
            case when paid or step = 1 then usual_type when step = 2 then 'expired'
                else (array['reserve', 'give', 'delivered', 'cancel'])[1 + step % 4] end as event_type,
            placed_at + step * interval '25 seconds' as at
    ) as told
    cross join lateral (
        select case provider when 'nowpayments' then payment when 'kinguin' then reservation when 'resend' then 'mail-' || number else 'sale-' || number * 10 + step / 4 end
            as external
    ) as named
    returning provider, external_id, event_type, id, first_received_at
)
insert into webhook_log_keys select * from written

-- name: dead_letters
insert into dead_letters (
    id, event_id, consumer, topic, partition, record_offset, key, value, value_length, value_sha256, value_cut, headers, reason, error,
    stack, occurred_at, kafka_partition, kafka_offset
)
select
    (1::bigint << 45) + number, 'dead-letter/' || number, (array['fulfillment', 'kinguin', 'delivery', 'sink'])[1 + number / 50 % 4],
    (array['orders.events.v1', 'kinguin.calls.v1', 'deliveries.v1', 'webhooks.log.v1'])[1 + number / 50 % 4], number % 8, number, id::text,
    format('{"order_id": "%s", "type": "%s"}', id, md5(number::text)), 90, md5(number::text), false, '{"traceparent": "00-1-2-01"}',
    (array['bad_record', 'bad_record', 'bad_record', 'defect', 'unknown_reservation'])[1 + number / 50 % 5], 'record: json_invalid', '', placed_at,
    number % 8, number
from batch
where number % 50 = 0

-- name: dead_letter_replays
insert into dead_letter_replays (event_id, action_id, actor, replayed_at)
select 'dead-letter/' || number, 'seeded-' || number, 'seed', placed_at + interval '1 hour' from batch where number % 150 = 0

-- name: bulk_replays
insert into bulk_replays (id, action_id, request, matching, actor, created_at, started_at, finished_at)
select
    md5('replay ' || number)::uuid::text, 'seeded-' || number,
    '{"filter": {"topic": null, "consumer": null, "reason": "defect", "occurredFrom": null, "occurredTo": null, "replayed": false}, "limit": 1000}',
    200, 'seed', placed_at, placed_at, placed_at + interval '1 minute'
from batch
where number % 20000 = 0

-- name: bulk_replay_items
insert into bulk_replay_items (replay_id, position, dead_letter_id, event_id, result, done_at)
select
    md5('replay ' || number)::uuid::text, position, (1::bigint << 45) + number - 50 * position, 'dead-letter/' || number - 50 * position, 'sent',
    placed_at
from batch, generate_series(1, 200) as position
where number % 20000 = 0

-- name: admin_actions
insert into admin_actions (action_id, kind, actor, target, order_id, request, asked_at, sent_at)
select 'seeded-' || number, 'reprocess', 'seed', id::text, id, '{}', placed_at + interval '1 hour', placed_at + interval '1 hour'
from batch
where number % 200 = 0

-- name: stock_codes
-- Sold ones: no worker takes them for something to sell. What is sealed in them is nothing.
insert into stock_codes (product_id, code_hash, sealed, import_id, state, reservation_id, imported_at, sent_at, settled_at)
select
    'product-' || product, sha256(convert_to('seeded ' || number, 'utf8')), '{"key_id": "seed", "box": ""}', 'seeded', 'delivered',
    'sale-' || number, placed_at, placed_at, placed_at
from batch
where number % 50 = 0

-- name: balance_readings
insert into balance_readings (account, balance, currency, low, read_at)
select 'kinguin/seed', 5000 - number % 4000, 'eur', false, placed_at from batch where number % 30 = 0

-- name: end_batch
truncate batch
