"""Carry out one effect and publish what became of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from bitloot import log, metrics, trace
from bitloot.contracts.base import Record
from bitloot.contracts.events import Failure
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import BitLootError, Cause, Refused, Transient
from bitloot.ids import EventId
from bitloot.kafka import Producer
from bitloot.ledger.book import Book, Failed, Orders, Wish
from bitloot.ledger.store import Claimed, EffectLedger, Expired, Finished, Running
from bitloot.uptime import uptime

T = TypeVar("T")

Act = Callable[[], Awaitable[Record]]
"""Touches the world once. Raises `Transient`, `Refused` or `Unknown`; anything else is taken for `Unknown`."""

Publish = Callable[[Record], Awaitable[None]]
"""Publishes an outcome to where the effect came from. Raises `Transient` when that is not possible now."""

_Moment = tuple[float, float]

Clock = Callable[[], datetime]
"""Returns the time, aware, in UTC."""

_POLL_SECONDS = 0.25  # first wait for somebody else's act; doubles
_LONGEST_POLL_SECONDS = 2.0
_LONGEST_BACKOFF_SECONDS = 5.0
_DETAIL_CHARACTERS = 2000

_log = log.get(__name__)


def now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


async def perform(
    ledger: EffectLedger, producer: Producer, effect: Wish, act: Act, *, within: timedelta, clock: Clock = now
) -> None:
    """Act once, ever, and publish the outcome to the order; a repeat publishes the recorded one again.

    `act` is stopped after `within`, and then its outcome is unknown. When others have given us up meanwhile and
    recorded that, theirs stands; ours is published as well, under an id of its own (`late_id`), because nobody else
    may know what we did. `clock` dates failures. Raises `Transient` when the ledger or Kafka is away: call again
    with the same effect.
    """
    topic, key = ledger.book.topic, ledger.book.key(effect)

    async def publish(outcome: Record) -> None:
        await producer.send(topic, key, outcome)

    outcome = await settle(ledger, publish, effect, act, within=within, clock=clock)
    reach(CrashPoint.LEDGER_RECORDED)
    await publish(outcome)
    reach(CrashPoint.LEDGER_PUBLISHED)


async def settle(
    ledger: EffectLedger, publish: Publish, effect: Wish, act: Act, *, within: timedelta, clock: Clock = now
) -> Record:
    """Act once, ever, and return the outcome that stands, see `perform`; only a late one is published from here."""
    begun = _moment()
    claim = await ledger.claim(effect, effect.type, within)
    match claim:
        case Claimed():
            reach(CrashPoint.LEDGER_CLAIMED)
            outcome = await _act(ledger.book, effect, act, within, begun, clock)
            standing = await _record(ledger, effect, outcome)
            if standing != outcome:
                await _tell_late(publish, effect, outcome)
            return standing
        case Finished(outcome=outcome):
            metrics.EFFECTS.labels(effect.type, "repeated").inc()
            return outcome
        case Running():
            return await _wait_for_owner(ledger, effect, clock)
        case Expired():
            return await _abandon(ledger, effect, clock)


def late_id(outcome: Record) -> EventId:
    """Return the id of an outcome that came when another one had been recorded for its effect."""
    return EventId(f"{outcome.event_id}/late")


async def perform_read(
    producer: Producer, effect: Wish, act: Act, *, within: timedelta, clock: Clock = now, book: Book | None = None
) -> None:
    """Ask something that changes nothing, as often as it is wished for, and publish the answer or the failure.

    A failure is transient, unless the provider refused. Raises `Transient` when Kafka is away.
    """
    started, book = time.monotonic(), book or Orders()
    outcome = await _outcome_of(book, effect, act, within, clock, otherwise=Failure.TRANSIENT)
    reach(CrashPoint.READ_ANSWERED)
    _count(effect, outcome, started)
    await producer.send(book.topic, book.key(effect), outcome)


def _moment() -> _Moment:
    """Return the loop's time, which a simulation moves, and the machine's, which goes on while it sleeps."""
    return asyncio.get_running_loop().time(), uptime()


async def _act(book: Book, effect: Wish, act: Act, within: timedelta, begun: _Moment, clock: Clock) -> Record:
    """Act within what is left of the claim; `begun` is the moment before it was made."""
    started = time.monotonic()
    left = within - timedelta(seconds=max(now - then for now, then in zip(_moment(), begun, strict=True)))
    if left < within / 2:
        # We stood still, or the machine slept, with the claim in hand. An act that ended after the deadline could be a
        # second purchase: by then others have asked the provider, found nothing and begun anew.
        detail = "the claim had run down before the act"
        outcome: Record = book.failed(effect, Failed(Failure.TRANSIENT, Cause.TIMEOUT, detail, clock()))
    else:
        outcome = await _outcome_of(book, effect, act, left, clock, otherwise=Failure.UNKNOWN)
        reach(CrashPoint.LEDGER_ACTED)
    _count(effect, outcome, started)
    return outcome


async def _record(ledger: EffectLedger, effect: Wish, outcome: Record) -> Record:
    """Record an outcome, and return the one that stands."""
    return await _until_taken(lambda: ledger.finish(effect.effect_id, outcome), "effect.not_recorded", effect)


async def _tell_late(publish: Publish, effect: Wish, outcome: Record) -> None:
    """Publish what the ledger does not hold: from there nobody could publish it again."""
    metrics.EFFECTS.labels(effect.type, "late").inc()
    _log.error("effect.late", effect_id=effect.effect_id, kind=effect.type, outcome=outcome.event_id)
    late = outcome.model_copy(update={"event_id": late_id(outcome)})
    await _until_taken(lambda: publish(late), "effect.not_published", effect)


async def _until_taken(give: Callable[[], Awaitable[T]], otherwise: str, effect: Wish) -> T:
    """Await `give` until it succeeds: what it gives away is in this process's memory only. Logs `otherwise`."""
    backoff = _POLL_SECONDS
    while True:
        try:
            return await give()
        except Transient as error:
            _log.warning(otherwise, effect_id=effect.effect_id, cause=error.cause, detail=error.detail)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)


