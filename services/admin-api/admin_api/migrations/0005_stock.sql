-- The codes that we sell on Kinguin, the sales that they are bound to, and our offers there.

alter table effect_ledger alter column order_id drop not null;
comment on column effect_ledger.order_id is 'Null for what belongs to no order, such as handing over a code that is sold on Kinguin.';

create table stock_imports (
    id           text primary key,
    product_id   text not null,
    lines        integer not null,
    imported     integer not null,
    in_file      integer not null,
    in_stock     integer not null,
    actor        text not null,
    imported_at  timestamptz not null default now()
);
comment on table stock_imports is 'The files of codes that admins have uploaded, counted. Written by the admin API.';
comment on column stock_imports.in_file is 'Codes that were refused because the same file had them before.';
comment on column stock_imports.in_stock is 'Codes that were refused because the stock has, or had, them already.';
create index stock_imports_by_product on stock_imports (product_id, imported_at desc);
comment on index stock_imports_by_product is 'The newest file of a product.';

create table stock_codes (
    id             bigint generated always as identity primary key,
    product_id     text not null,
    code_hash      bytea not null,
    sealed         jsonb not null,
    import_id      text not null,
    state          text not null default 'free' check (
        state in ('free', 'reserved', 'sent', 'delivered', 'returned', 'refunded', 'reversed', 'withheld')
    ),
    reservation_id text,
    imported_at    timestamptz not null default now(),
    reserved_at    timestamptz,
    sent_at        timestamptz,
    sent_by        text,
    settled_at     timestamptz,
    constraint stock_codes_code_hash_unique unique (code_hash),
    constraint stock_codes_reservation_unique unique (reservation_id),
    check ((state = 'free') = (reservation_id is null)),
    check (state not in ('free', 'reserved') or sent_at is null)
);
comment on table stock_codes is 'Codes that we sell, each sealed for the seller worker. Written by the admin API (new ones) and the seller worker.';
comment on column stock_codes.code_hash is 'HMAC-SHA-256 of the code under a secret: tells a duplicate without opening anything.';
comment on column stock_codes.state is 'sent: it may have left us, and is bound to its sale for ever. withheld: it left us, and nobody says that it was sold.';
comment on column stock_codes.reservation_id is 'The one sale that it is bound to.';
comment on column stock_codes.sent_by is 'The first try that may have sent it: only that one can say that it did not.';
create index stock_codes_free on stock_codes (product_id, id) where state = 'free';
comment on index stock_codes_free is 'The next code to sell.';
create index stock_codes_by_state on stock_codes (product_id, state);
comment on index stock_codes_by_state is 'The counts of a product.';

create table stock_sales (
    reservation_id text primary key,
    product_id     text,
    offer_id       text,
    code_id        bigint references stock_codes (id),
    fate           text,
    first_seen_at  timestamptz not null default now(),
    settled_at     timestamptz,
    constraint stock_sales_code_unique unique (code_id)
);
comment on table stock_sales is 'Reservations of our codes. A row stays for ever: what is over never gets a code again. Written by the seller worker.';
comment on column stock_sales.code_id is 'Its code; null when it has none, or gave it back unseen.';
comment on column stock_sales.fate is 'How it ended; null while it is alive.';

create table stock_offers (
    offer_id       text primary key,
    product_id     text not null,
    name           text not null,
    status         text not null,
    available      integer,
    buyable        integer,
    reserved       integer,
    declared       integer,
    declared_text  integer,
    wanted         integer,
    granted        integer,
    granted_at     timestamptz,
    trouble        text,
    problems       jsonb not null default '[]',
    read_at        timestamptz not null default now()
);
comment on table stock_offers is 'Our offers on Kinguin as they were last read. Written by one of the seller workers.';
comment on column stock_offers.wanted is 'The stock that we would declare; null for a product that we have no codes of.';
comment on column stock_offers.granted is 'What Kinguin has let us declare when it refused more; forgotten after a while.';
comment on column stock_offers.trouble is 'Why the last change was not made.';
comment on column stock_offers.problems is 'What keeps customers from buying, in plain words: a list of {problem, detail}.';
