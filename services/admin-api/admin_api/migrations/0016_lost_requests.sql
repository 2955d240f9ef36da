-- Who asks for lost links is answered before anybody looks. What was promised must outlive the process that promised.

create table lost_requests (
    id       uuid primary key,
    email    text not null,
    asked_at timestamptz not null default now()
);
comment on table lost_requests is 'Questions for lost links that nobody has dealt with yet; a row is gone once its mail is asked for in Kafka. Written by the order page only.';
create index lost_requests_by_age on lost_requests (asked_at);
comment on index lost_requests_by_age is 'The questions whose process died, the oldest first.';
