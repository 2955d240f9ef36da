-- name: take_try
-- Use up one try of a bucket that refills by the second. Parameters: name, size, tries a second. Returns nothing when
-- none is left.
insert into access_limits as stored (name, tries_left) values ($1, $2::float8 - 1)
on conflict (name) do update set
    tries_left = least(
        $2::float8, stored.tries_left + extract(epoch from now() - stored.refilled_at)::float8 * $3::float8
    ) - 1,
    refilled_at = now()
where least(
    $2::float8, stored.tries_left + extract(epoch from now() - stored.refilled_at)::float8 * $3::float8
) >= 1
returning tries_left

-- name: account
-- A person who may sign in with a password.
select name, password_hash, roles from admin_accounts where name = $1 and disabled_at is null

-- name: store_account
-- Make an account, or change one. Parameters: name, hash, roles. Tells whether it is new.
insert into admin_accounts (name, password_hash, roles) values ($1, $2, $3)
on conflict (name) do update set
    password_hash = excluded.password_hash, roles = excluded.roles, changed_at = now(), disabled_at = null
returning xmax = 0 as is_new

-- name: disable_account
-- Let somebody in no longer; their sessions end with it.
update admin_accounts set disabled_at = now(), changed_at = now() where name = $1 and disabled_at is null returning name

-- name: end_sessions_of
-- End all sessions of an account: its password has changed.
delete from admin_sessions where account = $1 and via = 'password'

-- name: store_token
-- Keep a token's hash. Parameters: id, name, hash, roles, maker, end.
insert into admin_tokens (id, name, secret_hash, roles, created_by, expires_at) values ($1, $2, $3, $4, $5, $6)

-- name: token
-- A token that counts.
select id, name, secret_hash, roles, last_used_at
from admin_tokens
where id = $1 and revoked_at is null and (expires_at is null or expires_at > now())

-- name: use_token
-- Note that a token is in use, once a minute.
update admin_tokens set last_used_at = now()
where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')

-- name: revoke_token
-- Let a token count no longer.
update admin_tokens set revoked_at = now() where id = $1 and revoked_at is null returning name

-- name: begin_session
-- Somebody has signed in. Parameters: hash, account, how, roles, idle time, whole time, address.
insert into admin_sessions (id, account, via, roles, idle_ends_at, ends_at, remote_address)
values ($1, $2, $3, $4, now() + $5, now() + $6, $7)
returning account, via, roles, idle_ends_at, ends_at

-- name: session
-- Whose session it is, unless it is over. The roles of a local account are what they are now.
select
    s.account, s.via, case s.via when 'password' then a.roles else s.roles end as roles, s.idle_ends_at, s.ends_at,
    s.seen_at < now() - interval '30 seconds' as quiet
from admin_sessions as s
left join admin_accounts as a on a.name = s.account and s.via = 'password' and a.disabled_at is null
where s.id = $1 and s.idle_ends_at > now() and s.ends_at > now() and (s.via <> 'password' or a.name is not null)

-- name: keep_session
-- Somebody is still there: the idle time begins anew.
update admin_sessions set seen_at = now(), idle_ends_at = least(ends_at, now() + $2) where id = $1
returning idle_ends_at

-- name: end_session
-- Somebody has signed out.
delete from admin_sessions where id = $1 returning account

-- name: forget_ended
-- Throw away what is over.
with sessions as (delete from admin_sessions where ends_at < now() or idle_ends_at < now()),
sign_ins as (delete from oidc_sign_ins where ends_at < now())
delete from access_limits where refilled_at < now() - interval '1 day'

-- name: begin_sign_in
-- Somebody goes to the provider's page. Parameters: hash of the state, nonce, verifier, time to come back.
insert into oidc_sign_ins (state, nonce, verifier, ends_at) values ($1, $2, $3, now() + $4)

-- name: end_sign_in
-- Somebody has come back: once, and in time.
delete from oidc_sign_ins where state = $1 and ends_at > now() returning nonce, verifier

-- name: lock_audit
-- One writer at a time: each entry holds the hash of the one before.
select pg_advisory_xact_lock(7075201144513822464)

-- name: last_audit
-- The newest entry.
select number, hash from audit_log order by number desc limit 1

-- name: add_audit
-- Add an entry.
insert into audit_log (number, at, actor, via, action, target, reason, result, details, previous, hash)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: audit_after
-- A stretch of entries, oldest first. Parameters: after which number, how many.
select number, at, actor, via, action, target, reason, result, details, previous, hash
from audit_log where number > $1 order by number limit $2
