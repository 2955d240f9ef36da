-- name: last_notifications
-- When each provider last sent us something, and how many seconds ago. One look into the index for each provider.
with recursive known as (
    (select provider from webhook_logs order by provider limit 1)
    union all
    select (select w.provider from webhook_logs as w where w.provider > known.provider order by w.provider limit 1)
    from known
    where known.provider is not null
)
select provider, last_at, extract(epoch from now() - last_at)::float8 as age_seconds
from known
cross join lateral (
    select w.last_received_at as last_at from webhook_logs as w
    where w.provider = known.provider order by w.last_received_at desc, w.id desc limit 1
) as newest
