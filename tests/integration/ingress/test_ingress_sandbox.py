"""The ingress with the providers' simulators: what they send is understood, what they answer is used."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from bitloot import ids
from bitloot.contracts.effects import CreatePayment
from bitloot.contracts.events import Notice, PaymentInstructions, PaymentStatus
from bitloot.contracts.topics import KINGUIN_NOTICES, ORDER_EVENTS
from bitloot.errors import BitLootError
from bitloot.health import Health
from embedded.ports import free_ports
from ingress.addresses import Addresses
from ingress.app import build
from ingress.billing import Billing
from ingress.gateway import Bounds, Gateway, Login
from tests.fakes.eventually import eventually_async
from tests.fakes.sandbox import SECRETS, RunningSandbox, running_sandbox
from tests.unit.ingress import rig as rigs
from tests.unit.ingress.rig import FakeBills, Fakes, Rig, item, order

ID = ids.order_id("key-1")
ADDRESSES = Addresses("https://keys", "https://in/webhooks/nowpayments", [SecretStr("link")], timedelta(days=90))


@dataclass
class World:
    """An ingress and a sandbox that know each other's addresses and secrets."""

    rig: Rig
    sandbox: RunningSandbox

    async def order(self, **changes: Any) -> dict[str, Any]:
        response = await self.rig.order(order(**changes))
        assert response.status == 201
        return dict(await response.json())


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def world(sandbox: RunningSandbox) -> AsyncIterator[World]:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    settings = rigs.settings(
        ingress_public_url=url,
        nowpayments_ipn_secret=SECRETS["nowpayments_ipn_secret"],
        kinguin_webhook_secret=SECRETS["kinguin_webhook_secret"],
        resend_webhook_secret=SECRETS["resend_webhook_secret"],
    )
    async with billing(sandbox.url, addresses=settings.addresses) as provider:
        fakes = Fakes(bills=Direct(provider))
        app = build(settings, fakes.ports, Health())
        await sandbox.set(ingressUrl=url, keyDelay=0, webhookAttempts=1)
        async with TestClient(TestServer(app, port=port)) as client:
            yield World(Rig(client, fakes, settings), sandbox)


class Direct(FakeBills):
    """Bills without a ledger."""

    def __init__(self, provider: Billing) -> None:
        super().__init__()
        self._provider = provider

    async def first(self, wish: CreatePayment) -> PaymentInstructions | None:
        try:
            return await self._provider.create(wish)
        except BitLootError:
            return None


@asynccontextmanager
async def billing(
    url: str,
    *,
    key: str = SECRETS["nowpayments_api_key"],
    patience: float = 10,
    login: Login | None = None,
    addresses: Addresses = ADDRESSES,
) -> AsyncIterator[Billing]:
    async with gateway(url, key=key, patience=patience, login=login) as asked:
        yield Billing(asked, addresses)


@asynccontextmanager
async def gateway(
    url: str, *, key: str = SECRETS["nowpayments_api_key"], patience: float = 10, login: Login | None = None
) -> AsyncIterator[Gateway]:
    async with httpx.AsyncClient(base_url=f"{url}/nowpayments/", headers={"x-api-key": key}) as client:
        yield Gateway(client, Bounds(patience), login)


async def test_an_order_is_paid_at_the_invoice_that_it_was_given(world: World):
    placed = await world.order(items=[item(quantity=3)])
    assert placed["payUrl"].startswith(f"{world.sandbox.url}/nowpayments/invoices/")

    answers = await world.sandbox.pay(placed["orderId"])

    assert {answer["status"] for answer in answers} == {200}
    placed_event, *payments = world.rig.events
    statuses = [PaymentStatus(word) for word in ("waiting", "confirming", "confirmed", "sending", "finished")]
    assert [payment.status for payment in payments] == statuses
    last = payments[-1]
    assert (last.order_id, last.invoice_id) == (placed["orderId"], placed_event.payment_instructions.invoice_id)
    assert (last.price_amount, last.price_currency) == (placed_event.total, "eur") == (Decimal("29.97"), "eur")
    assert last.actually_paid == last.pay_amount


async def test_notifications_spelled_otherwise_are_the_same_events(world: World):
    placed = await world.order()
    await world.sandbox.pay(placed["orderId"], statuses=["finished"])
    await world.sandbox.set(ipnSpelling="respelled", webhookDuplicates=2)
    await world.sandbox.pay(placed["orderId"], statuses=["finished"])

    # One, then one with two copies.
    events = await eventually_async(lambda: len(world.rig.events) == 5 and world.rig.events[1:])
    assert len({event.event_id for event in events}) == 1
    assert len({logged.body for logged in world.rig.logged}) == 2


@pytest.mark.parametrize("field", ["codes", "keys"])
@pytest.mark.parametrize("with_order", [True, False])
async def test_what_kinguin_sends_is_understood_and_its_codes_are_sealed(world: World, field: str, *, with_order: bool):
    await world.sandbox.set(codesInWebhook=True, codesField=field, orderIdInWebhook=with_order)
    external = ids.item_id(ID, 1)

    reservation = await world.sandbox.buy(external, quantity=2)

    topic = ORDER_EVENTS if with_order else KINGUIN_NOTICES
    await eventually_async(lambda: len(world.rig.producer.on(topic)) == 3)
    events: Any = {event.notice: event for event in world.rig.producer.on(topic)}
    assert events.keys() == {Notice.RESERVE, Notice.GIVE, Notice.DELIVERED}
    assert {event.reservation_id for event in events.values()} == {reservation}
    (purchase,) = (await world.sandbox.ledger(external))["purchases"]
    opened = [world.rig.opener.open(code).decode() for code in events[Notice.DELIVERED].codes]
    assert opened == purchase["keys"]
    assert not any(code in each.value.decode() for code in opened for each in world.rig.producer.sent)


async def test_what_resend_sends_is_logged(world: World):
    await world.sandbox.set(resendEvents=["email.sent", "email.delivered"])

    await world.sandbox.send_mail()

    await eventually_async(lambda: len(world.rig.logged) == 2)
    assert {each.event_type for each in world.rig.logged} == {"email.sent", "email.delivered"}


async def test_without_the_provider_an_order_is_placed_all_the_same(world: World):
    await world.sandbox.fail({"provider": "nowpayments", "call": "invoice", "kind": "error", "status": 500})

    placed = await world.order()

    assert placed["payUrl"] == placed["statusUrl"]
    assert len(world.rig.events) == 1
