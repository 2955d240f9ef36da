-- Who may use the desk, who is signed in, how often anybody may try, and the log of what people did.

create table admin_accounts (
    name          text primary key,
    password_hash text not null,
    roles         text[] not null,
    created_at    timestamptz not null default now(),
    changed_at    timestamptz not null default now(),
    disabled_at   timestamptz
);
comment on table admin_accounts is 'People who sign in with a password. Written by a command; where an identity provider is set up there need be none.';
comment on column admin_accounts.password_hash is 'Argon2id, with its parameters and its salt.';

create table admin_tokens (
    id           text primary key,
    name         text not null,
    secret_hash  bytea not null,
    roles        text[] not null,
    created_by   text not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
comment on table admin_tokens is 'Bearer tokens for scripts. Written by a command.';
comment on column admin_tokens.secret_hash is 'SHA-256 of a secret of 256 bits: nothing slower is needed.';

create table admin_sessions (
    id             bytea primary key,
    account        text not null,
    via            text not null check (via in ('password', 'oidc')),
    roles          text[] not null,
    created_at     timestamptz not null default now(),
    seen_at        timestamptz not null default now(),
    idle_ends_at   timestamptz not null,
    ends_at        timestamptz not null,
    remote_address text not null
);
comment on table admin_sessions is 'Who is signed in, for all replicas. Written by the admin API.';
comment on column admin_sessions.id is 'SHA-256 of what the browser''s cookie holds.';
comment on column admin_sessions.roles is 'As the identity provider told them; those of an account with a password count as they are now.';
create index admin_sessions_by_end on admin_sessions (ends_at);
comment on index admin_sessions_by_end is 'What can be thrown away.';

create table oidc_sign_ins (
    state    bytea primary key,
    nonce    text not null,
    verifier text not null,
    ends_at  timestamptz not null
);
comment on table oidc_sign_ins is 'People who are at the identity provider''s page. Written by the admin API.';
comment on column oidc_sign_ins.state is 'SHA-256 of the state, which is also in a cookie of the browser that began.';
create index oidc_sign_ins_by_end on oidc_sign_ins (ends_at);
comment on index oidc_sign_ins_by_end is 'What can be thrown away.';

create table access_limits (
    name        text primary key,
    tries_left  double precision not null,
    refilled_at timestamptz not null default now()
);
comment on table access_limits is 'How many tries are left, of a sign-in or a token, for all replicas. Written by the admin API.';
create index access_limits_by_time on access_limits (refilled_at);
comment on index access_limits_by_time is 'What is full again and can be thrown away.';

create table audit_log (
    number   bigint primary key,
    at       timestamptz not null,
    actor    text not null,
    via      text not null,
    action   text not null,
    target   text not null,
    reason   text not null,
    result   text not null,
    details  jsonb not null,
    previous bytea not null,
    hash     bytea not null
);
comment on table audit_log is 'Who did what, with what result. Only ever added to; written by the admin API and its commands.';
comment on column audit_log.number is 'From 1, without gaps.';
comment on column audit_log.result is 'asked (written before anything happens), done, or refused.';
comment on column audit_log.previous is 'The hash of the entry before.';
comment on column audit_log.hash is 'SHA-256 over this entry and the hash before it: see admin_api.access.audit.';
create index audit_log_by_actor on audit_log (actor, number desc);
comment on index audit_log_by_actor is 'What one person did, newest first.';
create index audit_log_by_target on audit_log (target, number desc);
comment on index audit_log_by_target is 'What was done to one thing, newest first.';
create index audit_log_by_action on audit_log (action, number desc);
comment on index audit_log_by_action is 'Each time one thing was done, newest first.';

create function refuse_to_change_the_audit_log() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is only ever added to' using errcode = 'insufficient_privilege';
end
$$;
create trigger audit_log_is_append_only before update or delete or truncate on audit_log
    for each statement execute function refuse_to_change_the_audit_log();
