"""The first invoice of an order: one, whichever processes ask for it, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from bitloot import ids
from bitloot.contracts.effects import CreatePayment
from bitloot.contracts.events import PaymentCreated, PaymentFacts, PaymentInstructions
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.errors import BitLootError, Cause, Refused, Transient, Unknown
from bitloot.ids import OrderId, PaymentId
from bitloot.ledger import EffectLedger, open_pool, perform
from ingress.first_bills import LedgerBills, created
from tests.fakes.producer import FakeProducer
from tests.integration.ingress.test_ingress_billing import ID, wish

pytestmark = pytest.mark.stack

WITHIN = timedelta(seconds=2)
PLACED = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass
class Provider:
    """Makes invoices numbered from 1, as slowly as a test wants, or fails."""

    error: BitLootError | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0

    async def create(self, wish: CreatePayment) -> PaymentInstructions:
        self.asked += 1
        number = self.asked
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return PaymentInstructions(pay_url=f"https://pay.example.test/{number}", invoice_id=str(number))

    async def read(self, order: OrderId, payment: PaymentId) -> PaymentFacts:
        raise NotImplementedError

    async def find(self, order: OrderId, invoice: str) -> tuple[PaymentFacts, ...]:
        raise NotImplementedError


@pytest.fixture
def provider() -> Provider:
    provider = Provider()
    provider.gate.set()
    return provider


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database) as pool:
        yield pool


def bills(pool: Any, provider: Provider, name: str = "one", patience: float = 10.0) -> LedgerBills:
    return LedgerBills(provider, EffectLedger(pool, name), FakeProducer(), within=WITHIN, patience=patience)


async def test_a_second_process_is_given_what_the_first_one_brought_home(pool: Any, provider: Provider):
    first = await bills(pool, provider).first(wish())

    assert await bills(pool, provider, "two").first(wish()) == first
    assert provider.asked == 1


async def test_processes_that_ask_at_the_same_time_make_one_invoice(pool: Any, provider: Provider):
    provider.gate.clear()
    asking = [asyncio.create_task(bills(pool, provider, f"process {n}").first(wish())) for n in range(5)]
    while not provider.asked:
        await asyncio.sleep(0.01)
    provider.gate.set()

    made = await asyncio.gather(*asking)

    assert len({each.invoice_id for each in made if each}) == 1
    assert provider.asked == 1


async def test_what_died_half_way_is_made_later_by_the_worker_and_not_here(pool: Any, provider: Provider):
    """Nobody knows whether that invoice exists; no one was shown it, so another one is no harm."""
    await EffectLedger(pool, "dead").claim(wish(), "create_payment", timedelta(0))
    await pool.execute("update effect_ledger set deadline = now() - interval '1 second'")

    assert await bills(pool, provider).first(wish()) is None
    assert provider.asked == 0

    producer: Any = FakeProducer()
    again = wish(effect_id=ids.effect_id(ID, "pay", 2), attempt=2)
    ledger = EffectLedger(pool, "worker")
    await perform(ledger, producer, again, lambda: created(again, provider, lambda: PLACED), within=WITHIN)
    (event,) = producer.on(ORDER_EVENTS)
    assert isinstance(event, PaymentCreated)


async def test_what_the_ingress_has_made_the_worker_tells_and_does_not_make_again(pool: Any, provider: Provider):
    first = await bills(pool, provider).first(wish())
    producer: Any = FakeProducer()
    ledger = EffectLedger(pool, "worker")
    await perform(ledger, producer, wish(), lambda: created(wish(), provider, lambda: PLACED), within=WITHIN)

    (event,) = producer.on(ORDER_EVENTS)
    assert event.payment_instructions == first
    assert provider.asked == 1


@pytest.mark.parametrize(
    "error",
    [
        Transient(Cause.PROVIDER_UNAVAILABLE, "ConnectError"),
        Unknown(Cause.TIMEOUT, "no answer in time"),
        Refused(Cause.REJECTED, "HTTP 400"),
    ],
    ids=lambda error: error.cause,
)
async def test_a_provider_that_does_not_answer_leaves_the_order_payable_later(
    pool: Any, provider: Provider, error: BitLootError
):
    provider.error = error

    assert await bills(pool, provider).first(wish()) is None
    provider.error = None
    assert await bills(pool, provider, "two").first(wish()) is None, "the first answer stands"
    assert provider.asked == 1


@pytest.mark.parametrize("cause", [Cause.AMOUNT_TOO_SMALL, Cause.COIN_UNAVAILABLE])
async def test_what_the_provider_never_takes_is_refused_and_a_repeat_too(pool: Any, provider: Provider, cause: Cause):
    provider.error = Refused(cause, "HTTP 400")

    for name in ("one", "two"):
        with pytest.raises(Refused) as refused:
            await bills(pool, provider, name).first(wish())
        assert refused.value.cause is cause
    assert provider.asked == 1


async def test_nobody_waits_longer_than_told(pool: Any, provider: Provider):
    provider.gate.clear()

    assert await bills(pool, provider, patience=0.3).first(wish()) is None


async def test_without_a_database_nobody_is_asked(provider: Provider):
    async with open_pool("postgresql://u:p@127.0.0.1:9/none") as away:
        assert await bills(away, provider).first(wish()) is None
    assert provider.asked == 0
