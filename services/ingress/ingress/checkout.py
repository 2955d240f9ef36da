"""Places orders: once for each `Idempotency-Key`, in however many tries and processes.

The order's id is derived from the key, so a repeat is the same order even where nothing is remembered. What is
remembered (here, in Postgres from the first request on, and in the read model) makes a repeat the same answer, and
another order under the same key a conflict. While Postgres is away no order is placed: the buyer's address would have
to be published unsealed (ADR 0032).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bitloot import ids, log, trace
from bitloot.contracts.effects import CreatePayment
from bitloot.contracts.events import OrderItem, OrderPlaced, PaymentInstructions
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import Cause, Refused, Transient
from bitloot.ids import EventId, OrderId, ProductId
from bitloot.personal import PersonalKey
from ingress.addresses import Addresses
from ingress.order_request import OrderRequest
from ingress.ports import Begun, Checkouts, CoinRules, FirstBills, Opened, Publisher

_log = log.get(__name__)


class Conflict(Exception):  # noqa: N818 - it names what happened
    """Another order was placed, or is being placed, under the same key."""


class NotPayable(Exception):  # noqa: N818 - see Conflict
    """The payment provider does not take this order: `cause` says whether for its coin or for its amount."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(cause, detail)
        self.cause = cause
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Placed:
    """The answer to an order. `replayed`: it was placed by an earlier request."""

    order_id: OrderId
    status_url: str
    payment: PaymentInstructions | None
    replayed: bool

    @property
    def pay_url(self) -> str:
        """Where the buyer pays: the invoice's page, else the order's own."""
        return (self.payment and self.payment.pay_url) or self.status_url


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What this process knows of an order: enough to answer it again, or to go on where a try ended."""

    key: PersonalKey
    request_hash: str
    placed_at: datetime
    payment: PaymentInstructions | None
    published: bool = False


@dataclass(frozen=True, slots=True)
class CheckoutPorts:
    """What placing orders needs of the outside."""

    publisher: Publisher
    checkouts: Checkouts
    bills: FirstBills
    coins: CoinRules


class Checkout:
    """Places orders through its ports; remembers the last `memory` of them."""

    def __init__(
        self,
        ports: CheckoutPorts,
        addresses: Addresses,
        *,
        memory: int = 20_000,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ports = ports
        self._addresses = addresses
        self._now = now
        self._limit = memory
        self._memory: OrderedDict[OrderId, _Remembered] = OrderedDict()
        self._running: dict[OrderId, tuple[str, asyncio.Task[Placed]]] = {}

    async def place(self, idempotency_key: str, request: OrderRequest) -> Placed:
        """Place an order, or answer again for one that was placed.

        Raises `Conflict` for another order under the same key, `NotPayable` for one that the payment provider does
        not take, `Refused` where the buyer's data was erased, and `Transient` or what the publisher raises when
        Postgres is away or Kafka does not acknowledge: then nothing was promised, and the same request may come again.
        """
        order, request_hash = ids.order_id(idempotency_key), request.hash
        trace.join(order)
        if order in self._running:
            running_hash, task = self._running[order]
            if running_hash != request_hash:
                raise Conflict
            # Shielded: whoever stops waiting does not end it for the others.
            return replace(await asyncio.shield(task), replayed=True)
        task = asyncio.create_task(self._place(order, request))
        self._running[order] = request_hash, task
        task.add_done_callback(lambda _: self._running.pop(order))
        return await asyncio.shield(task)

    async def _place(self, order: OrderId, request: OrderRequest) -> Placed:
        known = self._memory.get(order)
        if known is None:
            known = await self._look_up(order, request)
        elif known.request_hash != _hash(known.key, request):
            raise Conflict
        replayed = known.published
        if not replayed:
            # Kept before it is published: when Kafka is away, the next try has the same payment and time.
            self._remember(order, known)
            await self._ports.publisher.post(ORDER_EVENTS, order, _event(order, request, known))
            reach(CrashPoint.INGRESS_ORDERED)
        self._remember(order, replace(known, published=True))
        status_url = self._addresses.status_url(order, known.placed_at)
        return Placed(order, status_url, known.payment, replayed)

    async def _look_up(self, order: OrderId, request: OrderRequest) -> _Remembered:
        """Return what is known of an order outside this process; begin it where nothing is."""
        # With a coin the request is looked at before it is noted: one that cannot be paid may be put right.
        begin = request.pay_currency is None
        opened = await self._ports.checkouts.open(order, request.hash, self._now(), begin=begin)
        request_hash = _hash(opened.key, request)
        if (placed := opened.placed) is None:
            return await self._prepare(order, request, opened, request_hash)
        if placed.request_hash != request_hash:
            raise Conflict
        return _Remembered(opened.key, request_hash, placed.placed_at, placed.payment, published=True)

    async def _prepare(self, order: OrderId, request: OrderRequest, opened: Opened, request_hash: str) -> _Remembered:
        """Begin an order, or go on with one that was begun elsewhere; raises what `place` does."""
        try:
            if request.pay_currency is not None:
                await self._ports.coins.check(request.total, request.currency, request.pay_currency)
            mine = Begun(request_hash, self._now())
            try:
                begun = opened.begun or await self._ports.checkouts.begin(order, mine)
            except Transient as error:
                _log.error("order.without_payment", order_id=order, cause=error.cause, detail=error.detail)
                return _Remembered(opened.key, request_hash, mine.placed_at, None)
            if begun.request_hash != request_hash:
                raise Conflict
            payment = await self._ports.bills.first(_wish(order, request, begun.placed_at))
        except Refused as error:
            raise NotPayable(error.cause, error.detail) from error
        return _Remembered(opened.key, request_hash, begun.placed_at, payment)

    def _remember(self, order: OrderId, known: _Remembered) -> None:
        self._memory[order] = known
        self._memory.move_to_end(order)
        if len(self._memory) > self._limit:
            self._memory.popitem(last=False)


def _hash(key: PersonalKey, request: OrderRequest) -> str:
    """Return what a request is known again by. A hash without a key would let anybody try addresses."""
    return key.digest(request.hash)


def _wish(order: OrderId, request: OrderRequest, placed_at: datetime) -> CreatePayment:
    """Return the effect that the payments worker would carry out first; its id is the claim."""
    effect = ids.effect_id(order, "pay", 1)
    return CreatePayment(
        event_id=EventId(effect),
        occurred_at=placed_at,
        order_id=order,
        effect_id=effect,
        attempt=1,
        amount=request.total,
        currency=request.currency,
        pay_currency=request.pay_currency,
        placed_at=placed_at,
    )


def _event(order: OrderId, request: OrderRequest, known: _Remembered) -> OrderPlaced:
    return OrderPlaced(
        event_id=ids.content_id("order.placed", order, known.request_hash),
        occurred_at=known.placed_at,
        order_id=order,
        email=known.key.seal(request.email),
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
        pay_currency=request.pay_currency,
        payment_instructions=known.payment,
    )
