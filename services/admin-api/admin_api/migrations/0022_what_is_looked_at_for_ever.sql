-- What is asked again and again for as long as BitLoot runs took longer with each order there ever was: the sink's look at
-- what providers should have told us, each 30 seconds, and what goes after its time, each hour.

create index reservations_by_time on reservations (given_at);
comment on index reservations_by_time is 'The purchases of the last hour, of which Kinguin should have told us.';
create index emails_by_acceptance on emails (accepted_at);
comment on index emails_by_acceptance is 'The mails of the last hour, of which the mail provider should have told us.';
create index emails_with_text on emails ((coalesce(accepted_at, last_attempt_at, rendered_at))) where html <> '';
comment on index emails_with_text is 'The mails whose text is still kept, by what its time is counted from.';
