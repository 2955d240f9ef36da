import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from bitloot import ids, links
from bitloot.contracts.effects import CreatePayment
from bitloot.contracts.events import OrderItem, OrderPlaced, PaymentInstructions
from bitloot.errors import Cause, Malformed, Refused, Transient
from ingress.addresses import Addresses
from ingress.checkout import Checkout, CheckoutPorts, Conflict
from ingress.order_request import Limits, OrderRequest, read_order
from ingress.ports import KnownOrder
from tests.fakes.buyers import key_of, opened, sealed
from tests.fakes.eventually import eventually_async
from tests.fakes.producer import FakeProducer
from tests.unit.ingress import rig as rigs
from tests.unit.ingress.conftest import Lines, Start
from tests.unit.ingress.rig import (
    LINK_SECRET,
    SHOP_TOKEN_BEFORE,
    FakeBills,
    FakeCheckouts,
    Fakes,
    Rig,
    ipn,
    item,
    order,
    refusal,
)

KEY = "key-1"
ID = ids.order_id(KEY)


async def test_an_order_is_placed(rig: Rig):
    before = datetime.now(UTC)
    response = await rig.order(order())

    assert response.status == 201
    answer = await response.json()
    assert answer.keys() == {"orderId", "statusUrl", "payUrl"}
    assert answer["orderId"] == ID
    assert answer["payUrl"] == "https://pay.example.test/?iid=1"
    assert response.headers["Location"] == answer["statusUrl"]
    assert "Idempotency-Replayed" not in response.headers

    base, _, token = answer["statusUrl"].rpartition("/")
    link = links.verify(token, [LINK_SECRET], before)
    assert base == "https://keys.example.test/o"
    assert (link.order_id, link.generation) == (ID, 1)
    assert timedelta(days=90) <= link.expires_at - before <= timedelta(days=91, seconds=10)

    (event,) = rig.events
    assert rig.key_of(event) == ID
    assert event == OrderPlaced(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        order_id=ID,
        email=sealed(ID, "buyer@example.com"),
        currency="eur",
        items=(
            OrderItem(
                item_id=ids.item_id(ID, 1),
                product_id="5c9b5f6b2539a4e8f172916a",
                title="Stardew Valley",
                quantity=2,
                unit_price=Decimal("9.99"),
            ),
        ),
        total=Decimal("19.98"),
        request_hash=event.request_hash,
        payment_instructions=PaymentInstructions(pay_url=answer["payUrl"], invoice_id="inv-1"),
    )
    assert before <= event.occurred_at <= datetime.now(UTC)


async def test_the_invoice_says_what_the_order_is(rig: Rig):
    response = await rig.order(order(items=[item(), item(quantity=1, unitPrice="0.02")]))

    (asked,) = rig.bills.asked
    assert (asked.order_id, asked.amount, asked.currency, asked.pay_currency) == (ID, Decimal("20.00"), "eur", None)
    assert asked.effect_id == f"{ID}/pay/1", "the claim that the payments worker would take first"
    (event,) = rig.events
    addresses = rig.settings.addresses
    assert addresses.status_url(ID, asked.placed_at) == (await response.json())["statusUrl"]
    assert asked.placed_at == event.occurred_at


async def test_items_of_the_same_product_are_lines_of_their_own(rig: Rig):
    await rig.order(order(items=[item(), item()]))

    assert [each.item_id for each in rig.events[0].items] == [ids.item_id(ID, 1), ids.item_id(ID, 2)]


@pytest.mark.parametrize(
    ("raw", "price"),
    [
        (b'"9.99"', "9.99"),
        (b"9.99", "9.99"),
        (b"10", "10"),
        (b'"10"', "10"),
        (b"1e1", "10"),
        (b"0.00000001", "0.00000001"),
        (b"0.30000000", "0.3"),
        (b"1000000000", "1000000000"),
    ],
    ids=str,
)
async def test_a_price_is_text_or_number_and_exact(rig: Rig, raw: bytes, price: str):
    body = json.dumps(order(items=[item(quantity=1, unitPrice="?")])).encode().replace(b'"?"', raw)

    assert (await rig.order(body)).status == 201
    assert rig.events[0].items[0].unit_price == Decimal(price)
    assert rig.events[0].total == Decimal(price)


