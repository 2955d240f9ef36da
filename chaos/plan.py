"""What goes wrong and when: a pure schedule, the same for the same seed."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from bitloot.crash_points import CrashPoint

Json: TypeAlias = str | int | float | bool | list[str]
Rule: TypeAlias = Mapping[str, Json]
"""A fault of the sandbox."""
Dialect: TypeAlias = Literal["reservations", "esa"]
"""Of Kinguin's two APIs, the one that is spoken."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the `number`-th process of a service, counted round."""

    at: float
    target: str
    number: int


@dataclass(frozen=True, slots=True)
class Arm:
    """Whoever comes to a crash point next dies there."""

    at: float
    point: CrashPoint


@dataclass(frozen=True, slots=True)
class Pause:
    """SIGSTOP, and SIGCONT after `seconds`: a process that wakes up when its work has been given to another."""

    at: float
    target: str
    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Restart:
    """An orderly stop of a server; whoever supervises it starts it again."""

    at: float
    target: str


@dataclass(frozen=True, slots=True)
class Outage:
    """A server that is killed, and killed again whenever it comes back, for `seconds`; 0 is a single crash."""

    at: float
    target: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Weather:
    """How the providers behave from now on: fault rules and dials of the sandbox, in place of those before."""

    at: float
    rules: tuple[Rule, ...]
    dials: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class RevokeTokens:
    """All access tokens of Kinguin end."""

    at: float


Action: TypeAlias = Kill | Arm | Pause | Restart | Outage | Weather | RevokeTokens

SERVERS = ("kafka", "postgres", "s3")
WORKERS = ("fulfillment", "payments", "kinguin", "delivery", "sink", "ingress")
"""Killed before anything is killed a second time."""
_KILLED = (*WORKERS, "order-page", "admin-api")
_KILL_WEIGHTS = (4, 3, 4, 4, 3, 3, 1, 1)
_PAUSED = ("fulfillment", "payments", "kinguin", "delivery", "sink")
# Consumers lose their partitions after a session of 10 s without a heartbeat.
_PAUSE_SECONDS = (12.0, 18.0)
_OUTAGE_SECONDS = (5.0, 20.0)
_COUNT = (2, 12)


def schedule(seed: int, seconds: float, dialect: Dialect = "reservations") -> tuple[Action, ...]:
    """Return what happens within `seconds`, in order of time, to a stack that speaks `dialect` with Kinguin.

    Everything ends by itself within that time but the weather, which `Weather.at` says how to replace.
    """
    kinds: tuple[tuple[str, Callable[[random.Random, float], Iterator[Action]]], ...] = (
        ("kills", _kills),
        ("crash points", _arms),
        ("pauses", _pauses),
        ("servers", _servers),
        ("weather", partial(_weather, dialect=dialect)),
        ("tokens", _tokens),
    )
    # A stream of its own for each kind: a change to one leaves the others as they were.
    actions = [action for name, make in kinds for action in make(random.Random(f"{seed}/{name}"), seconds)]  # noqa: S311 - repeatable on purpose
    return tuple(sorted(actions, key=lambda action: action.at))


def _times(dice: random.Random, seconds: float, gap: tuple[float, float]) -> Iterator[float]:
    at = dice.uniform(gap[0] / 2, gap[1] / 2)
    while at < seconds:
        yield round(at, 2)
        at += dice.uniform(*gap)


def _paced(seconds: float, parts: int, least: float, most: float) -> tuple[float, float]:
    """Return the gap between two deeds: `parts` of them in a short run, `most` seconds between two in a long one.

    A worker's death costs its group a session of 10 s; one that never works is not put to the test.
    """
    mean = min(most, max(least, seconds / parts))
    return mean * 0.5, mean * 1.5


def _kills(dice: random.Random, seconds: float) -> Iterator[Action]:
    first = dice.sample(WORKERS, len(WORKERS))
    for at in _times(dice, seconds, _paced(seconds, 9, 3.5, 12.0)):
        target = first.pop() if first else dice.choices(_KILLED, _KILL_WEIGHTS)[0]
        yield Kill(at, target, dice.randrange(16))


def _arms(dice: random.Random, seconds: float) -> Iterator[Action]:
    deck: list[CrashPoint] = []
    for at in _times(dice, seconds, _paced(seconds, 24, 2.5, 10.0)):
        if not deck:  # each point before any is repeated
            deck = dice.sample(list(CrashPoint), len(CrashPoint))
        yield Arm(at, deck.pop())


def _pauses(dice: random.Random, seconds: float) -> Iterator[Action]:
    for at in _times(dice, seconds - _PAUSE_SECONDS[1], _paced(seconds, 10, 12.0, 30.0)):
        yield Pause(at, dice.choice(_PAUSED), dice.randrange(16), round(dice.uniform(*_PAUSE_SECONDS), 2))


def _servers(dice: random.Random, seconds: float) -> Iterator[Action]:
    def away() -> float:
        return round(dice.uniform(*_OUTAGE_SECONDS), 2)

    kinds: Sequence[Callable[[float, str], Action]] = (
        Restart,
        lambda at, target: Outage(at, target, 0.0),
        lambda at, target: Outage(at, target, away()),
    )
    deck: list[tuple[Callable[[float, str], Action], str]] = []
    for at in _times(dice, seconds - _OUTAGE_SECONDS[1], _paced(seconds, 8, 14.0, 35.0)):
        if not deck:  # each server in each way before anything is repeated
            deck = [(kind, target) for kind in kinds for target in SERVERS]
            dice.shuffle(deck)
        kind, target = deck.pop()
        yield kind(at, target)


