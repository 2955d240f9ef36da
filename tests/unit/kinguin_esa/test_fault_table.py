"""What each fault of the contract does to an order: the table "Errors" and every bad input, by name.

The real dialect against a server on localhost, and the real decision about an order: from the answer to what follows.
"""

import pytest

from bitloot.contracts.effects import BuyKey, FetchCodes, LookUpPurchase
from bitloot.contracts.events import CodesPending, CodesReceived, EffectFailed, Failure, LineCodes, PurchasePlaced
from bitloot.contracts.state import OrderStatus
from bitloot.errors import BitLootError, Refused, Transient
from bitloot.ids import outcome_id
from fulfillment.kinguin.ports import Delivered, PurchaseMarket
from fulfillment.order import wake_at
from tests.unit.fulfillment.test_order_purchases import ESA, EsaWorld, bought, paid
from tests.unit.kinguin.scripted import HangsUp, Kinguin, Line, Says
from tests.unit.kinguin_esa.buyer import KINGUIN_ID, key, keys, order, placed, problem, product, purchase
from tests.unit.kinguin_esa.test_esa_market import BAD_ANSWERS

_TIMES = 40


def told(effect, error: BitLootError, world: EsaWorld) -> EffectFailed:
    """Return the event by which the ledger tells of an error."""
    failure = {Transient: Failure.TRANSIENT, Refused: Failure.REFUSED}.get(type(error), Failure.UNKNOWN)
    return EffectFailed(
        event_id=outcome_id(effect.effect_id, "effect.failed"),
        occurred_at=world.now,
        order_id=effect.order_id,
        effect_id=effect.effect_id,
        purchase_id=effect.purchase_id,
        failure=failure,
        cause=error.cause,
        detail=error.detail,
        retry_after=error.retry_after if isinstance(error, Transient) else None,
    )


async def buy(market: PurchaseMarket, world: EsaWorld, effect: BuyKey) -> tuple:
    try:
        done = await market.buy(purchase())
    except BitLootError as error:
        return world.tell(told(effect, error, world))
    about = {"order_id": effect.order_id, "effect_id": effect.effect_id, "purchase_id": effect.purchase_id}
    event = PurchasePlaced(
        event_id=outcome_id(effect.effect_id, "purchase.placed"),
        occurred_at=world.now,
        reservation_id=done.reservation_id,
        given=done.given,
        **about,
    )
    return world.tell(event)


BUYING = {
    "ConstraintViolation: permanent, a human hears": (problem(400, "ConstraintViolation"), "review rejected"),
    "Authorization: waits until people have repaired the key": (problem(401, "Authorization"), "waits authorization"),
    "InsufficientBalance: waits for a top-up": (problem(422, "InsufficientBalance"), "waits insufficient_balance"),
    "ProductUnavailable: read again, then refused": (problem(404, "ProductUnavailable"), "review out_of_stock"),
    "OrderFailed: search before anything else": (problem(422, "OrderFailed"), "asks"),
    "a 422 without a cause: search before anything else": (problem(422, None), "asks"),
    "Preorder: permanent, a human hears": (problem(400, "Preorder"), "review rejected"),
    "ResourceLock: search before anything else": (problem(409, "ResourceLock"), "asks"),
    "OrderNotSupported: permanent, a human hears": (problem(400, "OrderNotSupported"), "review rejected"),
    "Http: nobody knows": (problem(500, "Http"), "asks"),
    "HttpClient: nobody knows": (problem(502, "HttpClient"), "asks"),
    "Error: nobody knows": (problem(500, "Error"), "asks"),
    "429: waits and uses up no try": (problem(429, None, {"Retry-After": "17"}), "waits rate_limited"),
    "no answer: nobody knows": (HangsUp(), "asks"),
    **{f"{name}: nobody knows": (answer, "asks") for name, answer in BAD_ANSWERS.items()},
}


@pytest.mark.parametrize("name", BUYING)
async def test_what_a_fault_of_buying_does_to_an_order(kinguin: Kinguin, market: PurchaseMarket, name: str):
    answer, expected = BUYING[name]
    kinguin.script("product", product())
    kinguin.script("place_order", answer)
    world, (effect,) = paid(2)
    assert await buy(market, world, effect) == ()
    what, _, cause = expected.partition(" ")
    if what == "review":
        assert (world.order.status, world.order.review.cause) == (OrderStatus.NEEDS_REVIEW, cause)
        assert world.order.owed == 10
        return
    assert world.order.status is OrderStatus.PURCHASING
    (next_one,) = world.fire_timer(wake_at(world.order, ESA))
    if what == "asks":
        assert isinstance(next_one, LookUpPurchase)
        assert len(kinguin.calls("place_order")) == 1, "never posted again at once"
    else:
        assert isinstance(next_one, BuyKey)
        assert next_one.external_id == effect.external_id
        (owed,) = [each for each in world.order.outbox if each.purchase_id]
        assert (owed.tries, owed.waits) == (1, 1), "it used up no try"


