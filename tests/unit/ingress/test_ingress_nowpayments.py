import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from bitloot.canonical_json import parse
from bitloot.contracts.events import PaymentStatus, PaymentUpdated
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.signing import nowpayments_sign
from tests.unit.ingress.conftest import Lines
from tests.unit.ingress.rig import IPN_SECRET, IPN_SECRET_BEFORE, ORDER, Rig, ipn


async def test_a_payment_becomes_an_event_of_its_order(rig: Rig):
    response = await rig.ipn(ipn())

    assert response.status == 200
    (event,) = rig.events
    assert rig.key_of(event) == ORDER
    assert event == PaymentUpdated(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        order_id=ORDER,
        payment_id="5745459419",
        invoice_id="4522625843",
        status=PaymentStatus.FINISHED,
        provider_status="finished",
        price_amount=Decimal("19.99"),
        price_currency="eur",
        pay_amount=Decimal("0.00042117"),
        pay_currency="btc",
        actually_paid=Decimal("0.00042117"),
        outcome_amount=Decimal("21.1042"),
        outcome_currency="usdttrc20",
        provider_updated_at=datetime(2025, 12, 9, 3, 4, 21, 97000, UTC),
    )


async def test_the_log_keeps_the_notification_and_what_was_published_for_it(rig: Rig):
    raw = json.dumps(ipn(), indent=2).encode()

    await rig.ipn(raw, **{"User-Agent": "NOWPayments v1.0", "Cookie": "session=1"})

    (logged,) = rig.logged
    assert rig.key_of(logged) == ORDER
    assert (logged.provider, logged.external_id, logged.event_type) == ("nowpayments", "5745459419", "finished")
    assert logged.order_id == ORDER
    assert logged.body == raw.decode()
    assert logged.matched == "current/canonical"
    assert logged.note == ""
    assert logged.remote_address == "127.0.0.1"
    assert (logged.event_topic, logged.event_key) == (ORDER_EVENTS.name, ORDER)
    assert ORDER_EVENTS.records.validate_python(logged.event) == rig.events[0]
    assert logged.event_id == rig.events[0].event_id
    assert logged.headers["user-agent"] == "NOWPayments v1.0"
    assert not logged.headers.keys() & {"x-nowpayments-sig", "cookie", "authorization"}


async def test_one_line_tells_what_was_accepted(rig: Rig, lines: Lines):
    await rig.ipn(ipn())

    (line,) = lines.of("webhook.accepted")
    told = {
        name: line[name] for name in ("provider", "order_id", "payment_id", "payment_status", "matched", "published")
    }
    assert told == {
        "provider": "nowpayments",
        "order_id": ORDER,
        "payment_id": "5745459419",
        "payment_status": "finished",
        "matched": "current/canonical",
        "published": True,
    }
    assert (line["route"], line["status"]) == ("/webhooks/nowpayments", 200)
    assert line["duration_ms"] >= 0


async def test_the_previous_secret_is_accepted_and_told_apart(rig: Rig):
    assert (await rig.ipn(ipn(), secret=IPN_SECRET_BEFORE)).status == 200

    assert rig.logged[0].matched == "previous/canonical"


async def test_a_signature_in_capitals_with_spaces_is_accepted(rig: Rig):
    raw = json.dumps(ipn()).encode()
    signature = f" {nowpayments_sign(parse(raw).canonical, IPN_SECRET).upper()} "

    assert (await rig.post("/webhooks/nowpayments", raw, **{"x-nowpayments-sig": signature})).status == 200


async def test_currencies_in_capitals_are_the_same_currencies(rig: Rig):
    await rig.ipn(ipn())
    await rig.ipn(ipn(price_currency="EUR", pay_currency="BTC", outcome_currency="USDTTRC20"))

    small, capitals = rig.events
    assert capitals.event_id == small.event_id
    assert (capitals.price_currency, capitals.pay_currency, capitals.outcome_currency) == ("eur", "btc", "usdttrc20")


async def test_a_repeat_is_published_again_under_the_same_id(rig: Rig):
    # The order's state judges repeats. Spelling, order of keys and time of sending do not make it another event.
    await rig.ipn(ipn())
    await rig.ipn(dict(reversed(ipn(price_amount=19.990, payment_id="5745459419", updated_at=1765249469999).items())))

    first, second = rig.events
    assert first.event_id == second.event_id
    assert rig.logged[0].event_id == rig.logged[1].event_id


