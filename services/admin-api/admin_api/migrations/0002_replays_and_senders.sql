-- Replays of many dead letters, what became of them, and all of a mail that was rendered.

-- Mails --------------------------------------------------------------------------------------------------

alter table emails add column sender text;
comment on column emails.sender is 'As it was rendered: a retry says the same. Null in rows from before this column.';

-- Dead letters -------------------------------------------------------------------------------------------

alter table dead_letters add column replay_of text, add column replay_action text;
comment on column dead_letters.replay_of is 'The event id of the dead letter that was sent again and failed again as this one.';
comment on column dead_letters.replay_action is 'The action that had sent it again.';
create index dead_letters_by_replay on dead_letters (replay_of) where replay_of is not null;
comment on index dead_letters_by_replay is 'What became of a replay that failed again.';
create index dead_letters_by_reason on dead_letters (reason, occurred_at desc, id desc);
comment on index dead_letters_by_reason is 'The list of one reason''s dead letters, newest first.';

create table bulk_replays (
    id            text primary key,
    action_id     text not null,
    request       jsonb not null,
    matching      integer not null,
    actor         text not null,
    created_at    timestamptz not null default now(),
    started_at    timestamptz,
    finished_at   timestamptz,
    canceled_at   timestamptz,
    trouble       text,
    claimed_by    text,
    claimed_until timestamptz
);
comment on table bulk_replays is 'Replays of many dead letters. Written by the admin API; outlives a rebuild.';
comment on column bulk_replays.id is 'Made from the action id, which may have characters that an address cannot.';
comment on column bulk_replays.request is 'The filter and the limit as they were asked for.';
comment on column bulk_replays.matching is 'How many dead letters the filter found at the start, whatever the limit.';
comment on column bulk_replays.trouble is 'Why it stands still at the moment.';
comment on column bulk_replays.claimed_by is 'The incarnation of the process that carries it out.';
comment on column bulk_replays.claimed_until is 'After this the process counts as gone, and another one goes on.';
create index bulk_replays_by_time on bulk_replays (created_at desc, id);
comment on index bulk_replays_by_time is 'The list of replays, newest first.';
create index bulk_replays_unfinished on bulk_replays (created_at) where finished_at is null;
comment on index bulk_replays_unfinished is 'What is left to do, oldest first.';

create table bulk_replay_items (
    replay_id      text not null,
    position       integer not null,
    dead_letter_id bigint not null,
    event_id       text not null,
    result         text not null default 'waiting',
    detail         text,
    done_at        timestamptz,
    primary key (replay_id, position)
);
comment on table bulk_replay_items is 'The dead letters of a replay, fixed when it was asked for, and what became of each.';
comment on column bulk_replay_items.position is 'From 1. Records of one partition are in their order.';
comment on column bulk_replay_items.result is 'waiting, sent, refused or canceled.';
comment on column bulk_replay_items.detail is 'Why it was refused.';
create index bulk_replay_items_waiting on bulk_replay_items (replay_id, position) where result = 'waiting';
comment on index bulk_replay_items_waiting is 'What is left to do of a replay.';