@pytest.mark.parametrize(
    ("email", "stored"),
    [
        ("buyer+tag@example.com", "buyer+tag@example.com"),
        ("Buyer@Example.COM", "Buyer@example.com"),
        ("buyer@bücher.example", "buyer@xn--bcher-kva.example"),
        ("buyer@bitloot.test", "buyer@bitloot.test"),
        ("delivered@resend.dev", "delivered@resend.dev"),
        ("o'neil@example.co.uk", "o'neil@example.co.uk"),
    ],
)
async def test_mail_addresses(rig: Rig, email: str, stored: str):
    assert (await rig.order(order(email=email))).status == 201

    assert opened(ID, rig.events[0].email) == stored


async def test_titles_are_for_display_in_any_script(rig: Rig):
    title = "  <b>Café</b> 👩‍👩‍👧 \u05d0 " + "x" * 150
    assert (await rig.order(order(items=[item(title=title)]))).status == 201

    assert rig.events[0].items[0].title == title.strip()


async def test_10_items_and_1000_keys_are_not_too_many(rig: Rig):
    assert (await rig.order(order(items=[item(quantity=1000)] * 10))).status == 201


async def test_the_limits_are_settings(start: Start):
    rig = await start(rigs.settings(order_max_items=1, order_max_quantity=5))

    await refusal(await rig.order(order(items=[item(), item()])), 422, "at most 1 items")
    await refusal(await rig.order(order(items=[item(quantity=6)])), 422, "at most 5 keys")
    assert rig.events == []


@pytest.mark.parametrize("key", ["k", "!", "~" * 255, "3f1c7d62-6d5c-4a7e-9b1a-0d4c2e8f7a55"])
async def test_idempotency_keys(rig: Rig, key: str):
    response = await rig.order(order(), key=key)

    assert (await response.json())["orderId"] == ids.order_id(key)


async def test_the_previous_shop_token_is_accepted(rig: Rig):
    assert (await rig.order(order(), token=SHOP_TOKEN_BEFORE)).status == 201


async def test_a_content_type_with_charset_is_json(rig: Rig):
    headers = {"Authorization": f"Bearer {rigs.SHOP_TOKEN}", "Idempotency-Key": "k"}
    body = json.dumps(order()).encode()
    response = await rig.post("/orders", body, **headers, **{"Content-Type": "application/json; charset=utf-8"})

    assert response.status == 201


# Repeats


async def test_a_repeat_is_the_same_answer_and_nothing_else(rig: Rig):
    first = await rig.order(order())
    again = await rig.order(order())

    assert (again.status, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert await again.json() == await first.json()
    assert len(rig.events) == len(rig.bills.asked) == 1


async def test_a_repeat_may_be_spelled_otherwise(rig: Rig):
    first = await rig.order(order())
    spelled = {"items": [item(unitPrice=9.990)], "currency": "eur", "email": "buyer@EXAMPLE.com"}

    again = await rig.order(json.dumps(spelled, indent=2).encode())

    assert await again.json() == await first.json()
    assert len(rig.events) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"email": "other@example.com"},
        {"currency": "usd"},
        {"items": [item(quantity=3)]},
        {"items": [item(unitPrice="9.98")]},
        {"items": [item(title="Another")]},
        {"items": [item(productId="another")]},
        {"items": [item(), item()]},
    ],
    ids=str,
)
async def test_the_same_key_with_another_body_is_a_conflict(rig: Rig, lines: Lines, change: dict[str, Any]):
    await rig.order(order())

    await refusal(await rig.order(order(**change)), 409, "Idempotency-Key")

    assert len(rig.events) == len(rig.bills.asked) == 1
    assert lines.of("order.refused")[0]["status"] == 409


