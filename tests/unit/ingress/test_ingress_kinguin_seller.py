import json
from datetime import UTC, datetime

import pytest

from bitloot.contracts.sales import SaleNews, SaleStatus
from bitloot.contracts.topics import KINGUIN_SALES
from tests.unit.ingress import rig as rigs
from tests.unit.ingress.rig import KINGUIN_TOKEN, SELLER_TOKEN, SELLER_TOKEN_BEFORE, Rig, leaks, refusal

PATH = "/webhooks/kinguin-seller"
BODY = {
    "name": "Stardew Valley",
    "price": {"amount": 999, "currency": "EUR"},
    "priceIWTR": {"amount": 870, "currency": "EUR"},
    "commissionRule": {"ruleName": "DEFAULT", "fixedAmount": 35, "percentValue": 10},
    "productId": "5c9b5b5b2539a4e8f1725fd1",
    "offerId": "5f3b1c2d4e5f6a7b8c9d0e1f",
    "status": "BOUGHT",
    "reservationId": "66f1c2a4be9d0e7f3a5b6c7d",
    "availableStock": 0,
    "buyableStock": 4,
    "declaredStock": 5,
    "reservedStock": 1,
    "requestedKeyType": None,
    "updatedAt": "2020-03-06T15:58:49.088+0000",
    "popularityBid": None,
}


def sales(rig: Rig):
    return rig.producer.on(KINGUIN_SALES)


async def send(rig: Rig, document=None, token: str = SELLER_TOKEN, **changes):
    return await rig.kinguin(BODY | changes if document is None else document, token=token, path=PATH)


async def test_news_of_a_sale_is_published_under_its_reservation_and_logged(rig: Rig):
    response = await send(rig)

    assert (response.status, await response.text()) == (200, "OK")
    (record,) = sales(rig)
    assert rig.key_of(record) == record.reservation_id == BODY["reservationId"]
    assert record.news == SaleNews(
        status=SaleStatus.BOUGHT,
        at=datetime(2020, 3, 6, 15, 58, 49, 88000, UTC),
        product_id=BODY["productId"],
        offer_id=BODY["offerId"],
    )
    (logged,) = rig.logged
    assert (logged.provider, logged.event_type, logged.external_id) == (
        "kinguin-seller",
        "bought",
        record.reservation_id,
    )
    assert (logged.event_topic, logged.matched) == (KINGUIN_SALES.name, "current/token")
    assert json.loads(logged.body)["status"] == "BOUGHT"
    assert (rig.events, rig.notices) == ([], [])
    assert leaks(rig.producer.sent[0].value.decode()) == []


async def test_a_delivery_tells_which_of_our_codes_it_was(rig: Rig):
    await send(rig, status="DELIVERED", releasedStockId="5e62", releasedExternalStockId="code-7")

    assert sales(rig)[0].news.external_id == "code-7"


@pytest.mark.parametrize(
    ("word", "status"), [("RESERVE", "BUYING"), ("give", "BOUGHT"), ("out_of_stock", "OUT_OF_STOCK")]
)
async def test_a_status_is_known_in_any_spelling(rig: Rig, word: str, status: str):
    await send(rig, status=word)

    assert sales(rig)[0].news.status == status


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"status": "BLOCKED", "offerId": "o"},
        BODY | {"status": "TELEPORTED"},
        BODY | {"reservationId": None},
        BODY | {"reservationId": "  "},
    ],
)
async def test_what_is_no_news_of_a_sale_is_only_logged(rig: Rig, document):
    assert (await send(rig, document)).status == 200

    assert sales(rig) == []
    assert "names no reservation" in rig.logged[0].note


async def test_a_repeat_has_the_same_id_and_a_later_one_has_not(rig: Rig):
    await send(rig)
    await send(rig)
    await send(rig, updatedAt="2020-03-06T15:58:50.000+0000")

    first, repeat, later = sales(rig)
    assert first.event_id == repeat.event_id != later.event_id


@pytest.mark.parametrize("token", ["", "wrong", KINGUIN_TOKEN])
async def test_who_cannot_prove_it_is_refused(rig: Rig, token: str):
    await refusal(await send(rig, token=token), 401)

    assert rig.producer.sent == []


async def test_the_previous_secret_is_still_taken(rig: Rig):
    assert (await send(rig, token=SELLER_TOKEN_BEFORE)).status == 200
    assert rig.logged[0].matched == "previous/token"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"status": 1e999}', b'{"reservationId": {}}'])
async def test_what_cannot_be_read_is_refused(rig: Rig, raw: bytes):
    await refusal(await send(rig, raw), 400)

    assert rig.producer.sent == []


async def test_a_broker_that_is_away_makes_kinguin_tell_it_again(rig: Rig):
    rig.producer.away = True

    response = await send(rig)
    assert (response.status, response.headers["Retry-After"]) == (503, "5")


async def test_where_nothing_is_sold_it_is_said(start):
    rig = await start(rigs.settings(kinguin_seller_webhook_secret=None))

    await refusal(await send(rig), 404, "Selling is not set up")
    assert rig.producer.sent == []
