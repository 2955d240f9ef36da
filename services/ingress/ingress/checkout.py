"""Places orders: once for each `Idempotency-Key`, in however many tries.

The order's id is derived from the key, so a repeat is the same order even where nothing is remembered. What is
remembered (here, and in the read model once it has caught up) makes a repeat the same answer, and another order
under the same key a conflict.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter

from pydantic import SecretStr

from bitloot import ids, links, log, metrics, trace
from bitloot.contracts.events import OrderItem, OrderPlaced
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import BitLootError, Transient
from bitloot.ids import OrderId, ProductId
from ingress.order_request import OrderRequest
from ingress.ports import Invoice, InvoiceRequest, Invoicing, OrderIndex, Publisher

_FIRST_LINK = 1  # the generation of an order's page links; raising it revokes the earlier ones
_DAY = timedelta(days=1)

_log = log.get(__name__)


class Conflict(Exception):  # noqa: N818 - it names what happened
    """Another order was placed, or is being placed, under the same key."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The answer to an order. `replayed`: it was placed by an earlier request."""

    order_id: OrderId
    status_url: str
    pay_url: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where buyers and the payment provider reach us, and how long the order page's link works."""

    public_url: str
    notify_url: str
    link_secrets: Sequence[SecretStr]
    link_lifetime: timedelta

    def status_url(self, order: OrderId, placed_at: datetime) -> str:
        """Return the order page's address, the same one for every answer about the order."""
        # Up to the end of a day: an instance that does not know the first answer gives the same link.
        end = _end_of_day(placed_at + self.link_lifetime)
        return f"{self.public_url}/o/{links.mint(order, _FIRST_LINK, end, self.link_secrets)}"


def _end_of_day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What this process knows of an order: enough to answer it again, or to go on where a try ended."""

    request_hash: str
    placed_at: datetime
    pay_url: str | None
    invoice_id: str | None = None
    published: bool = False


class Checkout:
    """Places orders through its ports; remembers the last `memory` of them."""

    def __init__(
        self,
        publisher: Publisher,
        index: OrderIndex,
        invoicing: Invoicing,
        addresses: Addresses,
        *,
        memory: int = 20_000,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._publisher = publisher
        self._index = index
        self._invoicing = invoicing
        self._addresses = addresses
        self._now = now
        self._limit = memory
        self._memory: OrderedDict[OrderId, _Remembered] = OrderedDict()
        self._running: dict[OrderId, tuple[str, asyncio.Task[Placed]]] = {}

    async def place(self, idempotency_key: str, request: OrderRequest) -> Placed:
        """Place an order, or answer again for one that was placed.

        Raises `Conflict` for another order under the same key, and what the publisher raises when Kafka does
        not acknowledge: then nothing was promised and the same request may be sent again.
        """
        order, request_hash = ids.order_id(idempotency_key), request.hash
        trace.join(order)
        if order in self._running:
            running_hash, task = self._running[order]
            if running_hash != request_hash:
                raise Conflict
            # Shielded: whoever stops waiting does not end it for the others.
            return replace(await asyncio.shield(task), replayed=True)
        task = asyncio.create_task(self._place(order, request, request_hash))
        self._running[order] = request_hash, task
        task.add_done_callback(lambda _: self._running.pop(order))
        return await asyncio.shield(task)

    async def _place(self, order: OrderId, request: OrderRequest, request_hash: str) -> Placed:
        known = self._memory.get(order) or await self._look_up(order)
        if known is not None and known.request_hash != request_hash:
            raise Conflict
        if known is None:
            known = await self._prepare(order, request, request_hash)
        replayed = known.published
        if not replayed:
            # Kept before it is published: when Kafka is away, the next try has the same invoice and time.
            self._remember(order, known)
            await self._publisher.post(ORDER_EVENTS, order, _event(order, request, known))
            reach(CrashPoint.INGRESS_ORDERED)
        self._remember(order, replace(known, published=True))
        status_url = self._addresses.status_url(order, known.placed_at)
        return Placed(order, status_url, known.pay_url or status_url, replayed)

    async def _look_up(self, order: OrderId) -> _Remembered | None:
        try:
            found = await self._index.find(order)
        except Transient as error:
            # An order is not refused because the read model is away; a repeat is the same order anyhow.
            _log.warning("order.lookup_failed", order_id=order, cause=error.cause, detail=error.detail)
            return None
        if found is None:
            return None
        return _Remembered(found.request_hash, found.placed_at, found.pay_url, published=True)

    async def _prepare(self, order: OrderId, request: OrderRequest, request_hash: str) -> _Remembered:
        placed_at = self._now()
        invoice = await self._invoice(order, request, self._addresses.status_url(order, placed_at))
        if invoice is None:
            return _Remembered(request_hash, placed_at, pay_url=None)
        return _Remembered(request_hash, placed_at, invoice.url, invoice.id)

    async def _invoice(self, order: OrderId, request: OrderRequest, status_url: str) -> Invoice | None:
        """Create the invoice; None when there is none, and the order waits to be paid from its page."""
        wanted = InvoiceRequest(order, request.total, request.currency, self._addresses.notify_url, status_url)
        started = perf_counter()
        result = "ok"
        try:
            return await self._invoicing.create(wanted)
        except BitLootError as error:
            result = error.cause
            _log.error("order.without_invoice", order_id=order, cause=error.cause, detail=error.detail)
            return None
        finally:
            metrics.PROVIDER_CALLS.labels("nowpayments", "create_invoice", result).inc()
            metrics.PROVIDER_SECONDS.labels("nowpayments", "create_invoice").observe(perf_counter() - started)

    def _remember(self, order: OrderId, known: _Remembered) -> None:
        self._memory[order] = known
        self._memory.move_to_end(order)
        if len(self._memory) > self._limit:
            self._memory.popitem(last=False)


def _event(order: OrderId, request: OrderRequest, known: _Remembered) -> OrderPlaced:
    return OrderPlaced(
        event_id=ids.content_id("order.placed", order, known.request_hash),
        occurred_at=known.placed_at,
        order_id=order,
        email=request.email,
        currency=request.currency,
        items=tuple(
            OrderItem(
                item_id=ids.item_id(order, position),
                product_id=ProductId(item.product_id),
                title=item.title,
                quantity=item.quantity,
                unit_price=item.unit_price,
                offer_id=item.offer_id,
            )
            for position, item in enumerate(request.items, start=1)
        ),
        total=request.total,
        request_hash=known.request_hash,
        pay_url=known.pay_url,
        invoice_id=known.invoice_id,
    )