async def test_a_repeat_that_only_the_read_model_knows(rig: Rig, start: Start):
    first = await rig.order(order())
    (event,) = rig.events
    other = await start(rigs.settings())
    other.checkouts.placed[ID] = KnownOrder(event.request_hash, event.occurred_at, event.payment_instructions)

    again = await other.order(order())

    assert await again.json() == await first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.events, other.bills.asked) == ([], [])
    await refusal(await other.order(order(currency="usd")), 409)


async def test_a_repeat_that_nobody_remembers_is_the_same_order(rig: Rig, start: Start):
    first = await (await rig.order(order())).json()
    other = await start(rigs.settings())
    again = await (await other.order(order())).json()

    assert again["orderId"] == first["orderId"]
    assert other.events[0].event_id == rig.events[0].event_id


async def test_the_address_leaves_sealed_and_a_repeat_is_the_same_record(rig: Rig, start: Start):
    await rig.order(order())
    await (other := await start(rigs.settings())).order(order())

    ((first,), (second,)) = rig.events, other.events
    assert (first.email, first.request_hash) == (second.email, second.request_hash)
    assert opened(ID, first.email) == "buyer@example.com"
    with pytest.raises(Malformed):
        opened(ids.order_id("another"), first.email)
    assert not any(b"buyer@example.com" in each.value for each in rig.producer.sent)


async def test_the_request_is_known_again_by_a_hash_that_nobody_can_try_addresses_against(rig: Rig):
    await rig.order(order())

    (event,) = rig.events
    plain = read_order(rigs.body_of(order()), Limits(10, 1000)).hash
    assert event.request_hash == key_of(ID).digest(plain) != plain


async def test_without_postgres_no_order_is_placed_since_its_address_could_not_be_sealed(rig: Rig):
    rig.checkouts.away = True

    response = await rig.order(order())

    await refusal(response, 503, "send it again")
    assert int(response.headers["Retry-After"]) > 0
    assert (rig.events, rig.bills.asked, rig.checkouts.begun) == ([], [], {})
    assert (await rig.ipn(ipn())).status == 200, "notifications need no database"
    rig.checkouts.away = False
    assert (await rig.order(order())).status == 201


async def test_what_was_placed_is_answered_again_while_postgres_is_away(rig: Rig):
    first = await (await rig.order(order())).json()
    rig.checkouts.away = True

    assert await (await rig.order(order())).json() == first
    await refusal(await rig.order(order(currency="usd")), 409)


async def test_an_order_whose_buyer_was_erased_is_not_placed_again(rig: Rig):
    rig.buyers.gone.add(ID)

    await refusal(await rig.order(order()), 410, "erased")
    assert (rig.events, rig.bills.asked) == ([], [])


async def test_requests_at_the_same_time_are_one_order(rig: Rig):
    rig.producer.hold()
    running = [asyncio.create_task(rig.order(order())) for _ in range(10)]
    await eventually_async(lambda: len(rig.bills.asked) == 1)
    rig.producer.release()

    answers = [await (await each).json() for each in running]

    assert all(answer == answers[0] for answer in answers)
    assert len(rig.events) == len(rig.bills.asked) == 1


async def test_another_body_at_the_same_time_is_a_conflict(rig: Rig):
    rig.producer.hold()
    running = asyncio.create_task(rig.order(order()))
    await eventually_async(lambda: len(rig.bills.asked) == 1)

    await refusal(await rig.order(order(currency="usd")), 409)

    rig.producer.release()
    assert (await running).status == 201


# Without Kafka, without the payment provider


