"""Every topic, declared once. Services take names from here and never spell one out."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from pydantic import TypeAdapter

from bitloot.contracts.dead_letters import DeadLetter
from bitloot.contracts.effects import Delivery, KinguinCall, PaymentCall
from bitloot.contracts.events import OrderEvent
from bitloot.contracts.notices import NoticeRecord
from bitloot.contracts.sales import SaleEvent, StockCall
from bitloot.contracts.state import OrderSnapshot
from bitloot.contracts.webhooks import WebhookLogged

DEFAULT_PARTITIONS = 12
FOREVER = timedelta(milliseconds=-1)

Service = Literal[
    "ingress", "fulfillment", "kinguin", "delivery", "order-page", "sink", "admin-api", "seller", "payments"
]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: what is on it, keyed by what, who writes and reads it, how long it stays."""

    name: str
    description: str
    key: str
    records: TypeAdapter[Any] = field(repr=False)
    producers: tuple[Service, ...]
    consumers: tuple[Service, ...]
    cleanup: Literal["delete", "compact"] = "delete"
    retention: timedelta = FOREVER

    @property
    def config(self) -> dict[str, str]:
        """Return the topic's settings as Kafka has them."""
        retention = -1 if self.retention == FOREVER else int(self.retention / timedelta(milliseconds=1))
        compacted = {"min.cleanable.dirty.ratio": "0.2", "segment.bytes": str(64 << 20)}
        return {"cleanup.policy": self.cleanup, "retention.ms": str(retention)} | (
            compacted if self.cleanup == "compact" else {}
        )


ORDER_EVENTS = Topic(
    name="orders.events.v1",
    description="All that happened to an order. The source that every view can be rebuilt from.",
    key="order id",
    records=TypeAdapter(OrderEvent),
    producers=("ingress", "fulfillment", "payments", "kinguin", "delivery", "order-page", "admin-api"),
    consumers=("fulfillment", "sink"),
)
KINGUIN_NOTICES = Topic(
    name="kinguin.notices.v1",
    description="Notifications that name a reservation but no order, which order a reservation has, and until when.",
    key="reservation id",
    records=TypeAdapter(NoticeRecord),
    producers=("ingress", "fulfillment"),
    consumers=("fulfillment",),
    retention=timedelta(days=30),
)
PAYMENT_CALLS = Topic(
    name="payments.calls.v1",
    description="What the payments worker is asked to do.",
    key="order id",
    records=TypeAdapter(PaymentCall),
    producers=("fulfillment",),
    consumers=("payments",),
    retention=timedelta(days=14),
)
KINGUIN_CALLS = Topic(
    name="kinguin.calls.v1",
    description="What the kinguin worker is asked to do.",
    key="order id",
    records=TypeAdapter(KinguinCall),
    producers=("fulfillment",),
    consumers=("kinguin",),
    retention=timedelta(days=14),
)
KINGUIN_SALES = Topic(
    name="kinguin.sales.v1",
    description="All that happened to a key that is sold on Kinguin.",
    key="reservation id",
    records=TypeAdapter(SaleEvent),
    producers=("ingress", "fulfillment", "seller"),
    consumers=("fulfillment",),
    retention=timedelta(days=90),
)
STOCK_CALLS = Topic(
    name="stock.calls.v1",
    description="What the seller worker is asked to do.",
    key="reservation id",
    records=TypeAdapter(StockCall),
    producers=("fulfillment",),
    consumers=("seller",),
    retention=timedelta(days=14),
)
DELIVERIES = Topic(
    name="deliveries.v1",
    description="What the delivery worker is asked to do.",
    key="order id",
    records=TypeAdapter(Delivery),
    producers=("fulfillment",),
    consumers=("delivery",),
    retention=timedelta(days=14),
)
ORDER_STATE = Topic(
    name="orders.state.v1",
    description="The newest public state of every order.",
    key="order id",
    records=TypeAdapter(OrderSnapshot),
    producers=("fulfillment",),
    consumers=("sink",),
    cleanup="compact",
)
WEBHOOKS_LOG = Topic(
    name="webhooks.log.v1",
    description="Every accepted notification as it came, codes sealed out.",
    key="order id, else provider and external id",
    records=TypeAdapter(WebhookLogged),
    producers=("ingress",),
    consumers=("sink",),
    retention=timedelta(days=400),  # as its table: a year, and time to settle what is disputed at its end
)
DEAD_LETTERS = Topic(
    name="dead-letters.v1",
    description="What a consumer could not decode or handle.",
    key="the key it had",
    records=TypeAdapter(DeadLetter),
    producers=("fulfillment", "payments", "kinguin", "delivery", "seller", "sink"),
    consumers=("sink",),
    retention=timedelta(days=90),
)

# The changelogs of the fulfillment process's tables. Faust would create them itself when it first starts, but its
# consumer then does not know of them for a while. Their values are the process's own: no other service reads them.
ORDERS_CHANGELOG = Topic(
    name="fulfillment-orders-changelog",
    description="What the table of orders is restored from.",
    key="order id",
    records=TypeAdapter(bytes),
    producers=("fulfillment",),
    consumers=("fulfillment",),
    cleanup="compact",
)
RETIRED_CHANGELOG = Topic(
    name="fulfillment-retired-changelog",
    description="What the table of orders that have left is restored from.",
    key="order id",
    records=TypeAdapter(bytes),
    producers=("fulfillment",),
    consumers=("fulfillment",),
    cleanup="compact",
)
ROUTES_CHANGELOG = Topic(
    name="fulfillment-routes-changelog",
    description="What the table of reservations and their orders is restored from.",
    key="reservation id",
    records=TypeAdapter(bytes),
    producers=("fulfillment",),
    consumers=("fulfillment",),
    cleanup="compact",
)
SALES_CHANGELOG = Topic(
    name="fulfillment-sales-changelog",
    description="What the table of sales on Kinguin is restored from.",
    key="reservation id",
    records=TypeAdapter(bytes),
    producers=("fulfillment",),
    consumers=("fulfillment",),
    cleanup="compact",
)

CHANGELOGS = (ORDERS_CHANGELOG, RETIRED_CHANGELOG, ROUTES_CHANGELOG, SALES_CHANGELOG)
TOPICS = (
    ORDER_EVENTS,
    KINGUIN_NOTICES,
    PAYMENT_CALLS,
    KINGUIN_CALLS,
    KINGUIN_SALES,
    STOCK_CALLS,
    DELIVERIES,
    ORDER_STATE,
    WEBHOOKS_LOG,
    DEAD_LETTERS,
)
