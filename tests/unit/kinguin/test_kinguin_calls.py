"""Outcomes as events: their ids come from the effect, their facts from the market."""

import pytest

from bitloot.contracts.events import LineCodes
from bitloot.contracts.sealed import SealedCode
from bitloot.ids import ReservationId
from fulfillment.kinguin.calls import carry_out
from fulfillment.kinguin.ports import Delivered, DeliveredLine, Placed, Undelivered
from tests.unit.kinguin.samples import ITEM, NOW, ORDER, PURCHASE, RESERVATION, buy, fetch, give, look_up, return_keys

SEALED = (SealedCode(key_id="k", box="AAAA"),)


class Answers:
    """A market with one answer to everything."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    async def buy(self, call):
        return self.answer

    give = look_up = fetch = return_keys = buy


@pytest.mark.parametrize(
    ("call", "answer", "outcome", "facts"),
    [
        (
            buy(attempt=3),
            Placed(ReservationId("r"), given=True, provider_status="BOUGHT"),
            "purchase.placed",
            {"reservation_id": "r", "given": True, "provider_status": "BOUGHT"},
        ),
        (give(), None, "reservation.given", {"reservation_id": RESERVATION}),
        (look_up(), (), "purchases.found", {"reservations": ()}),
        (fetch(), Undelivered("PENDING"), "codes.pending", {"provider_status": "PENDING"}),
        (fetch(), Undelivered("", NOW), "codes.pending", {"expected_at": NOW}),
        (
            fetch(),
            Delivered((DeliveredLine(ITEM, SEALED),), "canceled"),
            "codes.received",
            {"reservation_id": RESERVATION, "lines": (LineCodes(item_id=ITEM, codes=SEALED),), "never": "canceled"},
        ),
        (
            return_keys(),
            ("DELIVERED", "RETURNED"),
            "keys.returned",
            {"reservation_id": RESERVATION, "statuses": ("DELIVERED", "RETURNED")},
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
async def test_an_outcome_names_its_effect(call, answer, outcome, facts):
    event = await carry_out(call, Answers(answer), lambda: NOW)
    assert event.type == outcome
    assert event.event_id == f"{call.effect_id}/{outcome}"
    assert (event.effect_id, event.order_id, event.purchase_id) == (call.effect_id, ORDER, PURCHASE)
    assert event.occurred_at == NOW
    assert {name: getattr(event, name) for name in facts} == facts