async def test_without_kafka_nothing_is_promised_and_the_next_try_goes_on(rig: Rig, lines: Lines):
    rig.producer.away = True
    response = await rig.order(order())

    await refusal(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert rig.events == []
    assert lines.of("order.refused")[0]["status"] == 503

    rig.producer.away = False
    again = await rig.order(order())

    assert again.status == 201
    assert "Idempotency-Replayed" not in again.headers
    assert len(rig.events) == len(rig.bills.asked) == 1, "the invoice of the first try is used"


async def test_without_invoice_the_order_waits_to_be_paid_from_its_page(rig: Rig, lines: Lines):
    rig.bills.away = True

    response = await rig.order(order())

    assert response.status == 201
    answer = await response.json()
    assert answer["payUrl"] == answer["statusUrl"]
    assert rig.events[0].payment_instructions is None
    assert lines.of("order.accepted")[0]["payable"] is False
    assert await (await rig.order(order())).json() == answer


async def test_without_a_claim_nobody_is_asked_for_an_invoice(rig: Rig, lines: Lines):
    rig.checkouts.away_later = True

    answer = await (await rig.order(order())).json()

    assert answer["payUrl"] == answer["statusUrl"]
    assert rig.bills.asked == []
    assert rig.events[0].payment_instructions is None
    assert lines.of("order.without_payment")[0]["cause"] == "database_unavailable"


async def test_a_repeat_at_another_process_is_the_same_answer_and_another_order_a_conflict(start: Start):
    checkouts, bills = FakeCheckouts(), Once()
    one, other = [await start(rigs.settings(), checkouts=checkouts, bills=bills) for _ in range(2)]

    first = await (await one.order(order())).json()
    again = await (await other.order(order())).json()

    assert again == first
    assert one.events[0].payment_instructions == other.events[0].payment_instructions
    assert one.events[0].occurred_at == other.events[0].occurred_at
    await refusal(await (await start(rigs.settings(), checkouts=checkouts)).order(order(currency="usd")), 409)


class Once(FakeBills):
    """Bills as the ledger keeps them: the first answer stands."""

    async def first(self, wish: CreatePayment) -> PaymentInstructions | None:
        self.kept = getattr(self, "kept", None) or await super().first(wish)
        return self.kept


# Paying in one coin


async def test_an_order_with_a_coin_is_answered_with_an_address(rig: Rig):
    response = await rig.order(order(payCurrency="XRP"))

    assert response.status == 201
    answer = await response.json()
    assert answer["payment"] == {
        "paymentId": "500001",
        "payCurrency": "xrp",
        "network": "xrp",
        "address": "TEST-ADDRESS-1",
        "memo": "184467",
        "amount": "39.96",
        "validUntil": "2026-01-31T00:00:00+00:00",
    }
    assert answer["payUrl"] == answer["statusUrl"]
    assert (rig.events[0].pay_currency, rig.events[0].payment_instructions.memo) == ("xrp", "184467")
    assert rig.coins.asked == [(Decimal("19.98"), "eur", "xrp")]
    assert await (await rig.order(order(payCurrency="xrp"))).json() == answer
    await refusal(await rig.order(order(payCurrency="btc")), 409)
    await refusal(await rig.order(order()), 409)


@pytest.mark.parametrize("coin", ["", "x", "x" * 21, "b tc", 7, ["btc"], "btc\n"], ids=repr)
async def test_what_is_no_coin_is_refused(rig: Rig, coin: Any):
    problem = await refusal(await rig.order(order(payCurrency=coin)), 422)

    assert [each["pointer"] for each in problem["errors"]] == ["#/payCurrency"]
    assert (rig.events, rig.bills.asked) == ([], [])


@pytest.mark.parametrize(
    ("cause", "pointer"), [(Cause.COIN_UNAVAILABLE, "#/payCurrency"), (Cause.AMOUNT_TOO_SMALL, "#/items")]
)
async def test_a_coin_or_an_amount_that_the_provider_does_not_take_is_told(rig: Rig, cause: Cause, pointer: str):
    rig.coins.refusal = Refused(cause, "at least 5 eur")

    problem = await refusal(await rig.order(order(payCurrency="xrp")), 422, "at least 5 eur")

    assert problem["errors"] == [{"pointer": pointer, "detail": "at least 5 eur", "type": cause}]
    assert (rig.events, rig.bills.asked, rig.checkouts.begun) == ([], [], {})
    rig.coins.refusal = None
    assert (await rig.order(order())).status == 201, "nothing was begun: it may be put right under the same key"


async def test_what_only_the_provider_knows_to_be_too_little_is_told_too_and_a_repeat_the_same(rig: Rig):
    rig.bills.refusal = Refused(Cause.AMOUNT_TOO_SMALL, "POST invoice: HTTP 400 AMOUNT_MINIMAL_ERROR")

    await refusal(await rig.order(order()), 422, "AMOUNT_MINIMAL_ERROR")
    await refusal(await rig.order(order()), 422)

    assert rig.events == []


async def test_one_line_tells_what_was_accepted(rig: Rig, lines: Lines):
    await rig.order(order())

    (line,) = lines.of("order.accepted")
    told = {name: line[name] for name in ("order_id", "items", "total", "currency", "replayed", "payable")}
    assert told == {
        "order_id": ID,
        "items": 1,
        "total": "19.98",
        "currency": "eur",
        "replayed": False,
        "payable": True,
    }


# The checkout by itself


def checkout(**changes: Any) -> tuple[Checkout, FakeProducer, FakeBills]:
    fakes = Fakes()
    addresses = Addresses("https://keys", "https://in/webhooks/nowpayments", [SecretStr("link")], timedelta(days=90))
    ports = CheckoutPorts(fakes.producer, fakes.checkouts, fakes.bills, fakes.coins)
    return Checkout(ports, addresses, **changes), fakes.producer, fakes.bills


def request(**changes: Any) -> OrderRequest:
    return read_order(json.dumps(order(**changes)).encode(), Limits(10, 1000))


async def test_memory_is_bounded_and_forgets_the_oldest():
    subject, producer, _ = checkout(memory=2)
    for key in ("a", "b", "c"):
        await subject.place(key, request())

    assert (await subject.place("c", request())).replayed
    assert not (await subject.place("a", request())).replayed
    assert len(producer.sent) == 4


async def test_one_who_stops_waiting_does_not_end_it_for_the_others():
    subject, producer, bills = checkout()
    producer.hold()
    first = asyncio.create_task(subject.place("a", request()))
    second = asyncio.create_task(subject.place("a", request()))
    await eventually_async(lambda: len(bills.asked) == 1)

    first.cancel()
    producer.release()

    assert (await second).replayed
    assert len(producer.sent) == 1


async def test_a_failure_is_shared_and_not_remembered():
    subject, producer, _ = checkout()
    producer.away = True
    results = await asyncio.gather(*(subject.place("a", request()) for _ in range(3)), return_exceptions=True)

    assert all(isinstance(each, Transient) for each in results)
    producer.away = False
    assert not (await subject.place("a", request())).replayed


async def test_another_order_after_a_failure_is_a_conflict():
    # The first may have been stored after all: Kafka did not say.
    subject, producer, _ = checkout()
    producer.away = True
    with pytest.raises(Transient):
        await subject.place("a", request())
    producer.away = False

    with pytest.raises(Conflict):
        await subject.place("a", request(currency="usd"))


async def test_the_same_day_gives_the_same_link():
    morning = datetime(2026, 1, 31, 0, 0, 1, tzinfo=UTC)
    addresses = Addresses("https://keys", "", [SecretStr("link")], timedelta(days=90))

    first = addresses.status_url(ID, morning)

    assert first == addresses.status_url(ID, morning + timedelta(hours=23))
    assert first != addresses.status_url(ID, morning + timedelta(hours=24))
    assert first != replace(addresses, link_lifetime=timedelta(days=91)).status_url(ID, morning)
