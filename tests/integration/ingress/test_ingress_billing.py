"""Invoices, payments and coins: the adapters, against NOWPayments' simulator."""

import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bitloot import ids
from bitloot.contracts.effects import CreatePayment
from bitloot.contracts.events import PaymentInstructions, PaymentStatus
from bitloot.errors import BitLootError, Cause, Malformed, Refused, Transient, Unknown
from bitloot.ids import EventId, PaymentId
from bitloot.metrics import PROVIDER_CALLS
from ingress.billing import rounded_up
from ingress.coins import Coins
from ingress.gateway import Login
from tests.fakes.sandbox import RunningSandbox, running_sandbox
from tests.integration.ingress.test_ingress_sandbox import ADDRESSES, billing, gateway

ID = ids.order_id("key-1")
LOGIN = Login("owner@bitloot.test", SecretStr("hunter2"))
PLACED = datetime(2026, 1, 31, 12, tzinfo=UTC)


def wish(coin: str | None = None, **changes: Any) -> CreatePayment:
    facts: dict[str, Any] = {
        "event_id": EventId(f"{ID}/pay/1"),
        "occurred_at": PLACED,
        "order_id": ID,
        "effect_id": ids.effect_id(ID, "pay", 1),
        "attempt": 1,
        "amount": Decimal("12345678.12345678"),
        "currency": "eur",
        "pay_currency": coin,
        "placed_at": PLACED,
    }
    return CreatePayment(**(facts | changes))


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox() as sandbox:
        yield sandbox


# Made


async def test_an_invoice_is_for_the_exact_total(sandbox: RunningSandbox):
    async with billing(sandbox.url) as provider:
        made = await provider.create(wish())

    assert made.pay_url == f"{sandbox.url}/nowpayments/invoices/{made.invoice_id}"
    (call,) = (await sandbox.ledger(ID))["calls"]
    page = ADDRESSES.status_url(ID, PLACED)
    assert call["request"] == {
        "price_amount": 12345678.12345678,
        "price_currency": "eur",
        "order_id": ID,
        "order_description": f"BitLoot order {ID}",
        "ipn_callback_url": ADDRESSES.notify_url,
        "success_url": page,
        "cancel_url": page,
    }


async def test_a_payment_has_an_address_an_amount_a_network_and_a_memo(sandbox: RunningSandbox):
    async with billing(sandbox.url) as provider:
        made = await provider.create(wish("xrp", amount=Decimal("19.99")))

    assert (made.pay_currency, made.network, made.pay_amount) == ("xrp", "xrp", Decimal("39.98"))
    assert made.pay_address
    assert made.memo, "without its tag a deposit of this coin is lost"
    assert made.valid_until > datetime.now(UTC) + timedelta(days=6)
    (call,) = (await sandbox.ledger(ID))["calls"]
    assert (call["request"]["pay_currency"], call["request"]["ipn_callback_url"]) == ("xrp", ADDRESSES.notify_url)


@pytest.mark.parametrize(
    ("amount", "places", "shown"),
    [
        ("0.00033166666", 8, "0.00033167"),
        ("0.000331", 8, "0.000331"),
        ("0.0000001", 6, "0.000001"),
        ("7.1", 0, "8"),
        ("7", None, "7"),
        ("0.123456789012345678", None, "0.123456789012345678"),
        ("999999999999999999.000000000000000001", 17, "999999999999999999.00000000000000001"),
    ],
)
def test_an_amount_is_rounded_up_to_what_the_network_carries(amount: str, places: int | None, shown: str):
    assert format(rounded_up(Decimal(amount), places), "f") == shown


