"""How often and how patiently: the kinds of effects, their retries, and what operators set."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from fulfillment.payment_rules import TOLERANCE
from fulfillment.purchases import LIMITS, Limits


class Kind(StrEnum):
    """The kinds of effects, as they stand in effect ids."""

    PAY = "pay"
    CHECK = "check"
    FIND = "find"
    BUY = "buy"
    GIVE = "give"
    LOOK_UP = "look_up"
    FETCH = "fetch"
    RETURN = "return"
    STORE = "store"
    MAIL = "mail"  # the one whose acceptance completes the order
    NOTICE = "notice"  # any other mail: nothing waits for it


@dataclass(frozen=True, slots=True)
class Retry:
    """How an effect is retried: `tries` in a series, none later than `patience` after the first.

    The wait before try n+1 is `base` times 2^(n-1), at most `cap`, or what the other side asks for when that is more,
    plus up to a quarter of jitter: orders that are told to come back at one time must not come at one time.
    """

    base: timedelta
    cap: timedelta
    tries: int
    patience: timedelta

    def wait(self, tries: int, seed: str, at_least: float | None = None) -> timedelta:
        """Return the wait after the `tries`-th try, with jitter that depends on the seed alone.

        `at_least` is what the other side asked for, in seconds; more than an hour is not obeyed.
        """
        plain: timedelta = min(self.base * 2 ** min(tries - 1, 30), self.cap)
        plain = max(plain, timedelta(seconds=min(at_least or 0, 3600)))
        jitter = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") / 2**32
        return plain + plain / 4 * jitter


DAY = timedelta(days=1)
_CALL = Retry(timedelta(seconds=1), timedelta(seconds=60), tries=5, patience=DAY)
# R2 and the mail provider may be away for hours and nothing is at stake but time: patience counts, not tries. Mail
# stops before the 24 h for which Resend remembers an Idempotency-Key (contract "Resend", section 3).
_DELIVERY = Retry(timedelta(seconds=1), timedelta(minutes=5), tries=1000, patience=timedelta(hours=22))

PAYMENTS = frozenset({Kind.PAY, Kind.CHECK, Kind.FIND})
"""What is asked of the payment provider."""
CALLS = frozenset(Kind) - PAYMENTS - {Kind.STORE, Kind.MAIL, Kind.NOTICE}
"""What is asked of Kinguin."""
# Nothing is at stake but time while a payment is created or read: patience counts, not tries.
_CREATION = Retry(timedelta(seconds=5), timedelta(minutes=10), tries=1000, patience=timedelta(days=7))
_CONFIRMATION = Retry(timedelta(seconds=1), timedelta(minutes=5), tries=1000, patience=DAY)
RETRIES = {kind: _CALL if kind in CALLS else _DELIVERY for kind in Kind} | {
    Kind.PAY: _CREATION,
    Kind.CHECK: _CONFIRMATION,
    Kind.FIND: _CONFIRMATION,
}
POLLING = Retry(timedelta(seconds=2), timedelta(minutes=5), tries=10_000, patience=DAY)
"""Asking for codes that are not there yet is no failure and no try: Kinguin's webhook usually comes first."""
WAITS = Retry(timedelta(seconds=5), timedelta(minutes=5), tries=10_000, patience=DAY)
"""For what keeps Kinguin from being asked and says nothing about the order: no try is used up, only patience."""
NO_TRY = frozenset({"rate_limited", "insufficient_balance", "authorization"})
"""Such causes (`bitloot.errors.Cause`). `provider_unavailable` is one where a time to come back is known: Kinguin has
told it, or the breaker, which does not let anything leave while Kinguin is away."""
LOOK_UPS = Retry(timedelta(seconds=5), timedelta(minutes=1), tries=3, patience=DAY)
"""A look-up by order id. Where the market's search may lag for minutes, `Policy.look_ups` is more patient."""
FIRST_LOOK_UP = timedelta(seconds=2)
REDRIVE = Retry(timedelta(minutes=1), timedelta(minutes=10), tries=0, patience=DAY)
"""An effect without an outcome is sent again after this; the worker's claim makes that harmless."""
UNPAID_FOR = timedelta(days=8)
"""A floating-rate payment lives 7 days (contract "NOWPayments", section 2); a day for the last notification."""
MOVING_FOR = timedelta(days=7)
"""So much longer a payment is waited for that was seen on its way; then a human must look where it stays."""
ASKING = timedelta(minutes=1)
"""After this an open payment is asked about for the first time: the notification usually comes first."""
_OFTEN = 72
"""So many times in a row a moving payment is asked about every few minutes; half a day later it is stuck."""
MOST_OFFERS = 10
"""So many ways to pay one order may be asked for: each click of a buyer makes one."""
STUCK_AFTER = DAY
REMEMBERED_ACTIONS = 32
REMEMBERED_MAILS = 50
"""Of the mails of an order the newest are kept in its state; the others are in its timeline."""
NOTICE_AFTER = timedelta(minutes=1)
"""What is cured by itself by then is not worth a mail."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The waits between questions about an open payment: they grow from `first` to `slowest`.

    Of one that is on its way, news is near: it is asked about every `moving` until that has led nowhere for long.
    """

    first: timedelta = ASKING
    slowest: timedelta = timedelta(hours=2)
    moving: timedelta = timedelta(minutes=10)

    def wait(self, tries: int, seed: str, *, moving: bool = False) -> timedelta:
        """Return the wait after the `tries`-th question."""
        cap = self.moving if moving and tries <= _OFTEN else self.slowest
        return Retry(self.first, max(cap, self.first), tries=0, patience=DAY).wait(tries, seed)


@dataclass(frozen=True, slots=True)
class Policy:
    """What operators set.

    A paid order that has not ended `stuck_after` its payment (or the last time a human stepped in) goes to review;
    for so long Kinguin is asked for codes. A closed order is kept for `retention`, and for ever without one.
    After an unknown outcome Kinguin is asked `look_ups.tries` times before nothing counts as nothing. `limits` are
    those of one purchase.
    Of a `finished` payment the part `tolerance` may be missing. `asking` paces the questions about an open
    one.
    """

    stuck_after: timedelta = STUCK_AFTER
    retention: timedelta | None = None
    look_ups: Retry = LOOK_UPS
    limits: Limits = LIMITS["reservations"]
    tolerance: Decimal = TOLERANCE
    asking: Asking = Asking()


DEFAULT_POLICY = Policy()
