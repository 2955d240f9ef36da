"""Carry out one effect and publish what became of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from bitloot import log, metrics
from bitloot.contracts.effects import Effect, ItemEffect
from bitloot.contracts.events import EffectFailed, Failure, Outcome
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import BitLootError, Cause, Refused, Transient
from bitloot.ids import outcome_id
from bitloot.kafka import Producer
from bitloot.ledger.store import Claimed, EffectLedger, Expired, Finished, Running

Act = Callable[[], Awaitable[Outcome]]
"""Touches the world once. Raises `Transient`, `Refused` or `Unknown`; anything else is taken for `Unknown`."""

_POLL_SECONDS = 0.25  # first wait for somebody else's act; doubles
_LONGEST_POLL_SECONDS = 2.0
_LONGEST_BACKOFF_SECONDS = 5.0
_DETAIL_CHARACTERS = 2000

_log = log.get(__name__)


async def perform(ledger: EffectLedger, producer: Producer, effect: Effect, act: Act, *, within: timedelta) -> None:
    """Act once, ever, and publish the outcome to the order; a repeat publishes the recorded one again.

    `act` is stopped after `within`, and then its outcome is unknown. Raises `Transient` when the ledger or
    Kafka is away: call again with the same effect.
    """
    begun = asyncio.get_running_loop().time()
    claim = await ledger.claim(effect, effect.type, within)
    match claim:
        case Claimed():
            reach(CrashPoint.LEDGER_CLAIMED)
            outcome = await _act_and_record(ledger, effect, act, within, begun)
        case Finished(outcome=outcome):
            metrics.EFFECTS.labels(effect.type, "repeated").inc()
        case Running():
            outcome = await _wait_for_owner(ledger, effect)
        case Expired():
            outcome = await _abandon(ledger, effect)
    reach(CrashPoint.LEDGER_RECORDED)
    await producer.send(ORDER_EVENTS, effect.order_id, outcome)
    reach(CrashPoint.LEDGER_PUBLISHED)


async def perform_read(producer: Producer, effect: Effect, act: Act, *, within: timedelta) -> None:
    """Ask something that changes nothing, as often as it is wished for, and publish the answer or the failure.

    A failure is transient, unless the provider refused. Raises `Transient` when Kafka is away.
    """
    started = time.monotonic()
    outcome = await _outcome_of(effect, act, within, otherwise=Failure.TRANSIENT)
    reach(CrashPoint.READ_ANSWERED)
    _count(effect, outcome, started)
    await producer.send(ORDER_EVENTS, effect.order_id, outcome)


async def _act_and_record(ledger: EffectLedger, effect: Effect, act: Act, within: timedelta, begun: float) -> Outcome:
    """Act within what is left of the claim; `begun` is the loop's time before it was made."""
    started = time.monotonic()
    left = within - timedelta(seconds=asyncio.get_running_loop().time() - begun)
    if left < within / 2:
        # We stood still with the claim in hand. An act that ended after the deadline could be a second purchase:
        # by then others have asked the provider, found nothing and begun anew.
        outcome: Outcome = _failed(effect, Failure.TRANSIENT, Cause.TIMEOUT, "the claim had run down before the act")
    else:
        outcome = await _outcome_of(effect, act, left, otherwise=Failure.UNKNOWN)
        reach(CrashPoint.LEDGER_ACTED)
    _count(effect, outcome, started)
    # What happened exists only in this process' memory until it is recorded, so there is no giving up.
    backoff = _POLL_SECONDS
    while True:
        try:
            return await ledger.finish(effect.effect_id, outcome)
        except Transient as error:
            _log.warning("effect.not_recorded", effect_id=effect.effect_id, cause=error.cause, detail=error.detail)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)


async def _wait_for_owner(ledger: EffectLedger, effect: Effect) -> Outcome:
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
                return await _abandon(ledger, effect)
            case Running():
                continue


async def _abandon(ledger: EffectLedger, effect: Effect) -> Outcome:
    detail = "a worker began this and never reported its outcome"
    failed = _failed(effect, Failure.UNKNOWN, Cause.ABANDONED, detail)
    outcome = await ledger.finish(effect.effect_id, failed)
    metrics.EFFECTS.labels(effect.type, _result(outcome)).inc()
    _log.warning("effect.abandoned", effect_id=effect.effect_id, kind=effect.type, outcome=outcome.event_id)
    return outcome


async def _outcome_of(effect: Effect, act: Act, within: timedelta, *, otherwise: Failure) -> Outcome:
    """Await the act; every error becomes an `EffectFailed`, one that says nothing certain as `otherwise`."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            return await act()
    except BitLootError as error:
        retry_after = error.retry_after if isinstance(error, Transient) else None
        return _failed(effect, _failure(error, otherwise), error.cause, error.detail, retry_after)
    except TimeoutError:
        return _failed(effect, otherwise, Cause.TIMEOUT, f"no answer within {within.total_seconds():g} s")
    except Exception as error:  # noqa: BLE001 - a bug must not hide what may have happened
        _log.exception("effect.defect", effect_id=effect.effect_id, kind=effect.type)
        return _failed(effect, otherwise, Cause.DEFECT, type(error).__name__)


def _failure(error: BitLootError, otherwise: Failure) -> Failure:
    match error:
        case Transient():
            return Failure.TRANSIENT
        case Refused():
            return Failure.REFUSED
        case _:  # Unknown; or Malformed: it was answered, in words that we do not understand
            return otherwise


def _failed(
    effect: Effect, failure: Failure, cause: Cause, detail: str, retry_after: float | None = None
) -> EffectFailed:
    return EffectFailed(
        event_id=outcome_id(effect.effect_id, "effect.failed"),
        occurred_at=datetime.now(UTC),
        order_id=effect.order_id,
        effect_id=effect.effect_id,
        item_id=effect.item_id if isinstance(effect, ItemEffect) else None,
        failure=failure,
        cause=cause,
        detail=detail[:_DETAIL_CHARACTERS],
        retry_after=retry_after,
    )


def _count(effect: Effect, outcome: Outcome, started: float) -> None:
    metrics.EFFECTS.labels(effect.type, _result(outcome)).inc()
    metrics.EFFECT_SECONDS.labels(effect.type).observe(time.monotonic() - started)


def _result(outcome: Outcome) -> str:
    return outcome.failure.value if isinstance(outcome, EffectFailed) else "done"