FAULTS = [
    ({"kind": "error", "status": 500}, Unknown, Cause.PROVIDER_UNAVAILABLE),
    ({"kind": "error", "status": 503}, Unknown, Cause.PROVIDER_UNAVAILABLE),
    ({"kind": "error", "status": 429}, Transient, Cause.RATE_LIMITED),
    ({"kind": "error", "status": 401}, Transient, Cause.AUTHORIZATION),
    ({"kind": "error", "status": 403}, Transient, Cause.AUTHORIZATION),
    ({"kind": "error", "status": 404}, Refused, Cause.NOT_FOUND),
    ({"kind": "error", "status": 400}, Refused, Cause.REJECTED),
    ({"kind": "error", "status": 400, "code": "AMOUNT_MINIMAL_ERROR"}, Refused, Cause.AMOUNT_TOO_SMALL),
    ({"kind": "error", "status": 400, "code": "CURRENCY_UNAVAILABLE"}, Refused, Cause.COIN_UNAVAILABLE),
    ({"kind": "error", "status": 302}, Unknown, Cause.PROVIDER_UNAVAILABLE),
    ({"kind": "malformed"}, Malformed, Cause.BAD_ANSWER),
    ({"kind": "malformed", "body": "<html>"}, Malformed, Cause.BAD_ANSWER),
    ({"kind": "malformed", "body": "[]"}, Malformed, Cause.BAD_ANSWER),
    ({"kind": "malformed", "body": '{"id": "1"}'}, Malformed, Cause.BAD_ANSWER),
    ({"kind": "timeout_after", "delay": 0.01}, Unknown, Cause.PROVIDER_UNAVAILABLE),
    ({"kind": "timeout_after", "delay": 3}, Unknown, Cause.TIMEOUT),
]


@pytest.mark.parametrize("coin", [None, "btc"])
@pytest.mark.parametrize(("fault", "family", "cause"), FAULTS, ids=str)
async def test_every_failure_has_its_family(
    sandbox: RunningSandbox, coin: str | None, fault: dict[str, Any], family: type[BitLootError], cause: Cause
):
    call = "payment" if coin else "invoice"
    await sandbox.fail({"provider": "nowpayments", "call": call, "count": 1, **fault})
    counter = PROVIDER_CALLS.labels("nowpayments", f"create_{call}", cause)
    before = counter._value.get()

    async with billing(sandbox.url, patience=0.5) as provider:
        with pytest.raises(family) as failed:
            await provider.create(wish(coin))
        assert failed.value.cause is cause
        assert ID not in str(failed.value)
        assert counter._value.get() == before + 1
        assert await provider.create(wish(coin))


@pytest.mark.parametrize(
    "change",
    [
        {"payment_id": None},
        {"payment_id": "5e9"},
        {"pay_address": ""},
        {"pay_address": "two words"},
        {"pay_amount": 0},
        {"pay_amount": None},
        {"pay_amount": -1},
        {"pay_currency": "eth"},
        {"order_id": ids.order_id("another")},
        {"order_id": {}},
        {"payin_extra_id": "a\nb"},
        {"network_precision": 99},
    ],
    ids=str,
)
async def test_an_address_that_cannot_be_shown_is_none(sandbox: RunningSandbox, change: dict[str, Any]):
    answer = {
        "payment_id": "5745459419",
        "payment_status": "waiting",
        "pay_address": "TEST",
        "pay_amount": 0.1,
        "pay_currency": "btc",
        "network_precision": 8,
    }
    await sandbox.answer("payment", answer)
    async with billing(sandbox.url) as provider:
        assert (await provider.create(wish("btc"))).pay_amount == Decimal("0.1")
        await sandbox.answer("payment", answer | change)
        with pytest.raises(Malformed):
            await provider.create(wish("btc"))