async def _wait_for_owner(ledger: EffectLedger, effect: Wish, clock: Clock) -> Record:
    """Return what the other one records, or give it up when its deadline is past."""
    pause = _POLL_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_POLL_SECONDS)
        match await ledger.look(effect.effect_id):
            case Finished(outcome=outcome):
                metrics.EFFECTS.labels(effect.type, "repeated").inc()
                return outcome
            case Expired():
                return await _abandon(ledger, effect, clock)
            case Running():
                continue


async def _abandon(ledger: EffectLedger, effect: Wish, clock: Clock) -> Record:
    detail = "a worker began this and never reported its outcome"
    failed = ledger.book.failed(effect, Failed(Failure.UNKNOWN, Cause.ABANDONED, detail, clock()))
    outcome = await ledger.finish(effect.effect_id, failed)
    metrics.EFFECTS.labels(effect.type, _result(outcome)).inc()
    _log.warning("effect.abandoned", effect_id=effect.effect_id, kind=effect.type, outcome=outcome.event_id)
    return outcome


async def _outcome_of(
    book: Book, effect: Wish, act: Act, within: timedelta, clock: Clock, *, otherwise: Failure
) -> Record:
    """Await the act; every error becomes a failure in the book, one that says nothing certain as `otherwise`."""
    try:
        with trace.step(f"effect {effect.type}"):
            async with asyncio.timeout(within.total_seconds()):
                return await act()
    except BitLootError as error:
        retry_after = error.retry_after if isinstance(error, Transient) else None
        detail = error.detail[:_DETAIL_CHARACTERS]
        return book.failed(effect, Failed(_failure(error, otherwise), error.cause, detail, clock(), retry_after))
    except TimeoutError:
        detail = f"no answer within {within.total_seconds():g} s"
        return book.failed(effect, Failed(otherwise, Cause.TIMEOUT, detail, clock()))
    except Exception as error:  # noqa: BLE001 - a bug must not hide what may have happened
        _log.exception("effect.defect", effect_id=effect.effect_id, kind=effect.type)
        return book.failed(effect, Failed(otherwise, Cause.DEFECT, type(error).__name__, clock()))


def _failure(error: BitLootError, otherwise: Failure) -> Failure:
    match error:
        case Transient():
            return Failure.TRANSIENT
        case Refused():
            return Failure.REFUSED
        case _:  # Unknown; or Malformed: it was answered, in words that we do not understand
            return otherwise


def _count(effect: Wish, outcome: Record, started: float) -> None:
    metrics.EFFECTS.labels(effect.type, _result(outcome)).inc()
    metrics.EFFECT_SECONDS.labels(effect.type).observe(time.monotonic() - started)


def _result(outcome: Record) -> str:
    failure = getattr(outcome, "failure", None)  # of every book's failures
    return failure.value if isinstance(failure, Failure) else "done"
