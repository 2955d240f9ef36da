-- name: orders
-- Orders that have not ended, by status; how many of those that were paid stand still, and since when the oldest.
-- Parameters: after how many seconds a paid order counts as stuck, the statuses of orders that have not ended.
select
    status,
    count(*) as orders,
    count(*) filter (where paid_at < now() - make_interval(secs => $1) and status <> 'needs_review') as stuck,
    coalesce(extract(epoch from now() - min(paid_at)), 0)::float8 as oldest_seconds
from orders
where closed_at is null and status = any($2::text[])
group by status

-- name: notices
-- Of what each provider should have told us in a window, how much it has. Providers tell within seconds: what is
-- younger than the margin is not expected yet. Parameters: seconds of the window, seconds of the margin.
with expected (provider, order_id, external_id) as (
    select 'nowpayments', order_id, id from payments
    where first_seen_at between now() - make_interval(secs => $1) and now() - make_interval(secs => $2)
        and updated_at >= now() - make_interval(secs => $1)  -- as it must be; that has an index
    union all
    select 'kinguin', order_id, id from reservations
    where given_at between now() - make_interval(secs => $1) and now() - make_interval(secs => $2)
    union all
    select 'resend', order_id, coalesce(provider_message_id, id) from emails
    where accepted_at between now() - make_interval(secs => $1) and now() - make_interval(secs => $2)
)
select
    provider,
    count(*) as expected,
    count(*) filter (
        where exists (
            select from webhook_log_keys as known
            where known.provider = expected.provider and known.external_id = expected.external_id
        ) or exists (
            select from webhook_logs
            where webhook_logs.provider = expected.provider and webhook_logs.order_id = expected.order_id
        )
    ) as seen
from expected
group by provider
