"""How long each store keeps what, in one table: `docs/retention.md` is made from it, and `cleaning` carries it out."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from bitloot.contracts.topics import CHANGELOGS, FOREVER, TOPICS, Topic

Store = Literal["Kafka", "fulfillment tables", "PostgreSQL", "S3", "logs and metrics"]

FOR_GOOD = None
"""Kept until a person decides otherwise."""

_YEAR_AND_A_BIT = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Rule:
    """How long something is kept. `sql` deletes at most $2 rows that are older than $1 days and returns nothing."""

    store: Store
    name: str
    kept: timedelta | None
    why: str
    personal: str = ""
    """What of it says something about a person."""
    enforced_by: str = ""
    sql: str | None = None
    by_month: bool = False
    """Whether it goes in whole months, and `sql` deletes the rest."""


def _delete(table: str, condition: str) -> str:
    """Return what deletes a part of what is due; rows that somebody else has locked come next time."""
    return (
        f"delete from {table} where ctid = any (array(select ctid from {table} where {condition} "  # noqa: S608 - ours
        "limit $2 for update skip locked))"
    )


_CLEANER = "the sink, each hour; `python -m admin_api.retention`"


def _cleaned(name: str, kept: timedelta, why: str, condition: str, personal: str = "") -> Rule:
    return Rule("PostgreSQL", name, kept, why, personal, _CLEANER, _delete(name, condition))


def _for_good(name: str, why: str, personal: str = "") -> Rule:
    return Rule("PostgreSQL", name, FOR_GOOD, why, personal)


_LOGS_IN_THE_NET = """
with due as materialized (
    select ctid, provider, external_id, event_type
    from webhook_logs_default as logs
    where last_received_at < now() - make_interval(days => $1)
        and not exists (select from orders where orders.id = logs.order_id and orders.closed_at is null)
    limit $2
    for update of logs skip locked
),
forgotten as (
    delete from webhook_log_keys as known using due
    where (known.provider, known.external_id, known.event_type) = (due.provider, due.external_id, due.event_type)
)
delete from webhook_logs_default where ctid = any (array(select ctid from due))
"""
"""What outlived its month, once it is not needed any more."""

_SEALED = "mail address, sealed"
_ERASED = "mail address, until it is erased"

POSTGRES = (
    _for_good("orders", "bookkeeping, and proof of what was bought", _ERASED),
    _for_good("order_items", "bookkeeping"),
    _for_good("time_to_key_days", "how many buyers waited how long, day by day: some hundred rows a day at most"),
    _for_good("keys", "where the codes of an order are, and when they were seen; never a code"),
    _for_good("payments", "bookkeeping"),
    _for_good("reservations", "proof of what was bought from Kinguin"),
    _for_good("order_events", "the order's history; filled again from orders.events.v1; what is sealed is left out"),
    _for_good(
        "code_hashes",
        "by what a code finds its order; without its key nothing can be tried; filled again from orders.events.v1",
    ),
    Rule(
        "PostgreSQL",
        "webhook_logs",
        _YEAR_AND_A_BIT,
        "to settle disputes with providers. Whole months go, once their last day is as old; what came again since and the "
        "logs of open orders stay longer",
        "addresses taken out; what else the provider said of the payer",
        _CLEANER,
        _LOGS_IN_THE_NET,
        by_month=True,
    ),
    Rule("PostgreSQL", "webhook_log_keys", _YEAR_AND_A_BIT, "with their logs", "", _CLEANER),
    _cleaned(
        "dead_letters",
        timedelta(days=90),
        "as its topic: afterwards nothing could be replayed",
        "occurred_at < now() - make_interval(days => $1)",
        "mail address, sealed",
    ),
    _cleaned(
        "dead_letter_replays", timedelta(days=90), "as the letters", "replayed_at < now() - make_interval(days => $1)"
    ),
    _cleaned(
        "bulk_replay_items",
        timedelta(days=90),
        "as the letters",
        "replay_id in (select id from bulk_replays where finished_at < now() - make_interval(days => $1))",
    ),
    _cleaned(
        "bulk_replays",
        timedelta(days=90),
        "as the letters",
        "finished_at < now() - make_interval(days => $1) and not exists ("
        "select from bulk_replay_items where replay_id = bulk_replays.id)",
    ),
    _for_good("effect_ledger", "it keeps a key from being bought twice, and a mail from being sent twice"),
    Rule(
        "PostgreSQL",
        "emails",
        timedelta(days=30),
        "after it was accepted or last tried. The rendered text and its links go; that a mail was sent, when and where to, "
        "stays with the order",
        f"{_ERASED}; until then the text of the mail",
        _CLEANER,
        "update emails set html = '', text = '' where id = any (array(select id from emails where html <> '' "
        "and coalesce(accepted_at, last_attempt_at, rendered_at) < now() - make_interval(days => $1) "
        "limit $2 for update skip locked))",
    ),
    _for_good("sink_offsets", "how far the read model is"),
    _for_good("schema_migrations", "which migrations were applied"),
    _for_good("kafka_topics", "it keeps a lost log from being taken for a new one"),
    _for_good("kafka_positions", "the same"),
    _for_good("sealing_keys", "public halves of keys: a row for each rotation"),
    _for_good("rate_limits", "one row for each account at a provider"),
    Rule("PostgreSQL", "balance_readings", timedelta(days=90), "how fast the balance falls", "", "the kinguin worker"),
    _for_good("stock_imports", "where a code came from"),
    _for_good("stock_codes", "codes that we sell, sealed; a sold code proves what was handed over"),
    _for_good("stock_sales", "which code went to which sale"),
    Rule("PostgreSQL", "stock_offers", timedelta(0), "the offers of now", "", "the seller worker"),
    Rule("PostgreSQL", "attempt_limits", timedelta(days=1), "what may be tried only so often", "", "the order page"),
    Rule(
        "PostgreSQL",
        "lost_requests",
        timedelta(0),
        "questions that nobody has dealt with yet: seconds, or as long as the broker is away",
        _ERASED,
        "the order page",
    ),
    _for_good("deleted_objects", "which objects of ours were deleted on purpose"),
    _for_good(
        "admin_actions", "what admins asked for, and what became of it", "name of the admin; new mail address, sealed"
    ),
    _for_good("admin_accounts", "who may sign in", "name of the admin"),
    _for_good("admin_tokens", "which tokens were given out; hashes only", "name of the admin"),
    Rule("PostgreSQL", "admin_sessions", timedelta(days=1), "until they end", "address of the admin", "the admin API"),
    Rule("PostgreSQL", "oidc_sign_ins", timedelta(days=1), "until they end, minutes", "", "the admin API"),
    Rule("PostgreSQL", "access_limits", timedelta(days=1), "tries of signing in", "", "the admin API"),
    _for_good("audit_log", "a chain of hashes: what admins did; nothing may be taken out", "name of the admin"),
    _for_good("checkouts", "a keyed hash of what the shop asked for, and when: a repeat is known again"),
    _for_good(
        "personal_keys",
        "what opens the sealed addresses of an order; an erasure destroys the key and leaves the row, so that none is made anew",
    ),
    Rule("PostgreSQL", "refused_notifications", timedelta(days=14), "a sample, to see why", "", "the ingress"),
)

OTHERS = (
    Rule("fulfillment tables", "orders", timedelta(days=30), "after the order has closed (CLOSED_ORDER_RETENTION)", _SEALED, "the orders agent"),
    Rule("fulfillment tables", "retired", FOR_GOOD, "eight bytes for each order that has left, so that nothing begins it anew"),
    Rule("fulfillment tables", "routes", timedelta(days=30), "as long as the order", "", "the reservation router"),
    Rule("fulfillment tables", "sales", FOR_GOOD, "sales on Kinguin; no buyer is named there"),
    Rule("S3", "keys/{orderId}.json", FOR_GOOD, "the codes that were paid for; give the bucket a lifecycle rule to keep them for less", "", "the bucket's lifecycle rule, if one is set"),
    Rule("logs and metrics", "standard output, /metrics, spans", FOR_GOOD, "theirs to say who collects them; they hold order ids, no addresses and no codes"),
)  # fmt: skip


def _of_topic(topic: Topic) -> Rule:
    compacted = topic.cleanup == "compact"
    kept = None if compacted or topic.retention == FOREVER else topic.retention
    why = "the newest record of each key" if compacted else topic.description
    personal = {
        "orders.events.v1": f"{_SEALED}; the network (/24, /48) that keys were revealed from",
        "orders.state.v1": _SEALED,
        "fulfillment-orders-changelog": _SEALED,
        "deliveries.v1": _SEALED,
        "webhooks.log.v1": "addresses taken out; what else the provider said of the payer",
        "dead-letters.v1": _SEALED,
    }.get(topic.name, "")
    return Rule("Kafka", topic.name, kept, why, personal, "Kafka" if kept or compacted else "")


def rules() -> Iterator[Rule]:
    """Yield all rules, store by store."""
    yield from (_of_topic(topic) for topic in (*TOPICS, *CHANGELOGS))
    yield from OTHERS
    yield from POSTGRES


_HEAD = """# What is kept, where, and for how long

