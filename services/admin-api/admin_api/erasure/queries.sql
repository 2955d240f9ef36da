-- name: hold_rebuilds
-- A rebuild that is about to compare ends first: it holds this table for that moment. Sinks do not mind.
lock table sink_offsets in row share mode

-- name: addresses
-- The mail addresses that are known of orders, in whatever case. Parameter: order ids.
select distinct lower(address) as address
from (
    select email as address from orders where id = any ($1::uuid[])
    union all
    select mail ->> 'recipient' from orders, jsonb_array_elements(mails) as mail where id = any ($1::uuid[])
    union all
    select recipient from emails where order_id = any ($1::uuid[])
) as known
where address <> ''

-- name: destroy_keys
-- First of all: whoever opens something waits for this, and finds nothing afterwards. Rows stay, so that no key is made
-- anew. Parameter: order ids.
insert into personal_keys as stored (order_id, key, erased_at)
select id, null, now() from unnest($1::uuid[]) as erased (id) order by id
on conflict (order_id) do update set key = null, erased_at = now() where stored.key is not null

-- name: blank_orders
-- Parameter: order ids.
update orders set
    email = null,
    mails = (
        select coalesce(jsonb_agg(jsonb_set(mail, '{recipient}', '""') order by place), '[]')
        from jsonb_array_elements(mails) with ordinality as each (mail, place)
    )
where id = any ($1::uuid[])
    and (email is not null or exists (select from jsonb_array_elements(mails) as mail where mail ->> 'recipient' <> ''))

-- name: blank_emails
-- That mails were sent, and when, stays. Parameter: order ids.
update emails set recipient = '', html = '', text = '', last_error = null
where order_id = any ($1::uuid[]) and (recipient <> '' or html <> '' or text <> '')

-- name: forget_lost_requests
-- Parameter: mail addresses, in lower case.
delete from lost_requests where lower(email) = any ($1::text[])

-- name: erased_orders
-- Orders that a rebuild has filled with addresses whose keys were destroyed meanwhile.
select id::text as id from orders join personal_keys on order_id = id where key is null
