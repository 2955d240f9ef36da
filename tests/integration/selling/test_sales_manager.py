"""Our side of Kinguin's seller API, against the sandbox's."""

import asyncio
import json

import pytest
from pydantic import SecretStr

from bitloot.contracts.sales import SaleStatus
from bitloot.errors import Cause, Refused, Transient, Unknown
from bitloot.ids import OfferId, ReservationId
from fulfillment.selling.ports import Handover
from fulfillment.selling.sales_manager import SalesManager
from fulfillment.selling.subscription import EVENTS, subscribe

CODE = "AAAAA-BBBBB-CCCCC"


def handover(offer: str, sale: str, code: str = CODE) -> Handover:
    return Handover(
        OfferId(offer), ReservationId(sale), "0f8fad5b-d9cb-469f-a165-70867728950e", "code-7", code.encode()
    )


async def sold(sandbox, **wish):
    offer = await sandbox.offer_for_sale(5)
    (sale,) = await sandbox.sell(offer, **wish)
    return offer, sale["reservationId"]


async def paid(sandbox):
    offer, sale = await sold(sandbox, hold=True)
    assert (await sandbox.call("POST", f"/_sell/{sale}/give")).json()["status"] == "OUT_OF_STOCK"
    return offer, sale


async def test_a_code_is_handed_over(sandbox, manager: SalesManager):
    offer, sale = await paid(sandbox)
    handed = await manager.hand_over(handover(offer, sale))
    assert not handed.repeated
    assert handed.stock_id
    (record,) = (await sandbox.ledger(sale))["sales"]
    assert (record["code"], record["externalId"]) == (CODE, "code-7")
    assert [each["requestId"] for each in record["handovers"]] == ["0f8fad5b-d9cb-469f-a165-70867728950e"]


async def test_a_repeat_is_told_as_one(sandbox, manager: SalesManager):
    await sandbox.set(keyDelay=30)
    offer, sale = await paid(sandbox)
    await manager.hand_over(handover(offer, sale))
    assert (await manager.hand_over(handover(offer, sale))).repeated


@pytest.mark.parametrize("why", ["unknown", "not paid", "canceled", "another offer"])
async def test_a_reservation_that_wants_no_code_is_refused(sandbox, manager: SalesManager, why: str):
    offer, sale = await sold(sandbox, hold=True)
    if why == "canceled":
        await sandbox.call("POST", f"/_sell/{sale}/cancel")
    if why == "another offer":
        await sandbox.call("POST", f"/_sell/{sale}/give")
        offer = await sandbox.offer_for_sale(1)
    with pytest.raises(Refused) as refused:
        await manager.hand_over(handover(offer, "nobody" if why == "unknown" else sale))
    assert refused.value.cause is Cause.REJECTED
    assert CODE not in str(refused.value)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "error", "status": 500}, Unknown),
        ({"kind": "error_after", "status": 502}, Unknown),
        ({"kind": "timeout_after", "delay": 30}, Unknown),
        ({"kind": "malformed"}, Unknown),
        ({"kind": "distorted", "how": "html"}, Unknown),
        ({"kind": "error", "status": 429, "retryAfter": 7}, Transient),
        ({"kind": "error", "status": 403, "code": "Authorization"}, Transient),
        ({"kind": "error", "status": 422}, Unknown),
        ({"kind": "error", "status": 400, "body": "<html>"}, Unknown),
        ({"kind": "error", "status": 409, "body": "<html>"}, Unknown),
    ],
)
async def test_what_is_not_known_to_have_failed_is_unknown(sandbox, settings, manager, fault, error):
    offer, sale = await paid(sandbox)
    await sandbox.fail({"provider": "kinguin-seller", "call": "stock"} | fault)
    with pytest.raises(error) as caught:
        await manager.hand_over(handover(offer, sale))
    assert CODE not in str(caught.value)


async def test_what_was_told_can_be_asked_for(sandbox, receiver, manager: SalesManager):
    offer, sale = await paid(sandbox)
    await manager.hand_over(handover(offer, sale))
    await receiver.wait_until(lambda: any(each.json()["status"] == "DELIVERED" for each in receiver.received))
    async with asyncio.timeout(10):
        while len(news := await manager.news(ReservationId(sale))) < 4:
            await asyncio.sleep(0.01)
    assert sorted(each.status for each in news) == ["BOUGHT", "BUYING", "DELIVERED", "OUT_OF_STOCK"]
    delivered = next(each for each in news if each.status is SaleStatus.DELIVERED)
    assert (delivered.external_id, delivered.offer_id, delivered.product_id) == ("code-7", offer, "game-1")
    assert delivered.at is not None
    assert await manager.news(ReservationId("nobody")) == ()


async def test_a_time_that_is_none_does_not_hide_what_was_told(sandbox, manager: SalesManager):
    times = ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "yesterday", 7, None]
    told = [json.dumps({"reservationId": "r-1", "status": "BOUGHT", "updatedAt": time}) for time in times]
    await sandbox.answer("history", [{"body": each} for each in told], "kinguin-seller")
    news = await manager.news(ReservationId("r-1"))
    assert [(each.status, each.at) for each in news] == [(SaleStatus.BOUGHT, None)] * len(times)


async def test_offers_are_read_and_declared(sandbox, manager: SalesManager):
    offer = await sandbox.offer_for_sale(5, name="Portal")
    await manager.declare(OfferId(offer), 9)
    (found,) = await manager.offers()
    assert (found.offer_id, found.product_id, found.name, found.status) == (offer, "game-1", "Portal", "ACTIVE")
    assert (found.declared, found.declared_text, found.buyable, found.reserved, found.available) == (9, 9, 9, 0, 0)


async def test_more_than_is_granted_is_told_as_that(sandbox, manager: SalesManager):
    await sandbox.set(declaredStockLimit=10)
    offer = await sandbox.offer_for_sale(5)
    with pytest.raises(Refused) as refused:
        await manager.declare(OfferId(offer), 11)
    assert refused.value.cause is Cause.QUOTA_EXCEEDED


async def test_an_offer_that_is_gone_is_refused(manager: SalesManager):
    with pytest.raises(Refused) as refused:
        await manager.declare(OfferId("../gone"), 1)
    assert refused.value.cause is Cause.NOT_FOUND


async def test_a_subscription_is_made_once_and_changed_when_it_differs(sandbox, receiver, manager: SalesManager):
    there, elsewhere = f"{receiver.url}/sales", f"{receiver.url}/elsewhere"
    assert await subscribe(manager, there, SecretStr("first"))
    assert not await subscribe(manager, there, SecretStr("first"))
    assert await manager.subscription() == dict.fromkeys(EVENTS, there)
    assert await subscribe(manager, elsewhere, SecretStr("second"))
    assert await subscribe(manager, elsewhere, SecretStr("third"), always=True)
    await sold(sandbox, hold=True)
    (told,) = await receiver.wait_for(1)
    assert (told.path, told.headers["x-auth-token"]) == ("/elsewhere", "third")