One table over every store. It is made from [table.py](../services/admin-api/admin_api/retention/table.py):
`python -m admin_api.retention --page > docs/retention.md`. What no store deletes by itself is deleted by the sink, each hour, and by
`python -m admin_api.retention` (with `DATABASE_URL`), which tells what it deleted; rows of orders that are still open are spared.

"For good" means until a person decides otherwise. A buyer's personal data is the mail address. Where nothing can be deleted it stands **sealed** under a key of its order
([ADR 0032](adr/0032-personal-data-under-a-key-that-is-destroyed.md)); `bitloot orders erase` destroys that key and deletes what is plain, and looks through every store
afterwards: [operations](operations.md#erase-a-buyers-data).

What an erasure does not reach, and until when it stays:

- **What providers tell of the payer** (`webhooks.log.v1`, `webhook_logs`: 400 days). Mail addresses, and from where a mail was read, are taken out before anything is stored. What is left names
  payments: ids, coins, amounts, our deposit address, the hash of the transaction on its chain, which is public there anyway. It is kept to settle disputes.
- **What was put aside** (dead letters: 90 days) holds records as they were, so addresses as sealed as they are.
- **The network** that keys were revealed from, cut to /24 or /48, stays in `orders.events.v1`: it names a provider's district, not a person.
- **What people type** as a reason. Mail addresses are refused there; names are not recognized.
- **Backups of PostgreSQL, its archived WAL, and dead rows until a vacuum** hold keys and addresses for as long as they are kept. Who restores one erases again: see operations.
- **The mail provider, the payment provider and the shop** have data of their own, and each its own deletion.

| store | what | kept | why | personal data | deleted by |
| --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """Return `docs/retention.md`."""
    return _HEAD + "".join(
        f"| {rule.store} | `{rule.name}` | {_shown(rule.kept)} | {rule.why} | {rule.personal} | {rule.enforced_by} |\n"
        for rule in rules()
    )


def _shown(kept: timedelta | None) -> str:
    if kept is None:
        return "for good"
    return f"{kept.days} days" if kept else "while they are true"