def _tokens(dice: random.Random, seconds: float) -> Iterator[Action]:
    for at in _times(dice, seconds, (30.0, 60.0)):
        yield RevokeTokens(at)


_STATUSES: Mapping[str, tuple[int, ...]] = {
    "kinguin": (500, 502, 503, 429, 401),
    "kinguin-esa": (500, 502, 503, 429, 401),
    "resend": (500, 503, 429),
    "nowpayments": (500, 502, 503, 429),
}
_CALLS: Mapping[str, tuple[str, ...]] = {
    "kinguin": ("token", "reserve", "give", "delivered", "lookup", "*"),
    "kinguin-esa": ("product", "place", "place", "order", "keys", "search", "*"),
    "resend": ("send",),
    "nowpayments": ("invoice",),
}
_EVENTS: Mapping[str, tuple[str, ...]] = {
    "kinguin": ("reserve", "give", "delivered"),
    "kinguin-esa": ("order.status",),
    "resend": ("email.sent", "email.delivered"),
    "nowpayments": ("waiting", "finished"),
}
KINDS = ("error", "error_after", "timeout_before", "timeout_after", "slow", "malformed", "distorted", "drop_webhook")
_LIES = ("html", "error_body", "redirect")
_LIES_OF: Mapping[str, tuple[str, ...]] = {
    "token": _LIES,
    "reserve": (*_LIES, "foreign_external_id", "unknown_status", "wrong_quantity"),
    "give": (*_LIES, "unknown_status"),
    "product": _LIES,
    "place": (*_LIES, "foreign_external_id", "unknown_status", "wrong_quantity"),
    "order": (*_LIES, "foreign_external_id", "unknown_status", "wrong_quantity"),
    "keys": (*_LIES, "short", "long", "duplicate", "empty_code", "huge_code", "control_code"),
    "search": (*_LIES, "foreign_external_id", "unknown_status"),
    "delivered": (*_LIES, "short", "long", "duplicate", "empty_code", "huge_code", "control_code"),
    "send": _LIES,
    "invoice": _LIES,
}
"""How an answer may be well formed and wrong. Who denies a purchase when it is asked for it cannot be survived."""
_MOST_LIES = 4
"""A code that is none sends its order to a human, and there shall be others left."""


def _weather(dice: random.Random, seconds: float, *, dialect: Dialect) -> Iterator[Action]:
    deck: list[tuple[str, str]] = []
    silent = "kinguin" if dialect == "esa" else "kinguin-esa"
    for at in _times(dice, seconds, (6.0, 16.0)):
        rules = []
        for _ in range(dice.randint(2, 4)):
            if not deck:  # each provider in each way before anything is repeated
                deck = [(provider, kind) for provider in _CALLS if provider != silent for kind in KINDS]
                dice.shuffle(deck)
            rules.append(_rule(dice, *deck.pop()))
        yield Weather(at, tuple(rules), _dials(dice) | (_esa_dials(dice) if dialect == "esa" else {}))


def _rule(dice: random.Random, provider: str, kind: str) -> Rule:
    """Return a fault that happens a bounded number of times."""
    rule: dict[str, Json] = {
        "provider": provider,
        "call": dice.choice((_EVENTS if kind == "drop_webhook" else _CALLS)[provider]),
        "kind": kind,
        "count": dice.randint(*_COUNT),
        "probability": dice.choice((0.3, 0.6, 1.0)),
        "seed": dice.randrange(1 << 30),
    }
    if kind in {"error", "error_after"}:
        # After the effect only a server's own failure is believable.
        statuses = [s for s in _STATUSES[provider] if kind == "error" or s >= 500]
        rule["status"] = dice.choice(statuses)
        if rule["status"] in {429, 503} and dice.random() < 0.5:
            rule["retryAfter"] = dice.randint(1, 4)
    if kind == "distorted":
        call = dice.choice([call for call in _CALLS[provider] if call in _LIES_OF])
        rule |= {"call": call, "how": dice.choice(_LIES_OF[call]), "count": dice.randint(1, _MOST_LIES)}
    if kind == "slow":
        rule["delay"] = round(dice.uniform(1.0, 12.0), 2)
    if kind.startswith("timeout"):
        rule["delay"] = round(dice.uniform(1.0, 30.0), 2)
    return rule


def _esa_dials(dice: random.Random) -> dict[str, Json]:
    """Return how soon a search finds a new order, how far its keys come apart, and what Kinguin itself gets wrong."""
    return {
        "lookupDelay": dice.choice((0.0, 1.0, 20.0)),
        "keySpread": dice.choice((0.0, 0.0, 0.5)),
        "keyPages": dice.choice(("stable", "shuffled")),
        "paymentPrice": dice.choice(("number", "text")),
        "externalIds": dice.choice(("repeatable", "refused")),
    }


def _dials(dice: random.Random) -> dict[str, Json]:
    return {
        "webhookDuplicates": dice.choice((0, 1, 1, 2)),
        "webhookShuffle": dice.choice((0.0, 0.5, 2.0)),
        "webhookDrop": dice.choice((0.0, 0.0, 0.2)),
        "keyDelay": dice.choice((0.0, 0.2, 3.0)),
        "latency": dice.choice((0.0, 0.05, 0.5)),
        "codesInWebhook": dice.random() < 0.3,
        "orderIdInWebhook": dice.random() < 0.6,
        "tokenLifetime": dice.choice((5, 3600)),
        "resendEvents": dice.choice(([], ["email.sent", "email.delivered"])),
        "seed": dice.randrange(1 << 30),
    }
