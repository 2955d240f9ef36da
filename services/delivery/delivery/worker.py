"""Carries out what the orders agent asks of delivery: store the keys, send the mail."""

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import assert_never

from bitloot import log
from bitloot.consumer import Consumed
from bitloot.contracts.effects import Delivery, SendMail, StoreKeys
from bitloot.contracts.events import KeysStored, MailSent
from bitloot.errors import BitLootError
from bitloot.kafka import Producer
from bitloot.ledger import EffectLedger, perform, perform_read
from delivery.clock import Clock
from delivery.pace import Turns
from delivery.retention import Deleting
from delivery.sending import Mailer, MailPorts, send_mail
from delivery.storing import CodeOpener, KeyStore, store_keys

_log = log.get(__name__)

STORE_WITHIN = timedelta(seconds=30)
"""Two calls to storage at their longest (13 s each), with room."""
_BESIDE_SENDING = timedelta(seconds=9)
"""What a mail takes beside one call to its provider: the longest wait for a turn (3 s and 5 s), and short queries."""


def mail_within(mailer: Mailer) -> timedelta:
    """Return how long a mail may take. Not longer: it is also what a mail waits whose worker was killed.

    Not shorter either: to be stopped early costs nothing where a message may be repeated under the same
    Idempotency-Key, but by SMTP nobody can tell any more that nothing had left, and a person has to decide.
    """
    return _BESIDE_SENDING + mailer.takes


@dataclass(frozen=True, slots=True)
class WorkerPorts:
    """What the worker needs from outside."""

    opener: CodeOpener
    store: KeyStore
    sweeping: Deleting
    mail: MailPorts
    pace: Turns
    ledger: EffectLedger
    producer: Producer
    clock: Clock


class DeliveryWorker:
    """Handles `deliveries.v1`."""

    def __init__(self, ports: WorkerPorts) -> None:
        self._ports = ports

    async def handle(self, consumed: Consumed) -> None:
        """Carry out one wish and publish its outcome. Raises `Transient` when Kafka or the ledger is away."""
        ports = self._ports
        effect: Delivery = consumed.record
        act = partial(self._attempt, effect)
        match effect:
            case StoreKeys():
                # Needs no claim: the object is written once and compared afterwards, so doing it twice, even
                # at the same time, is doing it once.
                await perform_read(ports.producer, effect, act, within=STORE_WITHIN, clock=ports.clock)
            case SendMail():
                await perform(
                    ports.ledger, ports.producer, effect, act, within=mail_within(ports.mail.mailer), clock=ports.clock
                )
            case _:  # pragma: no cover - mypy proves that this cannot be reached
                assert_never(effect)

    async def _attempt(self, effect: Delivery) -> KeysStored | MailSent:
        """Touch the world, and write the one line that tells all about it."""
        started = time.perf_counter()
        with log.bound(kind=effect.type, effect_id=effect.effect_id, order_id=effect.order_id, attempt=effect.attempt):
            try:
                outcome = await self._act(effect)
            except BitLootError as error:
                _log.warning(
                    "delivery.attempted",
                    outcome=type(error).__name__.lower(),
                    cause=error.cause,
                    detail=error.detail,
                    duration_ms=_milliseconds_since(started),
                )
                raise
            _log.info("delivery.attempted", outcome=outcome.type, duration_ms=_milliseconds_since(started))
            return outcome

    async def _act(self, effect: Delivery) -> KeysStored | MailSent:
        ports = self._ports
        match effect:
            case StoreKeys():
                return await store_keys(effect, opener=ports.opener, store=ports.store, clock=ports.clock)
            case SendMail():
                await ports.pace.turn()
                return await send_mail(effect, ports.mail)
            case _:  # pragma: no cover - mypy proves that this cannot be reached
                assert_never(effect)


def _milliseconds_since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