async def test_a_422_without_a_cause_is_bounded(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("product", product())
    kinguin.script("place_order", problem(422, None))
    world, (effect,) = paid(2)
    for _ in range(_TIMES):
        for each in world.fire_timer(wake_at(world.order, ESA)) if effect is None else (effect,):
            if isinstance(each, BuyKey):
                await buy(market, world, each)
            else:
                world.tell(world.outcome(each))  # a search finds nothing
        effect = None
        if world.order.review is not None:
            break
    assert world.order.review is not None
    assert world.order.review.cause == "unknown_outcome"
    assert len(kinguin.calls("place_order")) == 5


async def fetch(market: PurchaseMarket, world: EsaWorld, effect: FetchCodes) -> tuple:
    try:
        done = await market.fetch(purchase(), KINGUIN_ID)
    except BitLootError as error:
        return world.tell(told(effect, error, world))
    about = {
        "occurred_at": world.now,
        "order_id": effect.order_id,
        "effect_id": effect.effect_id,
        "purchase_id": effect.purchase_id,
        "reservation_id": effect.reservation_id,
    }
    if not isinstance(done, Delivered):
        return world.tell(
            CodesPending(event_id=outcome_id(effect.effect_id, "pending"), expected_at=done.ask_again_at, **about)
        )
    lines = tuple(
        LineCodes(item_id=line.item_id, codes=codes.codes) for line, codes in zip(effect.lines, done.lines, strict=True)
    )
    return world.tell(
        CodesReceived(event_id=outcome_id(effect.effect_id, "codes"), lines=lines, never=done.never, **about)
    )


_DONE = order("completed")
_LISTED: dict[str, tuple[Line, Line, str]] = {
    "a list that is shorter than ordered": (_DONE, keys(key(1)), "again quantity_mismatch"),
    "a list that is longer than ordered": (_DONE, keys(key(1), key(2), key(3)), "review quantity_mismatch"),
    "duplicates": (_DONE, keys(key(1), key(2, serial="SECRET-1")), "review bad_codes"),
    "an empty code": (_DONE, keys(key(1), key(2, serial="")), "review bad_codes"),
    "a code of 1 MB": (_DONE, keys(key(1), key(2, serial="SECRET" * 170_000)), "review bad_codes"),
    "a code with control characters": (_DONE, keys(key(1), key(2, serial="SECRET\x00")), "review bad_codes"),
    "a page that repeats": (_DONE, keys(key(1), key(1)), "again bad_answer"),
    "html instead of json": (_DONE, BAD_ANSWERS["html instead of json"], "again bad_answer"),
    "a 200 with an error body": (_DONE, BAD_ANSWERS["an error under status 200"], "again bad_answer"),
    "a redirect to another host": (_DONE, BAD_ANSWERS["a redirect to another host"], "again bad_answer"),
    "another order's external id": (order("completed", orderExternalId="another"), keys(), "again bad_answer"),
    "an unknown status": (order("teleported"), keys(), "again bad_answer"),
    "OrderNotFound: permanent after a short grace": (problem(404, "OrderNotFound"), keys(), "again not_found"),
    "OrderNotSupported: permanent": (problem(400, "OrderNotSupported"), keys(), "review rejected"),
    "ResourceLock: read again": (problem(409, "ResourceLock"), keys(), "again rejected"),
    "HttpClient: read again": (problem(502, "HttpClient"), keys(), "again provider_unavailable"),
    "a retryable flag is not believed, the status is": (order("canceled", retryable=True), keys(), "review canceled"),
    "a partial delivery": (
        order("completed", keys={purchase().lines[0].product_id: ["DELIVERED", "CANCELED"]}),
        keys(key(1)),
        "review partly_delivered",
    ),
}


@pytest.mark.parametrize("name", _LISTED)
async def test_bad_input_is_retried_or_goes_to_review_with_its_reason(kinguin, market, caplog, name):
    told_order, told_keys, expected = _LISTED[name]
    kinguin.script("order", told_order)
    kinguin.script("keys", told_keys)
    world, effect = bought(2)
    what, _, cause = expected.partition(" ")
    asked = 0
    while world.order.review is None and asked < _TIMES:
        asked += 1
        assert await fetch(market, world, effect) == (), "nothing is handed on"
        if world.order.review is None:
            (effect,) = world.fire_timer(wake_at(world.order, ESA))
            assert isinstance(effect, FetchCodes)
    assert asked == (5 if what == "again" else 1)
    reason = {"canceled": "supplier_canceled"}.get(cause, cause)
    assert world.order.review.cause == reason
    assert "SECRET" not in world.order.review.detail
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpcore")]
    assert not any("SECRET" in line for line in ours)
    delivered = [each for each in world.sent.values() if each.type in {"store_keys", "send_mail"}]
    assert not [each for each in delivered if getattr(each, "object_key", "") or each.type == "store_keys"]


async def test_what_comes_whole_in_the_end_is_handed_on_once(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("order", order("processing"), order("completed"))
    kinguin.script("keys", keys(key(1)), keys(key(1), key(2)))
    world, effect = bought(2)
    assert await fetch(market, world, effect) == ()
    (effect,) = world.fire_timer(wake_at(world.order, ESA))
    assert await fetch(market, world, effect) == ()
    (effect,) = world.fire_timer(wake_at(world.order, ESA))
    (store,) = await fetch(market, world, effect)
    assert store.type == "store_keys"


def test_the_table_is_whole():
    kinds = {
        "ConstraintViolation", "Authorization", "InsufficientBalance", "ProductUnavailable", "OrderFailed", "Preorder",
        "OrderNotFound", "ResourceLock", "OrderNotSupported", "Http", "HttpClient", "Error",
    }  # fmt: skip
    assert kinds <= {name.partition(":")[0] for name in (*BUYING, *_LISTED)}
    assert isinstance(placed(), Says)
