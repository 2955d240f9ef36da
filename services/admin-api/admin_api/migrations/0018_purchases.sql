-- Purchases of several items, keys that are pictures, pre-orders, and what is owed to a buyer.

alter table orders add column owed numeric not null default 0;
comment on column orders.owed is 'What the buyer has paid for keys that will not come, in the order''s currency.';
create index orders_owing on orders (owed desc, id) where owed > 0;
comment on index orders_owing is 'The orders whose buyers are owed money, the most first.';

alter table order_items add column expected_at timestamptz;
comment on column order_items.expected_at is 'When a pre-order is released; null for what is out.';

alter table keys add column media_type text not null default 'text/plain';
comment on column keys.media_type is 'text/plain: one of the texts in the order''s object. Else a picture: storage_ref is an object of its own.';

alter table reservations add column purchase_id text, add column order_item_ids text[] not null default '{}';
comment on column reservations.purchase_id is 'Which of the order''s purchases it is: our external id begins with it.';
comment on column reservations.order_item_ids is 'All items that it has keys for; order_item_id is the first of them.';
