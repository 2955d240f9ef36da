"""Orders in every state that a buyer can find one in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bitloot.contracts.state import OrderStatus
from delivery.order_page.status import Line, OrderView
from tests.unit.delivery.samples import ORDER

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

PLACED = OrderView(
    order_id=ORDER,
    version=1,
    status=OrderStatus.AWAITING_PAYMENT,
    lines=(Line("Half-Life 3", 2), Line("Portal 3", 1)),
    email="buyer@bitloot.test",
    pay_url="https://nowpayments.test/payment/?iid=1",
    placed_at=START,
    updated_at=START,
)
PURCHASING = replace(
    PLACED, version=3, status=OrderStatus.PURCHASING, paid_at=START + timedelta(minutes=1), updated_at=START
)
RECEIVED = replace(
    PURCHASING, version=5, status=OrderStatus.DELIVERING, purchased_at=START + timedelta(minutes=1, seconds=2)
)
STORED = replace(
    RECEIVED, version=6, object_key=f"keys/{ORDER}.json", stored_at=START + timedelta(minutes=1, seconds=3)
)
FULFILLED = replace(STORED, version=7, status=OrderStatus.FULFILLED, mailed_at=START + timedelta(minutes=1, seconds=4))
REVIEW = replace(PURCHASING, version=8, status=OrderStatus.NEEDS_REVIEW)
CANCELED = replace(PLACED, version=9, status=OrderStatus.CANCELED)
