-- Which logs of Kafka this installation works with: what Kafka cannot tell after it has lost them.

create table kafka_topics (
    topic      text primary key,
    topic_id   text not null,
    cluster_id text not null,
    seen_at    timestamptz not null default now()
);
comment on table kafka_topics is 'The id of each topic that was worked with, and of its cluster. Another id means that the log was lost. Changed by "python -m bitloot.topics --begin-anew" only.';

create table kafka_positions (
    consumer_group text not null,
    topic          text not null,
    partition      integer not null,
    topic_id       text not null,
    begun_at       timestamptz not null default now(),
    primary key (consumer_group, topic, partition)
);
comment on table kafka_positions is 'Which partitions each consumer group has begun to read. A group that finds no offset of such a partition in Kafka has lost its place.';