@pytest.mark.parametrize(
    "change",
    [
        {"actually_paid": 0.0003},
        {"payment_status": "confirmed"},
        {"payment_id": 5745459420},
        {"parent_payment_id": 5745459418},
        {"price_amount": 20},
        {"price_currency": "usd"},
        {"pay_currency": "eth"},
        {"outcome_amount": 21},
        {"invoice_id": None},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_other_facts_are_another_event(rig: Rig, change: dict[str, Any]):
    before = ipn(payment_status="partially_paid")
    await rig.ipn(before)
    await rig.ipn(before | change)

    first, second = rig.events
    assert first.event_id != second.event_id


async def test_numbers_sent_as_text_are_numbers(rig: Rig):
    await rig.ipn(ipn())
    await rig.ipn(
        ipn(
            payment_id="5745459419",
            invoice_id="4522625843",
            price_amount="19.99",
            pay_amount="0.00042117",
            actually_paid="4.2117e-4",
            outcome_amount="21.10420",
        )
    )

    as_numbers, as_texts = rig.events
    assert as_numbers.model_copy(update={"occurred_at": as_texts.occurred_at}) == as_texts


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("waiting", PaymentStatus.WAITING),
        ("partially_paid", PaymentStatus.PARTIALLY_PAID),
        ("FINISHED", PaymentStatus.FINISHED),
        ("cancelled", PaymentStatus.CANCELED),
        ("canceled", PaymentStatus.CANCELED),
        ("wrong_asset_confirmed", PaymentStatus.UNKNOWN),
    ],
)
async def test_a_status_is_read_in_any_spelling_and_an_unknown_one_is_kept(rig: Rig, word: str, status: PaymentStatus):
    await rig.ipn(ipn(payment_status=word))

    (event,) = rig.events
    assert (event.status, event.provider_status) == (status, word)


async def test_unknown_fields_are_ignored_and_logged(rig: Rig):
    assert (await rig.ipn(ipn(new_field={"nested": [1, "x"]}, payment_extra_ids=["1", "2"]))).status == 200

    assert len(rig.events) == 1
    assert "new_field" in rig.logged[0].body


async def test_fields_may_be_missing(rig: Rig):
    response = await rig.ipn({"payment_id": 1, "payment_status": "waiting", "order_id": ORDER})

    assert response.status == 200
    (event,) = rig.events
    assert (event.price_amount, event.price_currency, event.provider_updated_at) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2020-12-22T15:00:22.742Z", datetime(2020, 12, 22, 15, 0, 22, 742000, UTC)),
        ("2020-12-22T15:00:22", datetime(2020, 12, 22, 15, 0, 22, tzinfo=UTC)),
        ("2020-12-22T17:00:22+02:00", datetime(2020, 12, 22, 15, 0, 22, tzinfo=UTC)),
        (10**18, None),
        (-(10**18), None),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        (True, None),
        ({}, None),
    ],
    ids=str,
)
async def test_a_time_is_read_in_every_form_and_an_unreadable_one_is_none(rig: Rig, value: object, read: object):
    assert (await rig.ipn(ipn(updated_at=value))).status == 200

    assert rig.events[0].provider_updated_at == read


async def test_coins_are_rounded_to_what_a_record_holds(rig: Rig):
    # Doubles of the provider's own arithmetic have more places than any coin.
    await rig.ipn(ipn(actually_paid=1.2345678901234567e-7, outcome_amount=1e-300))

    assert rig.events[0].actually_paid == Decimal("0.000000123456789012")
    assert rig.events[0].outcome_amount == 0


@pytest.mark.parametrize(
    ("document", "external_id", "event_type", "note"),
    [
        (ipn(order_id=None), "5745459419", "finished", "no order of ours"),
        (ipn(order_id="another-shop-1"), "5745459419", "finished", "no order of ours"),
        (ipn(order_id=42), "5745459419", "finished", "no order of ours"),
        (ipn(order_id=ORDER[:-1] + ("0" if ORDER[-1] != "0" else "1")), "5745459419", "finished", "no order of ours"),
        (ipn(order_id=ORDER.upper()), "5745459419", "finished", "no order of ours"),
        (
            {"id": "5000000713", "batch_withdrawal_id": "5000000000", "status": "FINISHED", "amount": "50"},
            "5000000713",
            "payout.finished",
            "a payout",
        ),
        ({"id": 7, "status": "PARTIALLY_PAID", "is_active": True}, "7", "other.partially_paid", "no payment"),
        ({}, "unknown", "other.unknown", "no payment"),
    ],
    ids=["no order", "another shop's", "a number", "mistyped", "in capitals", "payout", "subscription", "empty object"],
)
async def test_what_is_valid_but_uninteresting_is_only_logged(
    rig: Rig, document: dict[str, Any], external_id: str, event_type: str, note: str
):
    assert (await rig.ipn(document)).status == 200

    assert rig.events == []
    (logged,) = rig.logged
    assert (logged.external_id, logged.event_type) == (external_id, event_type)
    assert note in logged.note
    assert (logged.order_id, logged.event, logged.event_topic) == (None, None, None)
    assert rig.key_of(logged) == f"nowpayments/{external_id}"


@pytest.mark.parametrize("sign", ["@", "\\u0040"])
async def test_mail_addresses_are_taken_out_however_json_writes_them(rig: Rig, sign: str):
    raw = json.dumps(ipn(order_description="from buyer@example.com")).replace("@", sign).encode()
    assert (await rig.ipn(raw)).status == 200

    body = rig.logged[0].body
    assert "example.com" not in body
    assert json.loads(body)["order_description"] == "from [mail address]"
