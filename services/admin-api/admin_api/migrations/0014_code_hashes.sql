-- By what an order is found when somebody has one of its codes, or the end of it, and nobody here may know the code.

create table code_hashes (
    order_id       uuid not null,
    key_id         text not null,
    whole_hash     bytea not null,
    tail_hash      bytea,
    reservation_id text,
    first_seen_at  timestamptz not null,
    primary key (order_id, key_id, whole_hash)
);
comment on table code_hashes is 'Keyed hashes of codes, made where they were sealed. Written by the sink only; filled again from orders.events.v1.';
comment on column code_hashes.key_id is 'The key of CODE_HASH_KEYS that made them.';
comment on column code_hashes.whole_hash is '128 bits of HMAC-SHA-256 over the code: without the key nobody can try codes against it.';
comment on column code_hashes.tail_hash is 'The same over its last five characters; null for a short code.';
create index code_hashes_by_whole on code_hashes (whole_hash, first_seen_at desc);
comment on index code_hashes_by_whole is 'The orders that hold one code.';
create index code_hashes_by_tail on code_hashes (tail_hash, first_seen_at desc) where tail_hash is not null;
comment on index code_hashes_by_tail is 'The orders that hold a code with this end.';
