-- What names a buyer is sealed wherever it cannot be deleted. Its key is here, where it can.

create table personal_keys (
    order_id   uuid primary key,
    key        bytea,
    created_at timestamptz not null default now(),
    erased_at  timestamptz,
    constraint key_or_erased check ((key is null) = (erased_at is not null))
);
comment on table personal_keys is 'The key of each order''s personal data; once it is gone that data is nowhere. Made by whoever seals first, destroyed by an erasure.';
comment on column personal_keys.key is '64 bytes for AES-256-SIV; null once it was destroyed.';
comment on column personal_keys.erased_at is 'When the buyer''s data was erased. The row stays, so that no key is made anew.';
