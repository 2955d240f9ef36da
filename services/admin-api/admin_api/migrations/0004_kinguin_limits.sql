-- What the workers share about a provider's account: how fast it may be called, and how much money is left.

create table rate_limits (
    name      text primary key,
    next_at   timestamptz not null,
    slowdown  double precision not null default 1,
    slowed_at timestamptz not null default now()
);
comment on table rate_limits is 'One row for each limit on calls that several workers share. Written by the workers only.';
comment on column rate_limits.next_at is 'When the next permit may be used: each permit that is handed out moves it on, a 429 moves it further.';
comment on column rate_limits.slowdown is 'How many times slower than its setting the limit ran at slowed_at; it wears off by itself.';

create table balance_readings (
    id       bigint generated always as identity primary key,
    account  text not null,
    balance  numeric not null,
    currency text not null,
    low      boolean not null,
    read_at  timestamptz not null default now()
);
comment on table balance_readings is 'The balance of an account at a provider, read every so often. Written by one of the workers.';
comment on column balance_readings.account is 'The provider and the account, named without a secret.';
comment on column balance_readings.low is 'It was below the threshold that was set then.';
create index balance_readings_by_account on balance_readings (account, read_at desc);
comment on index balance_readings_by_account is 'The newest reading of an account.';