@pytest.mark.parametrize(
    ("told", "until"),
    [
        ("2026-02-07T12:00:00Z", datetime(2026, 2, 7, 12, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", None),  # whoever added a day to it would fall off the calendar
        (253402300799000, None),
        (None, None),
    ],
)
async def test_an_end_that_cannot_be_reckoned_with_is_none(sandbox: RunningSandbox, told: Any, until: datetime | None):
    made = {"payment_id": "1", "pay_address": "TEST", "pay_amount": 0.1, "pay_currency": "btc", "valid_until": told}
    await sandbox.answer("payment", made)
    async with billing(sandbox.url) as provider:
        assert (await provider.create(wish("btc"))).valid_until == until


@pytest.mark.parametrize("url", ["javascript:x", "http://a b", "ftp://a", ""])
async def test_a_page_that_is_no_address_is_none(sandbox: RunningSandbox, url: str):
    await sandbox.answer("invoice", {"id": 4522625843, "invoice_url": url})
    async with billing(sandbox.url) as provider:
        with pytest.raises(Malformed):
            await provider.create(wish())
        # PostgreSQL cannot store a NUL: nobody would learn of the invoice.
        for number in ("", "a b", "4\x00", "9" * 65):
            await sandbox.answer("invoice", {"id": number, "invoice_url": "https://nowpayments.io/payment/?iid=1"})
            with pytest.raises(Malformed):
                await provider.create(wish())
        made = {"id": 4522625843, "invoice_url": "https://nowpayments.io/payment/?iid=1"}
        await sandbox.answer("invoice", made | {"order_id": ids.order_id("another")})
        with pytest.raises(Malformed):
            await provider.create(wish())
        await sandbox.answer("invoice", made | {"order_id": ID})
        assert (await provider.create(wish())).invoice_id == "4522625843"


async def test_nobody_there_and_a_wrong_key(sandbox: RunningSandbox):
    async with billing("http://127.0.0.1:9") as provider:
        with pytest.raises(Transient):
            await provider.create(wish())
    async with billing(sandbox.url, key="wrong") as provider:
        with pytest.raises(Transient) as refused:
            await provider.create(wish())
    assert (refused.value.cause, refused.value.retry_after) == (Cause.AUTHORIZATION, 60.0)


# Read and listed


async def paid(sandbox: RunningSandbox, coin: str | None, **pay: Any) -> PaymentInstructions:
    async with billing(sandbox.url) as provider:
        made = await provider.create(wish(coin, amount=Decimal("19.99")))
    await sandbox.pay(ID, silent=True, **pay)
    return made


async def test_a_payment_is_read_whatever_was_told_of_it(sandbox: RunningSandbox):
    made = await paid(sandbox, "btc", statuses=["finished", "waiting"])
    async with billing(sandbox.url) as provider:
        facts = await provider.read(ID, made.payment_id)

    assert (facts.payment_id, facts.status) == (made.payment_id, PaymentStatus.FINISHED)
    assert (facts.price_amount, facts.price_currency, facts.pay_currency) == (Decimal("19.99"), "eur", "btc")
    assert facts.actually_paid == facts.pay_amount == made.pay_amount


async def test_a_payment_of_another_order_is_refused(sandbox: RunningSandbox):
    made = await paid(sandbox, "btc")
    async with billing(sandbox.url) as provider:
        with pytest.raises(Refused) as refused:
            await provider.read(ids.order_id("another"), made.payment_id)
        assert refused.value.cause is Cause.CONFLICT
        with pytest.raises(Refused) as unknown:
            await provider.read(ID, PaymentId("1234567890"))
        assert unknown.value.cause is Cause.NOT_FOUND


async def test_an_answer_about_another_payment_is_no_answer(sandbox: RunningSandbox):
    made = await paid(sandbox, "btc")
    await sandbox.answer("payment_status", {"payment_id": 1, "payment_status": "finished", "order_id": ID})
    async with billing(sandbox.url) as provider:
        with pytest.raises(Malformed):
            await provider.read(ID, made.payment_id)


async def test_the_payments_of_an_invoice_are_found(sandbox: RunningSandbox):
    made = await paid(sandbox, None, statuses=["confirming"])
    async with billing(sandbox.url, login=LOGIN) as provider:
        (found,) = await provider.find(ID, made.invoice_id)
        assert (found.status, found.invoice_id) == (PaymentStatus.CONFIRMING, made.invoice_id)
        assert await provider.find(ID, "999") == ()
    calls = [call["call"] for call in (await sandbox.ledger())["calls"]]
    assert calls.count("auth") == 1, "a token is used more than once"
    assert "hunter2" not in str(await sandbox.ledger())


def listed(number: int, invoice: int | None, order: str = ID, status: str = "waiting") -> dict[str, Any]:
    paid = 0.5 if status == "finished" else 0
    return {
        "payment_id": number,
        "invoice_id": invoice,
        "payment_status": status,
        "order_id": order,
        "price_amount": 19.99,
        "price_currency": "eur",
        "pay_amount": 0.5,
        "actually_paid": paid,
        "pay_currency": "btc",
    }


async def test_payments_of_other_invoices_in_the_list_do_not_hide_ours(sandbox: RunningSandbox):
    """A list that is not cut to the invoice, as a filter that nobody knows any more would leave it."""
    other = ids.order_id("another")
    foreign = [listed(1, 8, other), listed(2, None, other), listed(3, None), listed(4, 8)]
    await sandbox.answer("payments", {"data": [*foreign, listed(5, 7, status="finished")]})
    async with billing(sandbox.url, login=LOGIN) as provider:
        (found,) = await provider.find(ID, "7")
        assert (found.payment_id, found.status) == (PaymentId("5"), PaymentStatus.FINISHED)
        await sandbox.answer("payments", {"data": [listed(5, 7, other)]})
        with pytest.raises(Refused) as refused:
            await provider.find(ID, "7")
    assert refused.value.cause is Cause.CONFLICT


async def test_the_first_payment_of_many_is_found(sandbox: RunningSandbox):
    """A buyer who looks at one coin after the other makes a payment each time; the first was the one that was paid."""
    pages = [[listed(n, 7) for n in range(300, 200, -1)], [listed(n, 7) for n in range(201, 101, -1)]]
    pages.append([listed(101, 7, status="finished")])
    asked: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        if request.path.endswith("/auth"):
            return web.json_response({"token": "t"})
        asked.append(request.query["page"])
        return web.json_response({"data": pages[int(request.query["page"])]})

    async with served(serve) as url, billing(url, login=LOGIN) as provider:
        found = await provider.find(ID, "7")
    assert asked == ["0", "1", "2"]
    assert [int(each.payment_id) for each in found] == [*range(300, 200, -1), 101], "clicks of before are of no use"
    assert found[-1].status is PaymentStatus.FINISHED


@pytest.mark.parametrize("wait", ["Fri, 31 Dec 99999999999999999999 23:59:59 GMT", "soon"])
async def test_a_wait_that_nobody_can_read_is_none(wait: str):
    async def serve(_request: web.Request) -> web.Response:
        return web.json_response({}, status=429, headers={"Retry-After": wait})

    async with served(serve) as url, billing(url) as provider:
        with pytest.raises(Transient) as failed:
            await provider.create(wish())
    assert (failed.value.cause, failed.value.retry_after) == (Cause.RATE_LIMITED, None)


async def test_an_answer_without_end_is_not_read_to_its_end():
    written = 0

    async def serve(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                await response.write(b" " * 2**20)
                written += 1
        return response

    async with served(serve) as url, billing(url) as provider:
        with pytest.raises(Malformed):
            await provider.create(wish())
    assert written < 32


async def test_an_answer_that_is_compressed_unasked_is_none():
    async def serve(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        body = gzip.compress(b'{"id": 1, "invoice_url": "https://pay.example.test/1"}')
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async with served(serve) as url, billing(url) as provider:
        with pytest.raises(Malformed):
            await provider.create(wish())


@pytest.mark.parametrize("call", ["create", "read", "find"])
@pytest.mark.parametrize("body", [b"<html>nginx</html>", b"", b"[]", b'{"status": fal'])
async def test_a_404_of_something_in_between_says_nothing_about_payments(call: str, body: bytes):
    async def serve(request: web.Request) -> web.Response:
        if request.path.endswith("/auth"):
            return web.json_response({"token": "t"})
        return web.Response(status=404, body=body)

    async with served(serve) as url, billing(url, login=LOGIN) as provider:
        asked: dict[str, Callable[[], Awaitable[Any]]] = {
            "create": lambda: provider.create(wish()),
            "read": lambda: provider.read(ID, PaymentId("1")),
            "find": lambda: provider.find(ID, "1"),
        }
        with pytest.raises(Transient) as failed:
            await asked[call]()
    assert failed.value.cause is Cause.BAD_ANSWER


@asynccontextmanager
async def served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Answer all requests like this; yields the address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_without_somebody_who_may_sign_in_nothing_is_listed(sandbox: RunningSandbox):
    async with billing(sandbox.url) as provider:
        with pytest.raises(Refused) as refused:
            await provider.find(ID, "1")
    assert refused.value.cause is Cause.CANNOT_ASK


@pytest.mark.parametrize("body", [{}, {"data": {}}, {"data": [7]}, {"data": [{"payment_id": 1}]}], ids=str)
async def test_a_list_that_is_none_is_no_answer(sandbox: RunningSandbox, body: Any):
    await sandbox.answer("payments", body)
    async with billing(sandbox.url, login=LOGIN) as provider:
        with pytest.raises(Malformed):
            await provider.find(ID, "1")


@pytest.mark.parametrize("call", ["read", "find"])
@pytest.mark.parametrize("status", [500, 408, 429, 403])
async def test_what_fails_for_now_may_be_asked_again(sandbox: RunningSandbox, call: str, status: int):
    await sandbox.fail({"provider": "nowpayments", "kind": "error", "status": status})
    async with billing(sandbox.url, login=LOGIN) as provider:
        asked: dict[str, Callable[[], Awaitable[Any]]] = {
            "read": lambda: provider.read(ID, PaymentId("1")),
            "find": lambda: provider.find(ID, "1"),
        }
        with pytest.raises((Transient, Unknown)):
            await asked[call]()


# Coins


async def test_a_coin_that_is_not_switched_on_and_too_little_of_one(sandbox: RunningSandbox):
    await sandbox.set(minAmount=5)
    async with gateway(sandbox.url) as asked:
        coins = Coins(asked)
        await coins.check(Decimal(5), "eur", "btc")
        with pytest.raises(Refused) as refused:
            await coins.check(Decimal(5), "eur", "doge")
        assert refused.value.cause is Cause.COIN_UNAVAILABLE
        with pytest.raises(Refused) as little:
            await coins.check(Decimal("4.99"), "eur", "btc")
        assert little.value.cause is Cause.AMOUNT_TOO_SMALL
        assert "at least 5 eur" in little.value.detail
    calls = [call["call"] for call in (await sandbox.ledger())["calls"]]
    assert calls == ["coins", "min_amount"], "answers are kept for a while"


async def test_answers_about_coins_grow_old(sandbox: RunningSandbox):
    now = [0.0]
    async with gateway(sandbox.url) as asked:
        coins = Coins(asked, lambda: now[0])
        for now[0] in (0.0, 59.0, 61.0, 301.0):
            await coins.check(Decimal(50), "eur", "btc")
    calls = [call["call"] for call in (await sandbox.ledger())["calls"]]
    assert (calls.count("coins"), calls.count("min_amount")) == (2, 3)


async def test_what_cannot_be_asked_stops_no_order_and_what_was_known_stays(sandbox: RunningSandbox):
    now = [0.0]
    async with gateway(sandbox.url) as asked:
        coins = Coins(asked, lambda: now[0])
        await coins.check(Decimal(50), "eur", "btc")
        await sandbox.fail({"provider": "nowpayments", "kind": "error", "status": 500})
        now[0] = 1000.0
        await coins.check(Decimal(50), "eur", "btc")
        with pytest.raises(Refused):
            await coins.check(Decimal(50), "eur", "doge")
        fresh = Coins(asked)
        await fresh.check(Decimal("0.01"), "eur", "doge")
