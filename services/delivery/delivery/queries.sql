-- name: look
-- Of each mail asked for the personal key of its order, and the newest rendering: its base id, else the one with the
-- highest number behind it.
select asked.base, stored.order_id is not null as key_is_known, stored.key, newest.*
from unnest($1::uuid[], $2::text[]) as asked (of_order, base)
left join personal_keys as stored on stored.order_id = asked.of_order
left join lateral (
    select id, order_id, kind, sender, recipient, subject, html, text, link_expires_at, rendered_at, status, provider_message_id
    from emails
    where order_id = asked.of_order and (id = asked.base or starts_with(id, asked.base || '.'))
    order by length(id) desc, id desc
    limit 1
) as newest on true

-- name: begin_new
-- Keep a rendering of which a try begins, and tell its id; an earlier one of the same id wins, then there is no row. An
-- erasure that runs is waited for: after it, nothing is kept.
insert into emails (
    id, order_id, kind, sender, recipient, subject, html, text, link_expires_at, rendered_at,
    status, attempts, last_attempt_at
)
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'sending', 1, now()
from personal_keys where order_id = $2 and key is not null
for share
on conflict (id) do nothing
returning id

-- name: begin
-- Count a try. Whoever finds one without an end can no longer know that all of them came to nothing.
update emails set
    status = case status
        when 'rendered' then 'sending'
        when 'sending' then 'unknown'
        else status
    end,
    attempts = attempts + 1,
    last_attempt_at = now()
where id = $1
returning id, order_id, kind, sender, recipient, subject, html, text, link_expires_at, rendered_at, status, provider_message_id

-- name: accepted
-- The provider has it; the first answer stands.
update emails set status = 'accepted', provider_message_id = $2, accepted_at = now(), last_error = null
where id = $1 and status <> 'accepted'

-- name: failed
-- What is unknown stays unknown whatever a later try says; what is accepted stays accepted.
update emails set status = case when status = 'sending' then $2 else status end, last_error = $3
where id = $1 and status <> 'accepted'

-- name: orders_of_address
-- The newest orders of a mail address, in whatever case it was written.
select
    id, link_generation, placed_at,
    (select title from order_items where order_id = orders.id order by position limit 1) as title
from orders
where lower(email) = lower($1) and placed_at is not null
order by placed_at desc
limit 20

-- name: newest_of_address
-- The newest order of a mail address.
select id from orders where lower(email) = lower($1) and placed_at is not null order by placed_at desc limit 1

-- name: versions
-- The versions of orders that somebody watches. Parameter: their ids.
select id, version from orders where id = any ($1::uuid[])

-- name: over_age
-- Keys that are kept for longer than $1 (an interval), but for some.
select distinct storage_ref, order_id
from keys
where created_at < now() - $1::interval and storage_ref <> all ($2::text[])
    and not exists (select from deleted_objects as gone where gone.object_key = keys.storage_ref)
limit 100

-- name: forget
-- Note that an object is deleted.
insert into deleted_objects (object_key, order_id) values ($1, $2) on conflict (object_key) do nothing

-- name: order_of_page
-- What the buyer's page shows of an order, its items in order.
select
    version, status, email, pay_url, object_key, mails, link_generation, review ->> 'cause' as review_cause,
    to_jsonb(orders) -> 'payment_instructions' as payment_instructions,
    array(
        select storage_ref from keys where order_id = orders.id and storage_ref <> orders.object_key
        order by order_item_id, position
    ) as pictures,
    exists (select from deleted_objects as gone where gone.object_key = orders.object_key) as keys_deleted,
    exists (select from order_events as e where e.order_id = orders.id and e.type = 'order.retired') as has_left,
    placed_at, paid_at, purchased_at, stored_at, mailed_at, revealed_at, updated_at,
    array(select title from order_items where order_id = orders.id order by position) as titles,
    array(select quantity from order_items where order_id = orders.id order by position) as quantities
from orders
where id = $1

-- name: take_attempt
-- Use up a part of an allowance (GCRA). No row means that there is none left: the spacing is $2, the burst's length $3.
insert into attempt_limits as stored (name, next_at) values ($1, now() + $2::interval)
on conflict (name) do update set next_at = greatest(stored.next_at, now()) + $2::interval
where stored.next_at <= now() + $3::interval - $2::interval
returning 1

-- name: next_attempt
-- After how many seconds the next attempt is allowed; the spacing is $2, the burst's length $3.
select greatest(1, ceil(extract(epoch from next_at - (now() + $3::interval - $2::interval))))::int as seconds
from attempt_limits where name = $1

-- name: forget_attempts
-- Delete rows that say nothing any more.
delete from attempt_limits where next_at < now() - interval '1 day'

-- name: put_lost_request
insert into lost_requests (id, email) values ($1::text::uuid, $2)

-- name: lost_requests_left_over
-- Questions that are older than $1, at most $2.
select id, email from lost_requests where asked_at < now() - $1::interval order by asked_at limit $2

-- name: forget_lost_request
delete from lost_requests where id = $1::text::uuid
