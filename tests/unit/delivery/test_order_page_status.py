import json
from dataclasses import replace

import pytest

from bitloot.contracts.state import OrderStatus
from delivery.order_page.status import Line, Tone, masked, present, revealable
from tests.unit.delivery.orders import CANCELED, FULFILLED, PLACED, PURCHASING, RECEIVED, REVIEW, START, STORED
from tests.unit.delivery.samples import ORDER


def done(status):
    return [step.name for step in status.steps if step.done]


def test_an_order_that_the_read_model_does_not_have_yet():
    status = present(ORDER, None)

    assert (status.order_id, status.status, status.version) == (ORDER, OrderStatus.UNPLACED, 0)
    assert status.headline == "We have your order"
    assert (status.live, status.revealable, status.items, done(status)) == (True, False, (), [])


@pytest.mark.parametrize(
    ("order", "tone", "steps"),
    [
        (PLACED, Tone.WAITING, ["placed"]),
        (PURCHASING, Tone.WORKING, ["placed", "paid"]),
        (RECEIVED, Tone.WORKING, ["placed", "paid", "purchased"]),
        (STORED, Tone.READY, ["placed", "paid", "purchased", "stored"]),
        (FULFILLED, Tone.READY, ["placed", "paid", "purchased", "stored", "mailed"]),
        (REVIEW, Tone.ATTENTION, ["placed", "paid"]),
        (CANCELED, Tone.ENDED, ["placed"]),
    ],
)
def test_the_way_of_an_order(order, tone, steps):
    status = present(ORDER, order)

    assert (status.tone, done(status)) == (tone, steps)
    assert status.headline
    assert status.message
    assert (status.keys, [(item.title, item.quantity) for item in status.items]) == (
        3,
        [("Half-Life 3", 2), ("Portal 3", 1)],
    )


@pytest.mark.parametrize("status", list(OrderStatus))
def test_every_status_has_words(status):
    shown = present(ORDER, replace(PLACED, status=status))

    assert shown.headline
    assert shown.message.endswith(".")


@pytest.mark.parametrize(
    ("order", "may"),
    [
        (None, False),
        (PLACED, False),
        (RECEIVED, False),
        (STORED, True),
        (FULFILLED, True),
        (replace(STORED, status=OrderStatus.NEEDS_REVIEW), True),  # the mail could not be sent: here are the keys
        (REVIEW, False),
        (replace(STORED, status=OrderStatus.REFUNDED), False),
    ],
)
def test_keys_are_revealed_once_they_are_stored(order, may):
    assert present(ORDER, order).revealable is may
    assert order is None or revealable(order) is may


def test_a_page_follows_an_order_until_it_has_ended():
    live = [present(ORDER, order).live for order in (PLACED, STORED, REVIEW, FULFILLED, CANCELED)]

    assert live == [True, True, True, False, False]


def test_the_way_to_pay_is_shown_while_it_is_wanted():
    assert present(ORDER, PLACED).pay_url == PLACED.pay_url
    assert present(ORDER, PURCHASING).pay_url is None
    assert present(ORDER, replace(PLACED, pay_url="javascript:alert(1)")).pay_url is None
    assert present(ORDER, replace(PLACED, pay_url=None)).pay_url is None


def test_the_address_is_shown_in_part_and_only_once_something_was_sent_there():
    assert masked("buyer@bitloot.test") == "b•••@bitloot.test"
    assert present(ORDER, STORED).mailed_to is None
    assert present(ORDER, FULFILLED).mailed_to == "b•••@bitloot.test"
    for order in (PLACED, STORED, FULFILLED, REVIEW):
        assert "buyer" not in present(ORDER, order).model_dump_json()


def test_one_key_is_one_key():
    one = replace(FULFILLED, lines=(Line("Half-Life 3", 1),))

    assert present(ORDER, one).headline == "Your key is ready"
    assert present(ORDER, FULFILLED).headline == "Your keys are ready"


def test_the_answer_in_json():
    answer = json.loads(present(ORDER, FULFILLED).model_dump_json(by_alias=True))

    assert set(answer) == {
        "orderId", "version", "status", "tone", "headline", "message", "steps", "items", "keys", "pay",
        "keysDeleted", "addressChanges",
        "mail",
        "payUrl",
        "revealable", "revealedAt", "mailedTo", "updatedAt", "live",
    }  # fmt: skip
    assert (answer["status"], answer["revealable"], answer["live"]) == ("fulfilled", True, False)
    assert answer["steps"][0] == {"name": "placed", "label": "Order placed", "done": True, "at": "2026-03-01T12:00:00Z"}
    assert answer["items"][0] == {"title": "Half-Life 3", "quantity": 2}
    assert START.isoformat()[:10] in answer["updatedAt"]
