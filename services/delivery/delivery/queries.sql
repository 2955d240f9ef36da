-- name: newest
-- The newest rendering of a mail: its base id, else the one with the highest number behind it.
select id, order_id, sender, recipient, subject, html, text, link_expires_at, rendered_at, status, provider_message_id
from emails
where order_id = $1 and (id = $2 or starts_with(id, $2 || '.'))
order by length(id) desc, id desc
limit 1

-- name: add
-- Keep a rendering; an earlier one of the same id wins.
insert into emails (id, order_id, kind, sender, recipient, subject, html, text, link_expires_at, rendered_at, status)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'rendered')
on conflict (id) do nothing

-- name: kept
-- A message by its id.
select id, order_id, sender, recipient, subject, html, text, link_expires_at, rendered_at, status, provider_message_id
from emails
where id = $1

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
returning id, order_id, sender, recipient, subject, html, text, link_expires_at, rendered_at, status, provider_message_id

-- name: accepted
-- The provider has it; the first answer stands.
update emails set status = 'accepted', provider_message_id = $2, accepted_at = now(), last_error = null
where id = $1 and status <> 'accepted'

-- name: failed
-- What is unknown stays unknown whatever a later try says; what is accepted stays accepted.
update emails set status = case when status = 'sending' then $2 else status end, last_error = $3
where id = $1 and status <> 'accepted'

-- name: order_of_page
-- What the buyer's page shows of an order, its items in order.
select
    version, status, email, pay_url, object_key,
    placed_at, paid_at, purchased_at, stored_at, mailed_at, revealed_at, updated_at,
    array(select title from order_items where order_id = orders.id order by position) as titles,
    array(select quantity from order_items where order_id = orders.id order by position) as quantities
from orders
where id = $1
