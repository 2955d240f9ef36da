-- Two lists that were slow on a filled read model, as `make bench-desk` told.

create index effect_ledger_failed_by_cause on effect_ledger ((outcome ->> 'cause'), claimed_at desc, effect_id desc)
    where outcome ->> 'type' = 'effect.failed';
comment on index effect_ledger_failed_by_cause is 'The list of failures of one cause, newest first.';
create index emails_in_order_by_kind on emails (kind, rendered_at desc, id desc);
comment on index emails_in_order_by_kind is 'The list of mails of one kind, newest first, also of a kind that is rare.';
