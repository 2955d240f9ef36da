-- Which keys codes are sealed with, and which of them can be opened: so that a wrong key is told before it costs a code.

create table sealing_keys (
    purpose    text not null,
    key_id     text not null,
    public_key text not null,
    sealed_at  timestamptz,
    opened_at  timestamptz,
    primary key (purpose, key_id, public_key)
);
comment on table sealing_keys is 'Public halves only. Written by every process that seals or opens, at its start and each minute.';
comment on column sealing_keys.purpose is 'orders: codes that were bought. stock: codes that are sold on Kinguin.';
comment on column sealing_keys.sealed_at is 'When a process last said that it seals with it; null if none ever did.';
comment on column sealing_keys.opened_at is 'When a process last said that it holds its private half; null if none ever did.';
