"""Purchases of several lines: what is bought together, what comes in part, late, or goes back."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from bitloot.contracts.effects import BuyKey, FetchCodes, LookUpPurchase, ReturnKeys, SendMail, StoreKeys
from bitloot.contracts.events import (
    CodesPending,
    CodesReceived,
    Failure,
    KeysReturned,
    KeysReturnRequested,
    KinguinNotified,
    LineCodes,
    Notice,
    PaymentStatus,
    StoredObject,
)
from bitloot.contracts.state import ItemStatus, OrderStatus, ReservationStatus
from bitloot.ids import EventId, ProductId, ReservationId, content_id, outcome_id
from fulfillment.codec import order_from_bytes, order_to_bytes
from fulfillment.dialects import rules
from fulfillment.order import wake_at
from fulfillment.order.policy import CALLS, Kind, Policy
from fulfillment.purchases import LIMITS
from fulfillment.snapshot import snapshot
from tests.unit.fulfillment.order_world import ORDER, World, failed, payment, placed, reprocess, sealed

ESA = Policy(look_ups=rules("esa").look_ups, limits=LIMITS["esa"])


class EsaWorld(World):
    def tell(self, event, policy=ESA):
        return super().tell(event, policy)


def paid(*quantities: int, **changes) -> tuple[EsaWorld, tuple[BuyKey, ...]]:
    world = EsaWorld()
    order = placed(*quantities)
    items = tuple(item.model_copy(update=changes.get(f"item{n}", {})) for n, item in enumerate(order.items, start=1))
    world.tell(order.model_copy(update={"items": items}))
    return world, world.pay(payment(PaymentStatus.FINISHED, price_amount=Decimal(5) * sum(quantities)), ESA)


def bought(*quantities: int) -> tuple[EsaWorld, FetchCodes]:
    """An order that is one purchase, bought, and about to be asked for its codes."""
    world, (buy,) = paid(*quantities)
    world.tell(world.outcome(buy))
    (fetch,) = world.fire_timer()
    assert isinstance(fetch, FetchCodes)
    return world, fetch


def asked_of_kinguin(world: World) -> list[Kind]:
    return [owed.kind for owed in world.order.outbox if owed.kind in CALLS]


def about(world: World, effect, kind: str) -> dict:
    return {
        "event_id": outcome_id(effect.effect_id, kind),
        "occurred_at": world.now,
        "order_id": ORDER,
        "effect_id": effect.effect_id,
        "purchase_id": effect.purchase_id,
        "reservation_id": effect.reservation_id,
    }


def partly(world: World, fetch: FetchCodes, *counts: int, never: str = "canceled") -> CodesReceived:
    """Return a delivery of so many codes for each line, and no more."""
    lines = tuple(
        LineCodes(item_id=line.item_id, codes=sealed(*(f"{line.product_id}/{n}" for n in range(count))))
        for line, count in zip(fetch.lines, counts, strict=True)
    )
    return CodesReceived(**about(world, fetch, "codes"), lines=lines, never=never)


def hint(world: World, status: str, external: str = f"{ORDER}-1") -> KinguinNotified:
    return KinguinNotified(
        event_id=content_id("kinguin", external, status, world.now),
        occurred_at=world.now,
        order_id=ORDER,
        notice=Notice.CHANGED,
        provider_status=status,
        external_id=external,
    )


def asks_return(world: World, action: str = "one") -> KeysReturnRequested:
    return KeysReturnRequested(
        event_id=EventId(f"return/{action}"), occurred_at=world.now, order_id=ORDER, action_id=action, actor="admin"
    )


# What is bought together


@pytest.mark.parametrize(
    ("quantities", "purchases"),
    [
        ((1, 2), [[1, 2]]),
        ((9, 9, 1), [[9, 9, 1]]),
        ((20,), [[9], [9], [2]]),
        ((20, 3), [[9, 3], [9], [2]]),
        ((1,) * 12, [[1] * 10, [1] * 2]),
    ],
)
def test_items_are_as_few_orders_as_the_limits_allow_each_with_its_own_external_id(quantities, purchases):
    world, buys = paid(*quantities)
    assert [[line.quantity for line in buy.lines] for buy in buys] == purchases
    assert [buy.external_id for buy in buys] == [f"{ORDER}-{n}" for n in range(1, len(purchases) + 1)]
    assert len({buy.effect_id for buy in buys}) == len(buys)
    assert world.tell(world.history[-1]) == ()


def test_items_of_one_product_are_never_lines_of_one_order():
    _, buys = paid(2, 2, item2={"product_id": ProductId("product-1")})
    assert [[line.item_id for line in buy.lines] for buy in buys] == [[f"{ORDER}-1"], [f"{ORDER}-2"]]


def test_a_large_quantity_of_one_offer_is_one_order_by_itself():
    _, buys = paid(100, 2, item1={"offer_id": "offer"})
    assert [[(line.quantity, line.offer_id) for line in buy.lines] for buy in buys] == [[(100, "offer")], [(2, None)]]


def test_all_items_of_one_order_are_stored_in_their_own_order():
    world, buys = paid(20, 3)
    for buy in buys:
        world.tell(world.outcome(buy))
    for reservation in world.reservations:
        reservation.codes_ready = True
    fetches = [
        fetch
        for reservation in world.reservations
        for fetch in world.tell(hint(world, "completed", reservation.external_id))
    ]
    (store,) = [effect for fetch in fetches for effect in world.tell(world.outcome(fetch))]
    assert isinstance(store, StoreKeys)
    assert [len(keys.codes) for keys in store.items] == [20, 3]
    boxes = [code.box for keys in store.items for code in keys.codes]
    assert len(set(boxes)) == 23
    assert [box.split("/")[0] for box in boxes] == ["r1"] * 9 + ["r2"] * 9 + ["r3"] * 2 + ["r1"] * 3
    world.settle((store,))
    assert world.order.status is OrderStatus.FULFILLED
    told = snapshot(world.order)
    assert [item.status for item in told.items] == [ItemStatus.STORED] * 2
    assert [r.item_ids for r in told.reservations if r.reservation_id == "r1"] == [(f"{ORDER}-1", f"{ORDER}-2")]
    assert len(told.keys) == 23


def test_an_unknown_outcome_is_looked_up_under_the_external_id_of_all_lines():
    world, (buy,) = paid(1, 2)
    world.tell(world.outcome(buy, "lost"))
    (look_up,) = world.fire_timer()
    assert isinstance(look_up, LookUpPurchase)
    assert look_up.external_id == buy.external_id
    world.tell(world.outcome(look_up))
    assert world.order.purchases[0].status is ItemStatus.BOUGHT
    assert not [e for e in world.sent.values() if isinstance(e, BuyKey) and e.attempt > 1]


def test_a_product_that_is_sold_alone_lets_each_line_be_bought_by_itself():
    world, (buy,) = paid(1, 2, 3)
    buys = world.tell(failed(buy, Failure.REFUSED, at=world.now, cause="sold_alone"))
    assert [[line.item_id for line in each.lines] for each in buys] == [[f"{ORDER}-{n}"] for n in (1, 2, 3)]
    assert [each.external_id for each in buys] == [f"{ORDER}-1", f"{ORDER}-2", f"{ORDER}-3"]
    assert buys[0].attempt == 2
    assert world.order.review is None


def test_a_product_that_is_sold_alone_and_is_alone_is_a_refusal():
    world, (buy,) = paid(1)
    assert world.tell(failed(buy, Failure.REFUSED, at=world.now, cause="sold_alone")) == ()
    assert (world.order.review.cause, world.order.owed) == ("sold_alone", Decimal(5))


def test_an_order_of_several_purchases_comes_back_from_the_table_as_it_was():
    world, _ = paid(20, 3)
    assert order_from_bytes(order_to_bytes(world.order, ESA)) == world.order


# What comes in part


def test_of_a_partial_delivery_what_came_is_kept_and_only_the_rest_is_bought_anew():
    world, fetch = bought(2, 3)
    assert world.tell(partly(world, fetch, 0, 2)) == ()
    assert world.order.review.cause == "partly_delivered"
    assert world.order.review.detail == "Kinguin has canceled 3 of 5 keys of items 1, 2"
    assert world.order.owed == Decimal(15)
    assert [item.status for item in snapshot(world.order).items] == [ItemStatus.FAILED, ItemStatus.FAILED]

    (buy,) = world.tell(reprocess("one", at=world.now))
    assert isinstance(buy, BuyKey)
    assert [(line.item_id, line.quantity) for line in buy.lines] == [(f"{ORDER}-1", 2), (f"{ORDER}-2", 1)]
    assert buy.external_id == f"{ORDER}-2"
    assert world.order.owed == 0
    world.tell(world.outcome(buy))
    world.reservations[-1].codes_ready = True
    (fetch,) = world.fire_timer()
    (store,) = world.tell(world.outcome(fetch))
    assert isinstance(store, StoreKeys)
    assert [[code.box for code in keys.codes] for keys in store.items] == [
        ["r2/product-1/0", "r2/product-1/1"],
        ["product-2/0", "product-2/1", "r2/product-2/0"],
    ]
    world.settle((store,))
    assert world.order.status is OrderStatus.FULFILLED


def test_a_short_delivery_that_nothing_explains_is_never_handed_on():
    world, fetch = bought(2, 3)
    assert world.tell(partly(world, fetch, 2, 2, never="")) == ()
    assert world.order.review.cause == "bad_codes"
    assert world.order.purchases[0].status is ItemStatus.BOUGHT


@pytest.mark.parametrize("counts", [(3, 3), (2, 4), (0, 0)])
def test_codes_that_are_more_than_bought_or_none_at_all_are_never_handed_on(counts):
    world, fetch = bought(2, 3)
    assert world.tell(partly(world, fetch, *counts)) == ()
    assert world.order.review.cause == "bad_codes"


def test_codes_of_an_item_that_is_not_in_the_purchase_are_never_handed_on():
    world, fetch = bought(2, 3)
    event = partly(world, fetch, 2, 3)
    others = event.lines[0].model_copy(update={"item_id": f"{ORDER}-9"})
    assert world.tell(event.model_copy(update={"lines": (others, event.lines[1])})) == ()
    assert world.order.review.cause == "bad_codes"


def test_a_partial_delivery_that_is_told_again_changes_nothing():
    world, fetch = bought(2, 3)
    event = partly(world, fetch, 1, 3)
    world.tell(event)
    before = world.order
    assert world.tell(event) == ()
    assert world.order is before


def test_codes_that_were_not_there_for_long_use_up_no_tries():
    """Found by the simulation: after some "not yet", one read without an answer sent a paid order to review."""
    world, fetch = bought(1)
    for _ in range(12):
        world.tell(CodesPending(**about(world, fetch, "pending"), provider_status="processing"))
        (fetch,) = world.fire_timer(wake_at(world.order, ESA))
    for _ in range(4):
        world.tell(failed(fetch, Failure.TRANSIENT, at=world.now))
        assert world.order.status is OrderStatus.PURCHASING
        (fetch,) = world.fire_timer(wake_at(world.order, ESA))
    world.reservations[0].codes_ready = True
    (store,) = world.tell(world.outcome(fetch))
    assert isinstance(store, StoreKeys)


# Pre-orders


@pytest.mark.parametrize("named", [f"{ORDER}-7", f"{ORDER}-2"])
def test_codes_that_are_pending_for_another_purchase_than_was_asked_about_change_nothing(named):
    world = World()
    world.tell(placed(1, 1))
    for buy in world.pay(payment(PaymentStatus.FINISHED, price_amount=Decimal(10))):
        world.tell(world.outcome(buy))
    fetch = next(effect for effect in world.fire_timer() if effect.purchase_id == f"{ORDER}-1")
    before = world.order
    pending = CodesPending(**about(world, fetch, "pending") | {"purchase_id": named}, provider_status="processing")
    assert world.tell(pending) == ()
    assert world.order is before


def test_a_preorder_waits_for_its_day_and_is_not_stuck():
    world, fetch = bought(1)
    release = world.now + timedelta(days=40)
    pending = CodesPending(**about(world, fetch, "pending"), provider_status="processing", expected_at=release)
    assert world.tell(pending) == ()
    assert snapshot(world.order).items[0].expected_at == release
    asked = 0
    while world.now < release:
        assert world.order.status is OrderStatus.PURCHASING
        (fetch,) = world.fire_timer(wake_at(world.order, ESA))
        asked += 1
        assert world.tell(CodesPending(**about(world, fetch, "pending"), expected_at=release)) == ()
    assert 40 <= asked <= 42, "once a day: its date may move"
    world.reservations[0].codes_ready = True
    (fetch,) = world.fire_timer(wake_at(world.order, ESA))
    (store,) = world.tell(world.outcome(fetch))
    assert isinstance(store, StoreKeys)


def test_a_preorder_that_does_not_come_after_its_day_is_stuck_a_day_later():
    world, fetch = bought(1)
    release = world.now + timedelta(days=40)
    world.tell(CodesPending(**about(world, fetch, "pending"), expected_at=release))
    world.fire_timer(release + ESA.stuck_after)
    assert world.order.review.cause == "stuck"


# Hints


def test_a_hint_lets_kinguin_be_asked_at_once():
    world, (buy,) = paid(1, 1)
    world.tell(world.outcome(buy))
    (fetch,) = world.tell(hint(world, "completed"))
    assert isinstance(fetch, FetchCodes)
    assert world.tell(hint(world, "completed")) == (), "it is asked already"


@pytest.mark.parametrize("status", ["processing", "PROCESSING"])
def test_a_hint_of_what_is_known_asks_nothing(status):
    world, (buy,) = paid(1)
    world.tell(world.outcome(buy))
    assert world.tell(hint(world, status)) == ()


@pytest.mark.parametrize("external", [f"{ORDER}-2", f"{ORDER}", "another"])
def test_a_hint_about_no_purchase_of_the_order_changes_nothing(external):
    world, (buy,) = paid(1)
    world.tell(world.outcome(buy))
    before = world.order
    assert world.tell(hint(world, "completed", external)) == ()
    assert world.order is before


def test_what_kinguin_takes_back_after_the_delivery_is_told_and_owed_once():
    world, fetch = bought(1, 2)
    world.reservations[0].codes_ready = True
    world.settle(world.tell(world.outcome(fetch)))
    assert (world.order.status, world.order.owed) == (OrderStatus.FULFILLED, 0)
    for _ in range(2):
        world.now += timedelta(minutes=1)
        assert world.tell(hint(world, "refunded")) == ()
    assert [incident.cause for incident in world.order.incidents] == ["supplier_reversed"]
    assert world.order.owed == Decimal(15)
    assert world.order.status is OrderStatus.FULFILLED


@pytest.mark.parametrize(("cause", "review"), [("canceled", "supplier_canceled"), ("refunded", "supplier_reversed")])
def test_what_kinguin_ended_after_the_payment_is_owed_until_the_money_went_back(cause, review):
    world, fetch = bought(1, 2)
    world.tell(failed(fetch, Failure.REFUSED, at=world.now, cause=cause))
    assert (world.order.review.cause, world.order.owed) == (review, Decimal(15))
    assert snapshot(world.order).owed == Decimal(15)
    world.tell(payment(PaymentStatus.REFUNDED, at=world.now, price_amount=Decimal(15)))
    assert world.order.owed == 0


# Keys that are given back


def test_keys_that_nobody_has_downloaded_are_returned_on_an_admins_word():
    world, (buy,) = paid(1, 2)
    world.tell(world.outcome(buy))
    (asked,) = world.tell(asks_return(world))
    assert isinstance(asked, ReturnKeys)
    assert asked.reservation_id == "r1"
    assert world.tell(asks_return(world)) == (), "one click is one request"
    assert world.tell(hint(world, "completed")) == (), "nobody downloads them now"
    world.tell(KeysReturned(**about(world, asked, "returned"), statuses=("RETURNED", "DELIVERED", "DELIVERED")))
    assert world.order.review.cause == "keys_returned"
    assert "RETURNED, DELIVERED, DELIVERED" in world.order.review.detail
    assert [r.status for r in world.order.reservations] == [ReservationStatus.REVERSED]
    assert world.order.owed == Decimal(15)
    assert asked_of_kinguin(world) == []
    (anew,) = world.tell(reprocess("two", at=world.now))
    assert (type(anew), anew.external_id) == (BuyKey, f"{ORDER}-1-p2")


def test_keys_that_kinguin_does_not_take_back_are_delivered():
    world, (buy,) = paid(1)
    world.tell(world.outcome(buy))
    (asked,) = world.tell(asks_return(world))
    (fetch,) = world.tell(failed(asked, Failure.REFUSED, at=world.now, cause="rejected"))
    assert isinstance(fetch, FetchCodes)
    assert [incident.cause for incident in world.order.incidents] == ["return_refused"]
    world.reservations[0].codes_ready = True
    world.settle(world.tell(world.outcome(fetch)))
    assert world.order.status is OrderStatus.FULFILLED


def test_a_return_waits_for_a_download_that_is_under_way():
    world, fetch = bought(1)
    assert world.tell(asks_return(world)) == ()
    (asked,) = world.tell(world.outcome(fetch))  # not delivered yet
    assert isinstance(asked, ReturnKeys)


def test_what_was_downloaded_meanwhile_cannot_be_returned_and_is_delivered():
    world, fetch = bought(1)
    assert world.tell(asks_return(world)) == ()
    world.reservations[0].codes_ready = True
    (store,) = world.tell(world.outcome(fetch))
    assert isinstance(store, StoreKeys)
    assert [incident.cause for incident in world.order.incidents] == ["return_refused"]


def test_a_return_without_a_known_outcome_is_asked_again_and_then_a_human_looks():
    world, (buy,) = paid(1)
    world.tell(world.outcome(buy))
    (asked,) = world.tell(asks_return(world))
    world.tell(failed(asked, Failure.UNKNOWN, at=world.now))
    (again,) = world.fire_timer()
    assert (type(again), again.attempt) == (ReturnKeys, 2)
    assert world.tell(failed(again, Failure.REFUSED, at=world.now, cause="rejected")) == ()
    assert world.order.review.cause == "return_unknown"
    assert asked_of_kinguin(world) == [], "what may have gone back is not downloaded"


def test_a_return_that_was_not_taken_in_time_may_be_repeated_without_doubt():
    world, (buy,) = paid(1)
    world.tell(world.outcome(buy))
    (asked,) = world.tell(asks_return(world))
    world.tell(failed(asked, Failure.TRANSIENT, at=world.now, cause="rate_limited"))
    (again,) = world.fire_timer()
    (fetch,) = world.tell(failed(again, Failure.REFUSED, at=world.now, cause="rejected"))
    assert isinstance(fetch, FetchCodes)


@pytest.mark.parametrize("when", ["unpaid", "delivered"])
def test_where_nothing_can_be_returned_the_admin_hears_why(when):
    world = EsaWorld()
    world.tell(placed())
    if when == "delivered":
        world, fetch = bought(1)
        world.reservations[0].codes_ready = True
        world.settle(world.tell(world.outcome(fetch)))
    world.tell(asks_return(world))
    answer = world.order.answers[-1]
    assert (answer.accepted, answer.detail.partition(":")[0]) == (False, "Nothing can be returned")
    assert world.order.incidents == (), "a refused click is no more than its answer"


def test_a_return_that_is_asked_for_already_is_refused():
    world, (buy,) = paid(1)
    world.tell(world.outcome(buy))
    world.tell(asks_return(world))
    assert world.order.answers[-1].accepted
    assert world.tell(asks_return(world, "two")) == ()
    assert not world.order.answers[-1].accepted


# Pictures


def test_a_key_that_is_a_picture_is_a_row_of_its_own_with_its_own_place():
    world, fetch = bought(1, 2)
    world.reservations[0].codes_ready = True
    (store,) = world.tell(world.outcome(fetch))
    picture = StoredObject(item_id=f"{ORDER}-2", position=2, object_key=f"keys/{ORDER}/3.png", media_type="image/png")
    stored = world.outcome(store).model_copy(update={"objects": (picture,)})
    (mail,) = world.tell(stored)
    assert [(key.item_id, key.position, key.storage_ref, key.media_type) for key in world.order.keys] == [
        (f"{ORDER}-1", 1, f"keys/{ORDER}.json", "text/plain"),
        (f"{ORDER}-2", 1, f"keys/{ORDER}.json", "text/plain"),
        (f"{ORDER}-2", 2, f"keys/{ORDER}/3.png", "image/png"),
    ]
    assert isinstance(mail, SendMail)
    assert (mail.object_key, mail.pictures) == (f"keys/{ORDER}.json", (f"keys/{ORDER}/3.png",))


def test_purchases_are_numbered_by_items_where_each_is_bought_by_itself():
    world = World()
    world.tell(placed(1, 2))
    buys = world.pay(payment(PaymentStatus.FINISHED, price_amount=Decimal(15)), replace(ESA, limits=Policy().limits))
    assert [(buy.external_id, buy.purchase_id) for buy in buys] == [(f"{ORDER}-{n}", f"{ORDER}-{n}") for n in (1, 2)]


def test_a_hint_of_another_order_under_our_external_id_leads_to_a_search_and_is_told_once():
    world, fetch = bought(1)
    second = replace(world.reservations[0], reservation_id=ReservationId("r2"))
    world.reservations.append(second)
    other = hint(world, "processing").model_copy(update={"reservation_id": second.reservation_id})
    (look_up,) = world.tell(other)
    assert isinstance(look_up, LookUpPurchase)
    world.tell(world.outcome(look_up))
    assert [incident.cause for incident in world.order.incidents] == ["second_purchase"]
    assert world.order.purchases[0].reservation_id == "r1"
    world.now += timedelta(seconds=1)
    assert world.tell(other.model_copy(update={"occurred_at": world.now})) == (), "it is known"
    assert isinstance(fetch, FetchCodes)
