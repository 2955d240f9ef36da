"""What becomes of a placed order: keys that come, or do not, one after the other, and money that goes back."""

import asyncio
import random
from dataclasses import dataclass
from enum import Enum, auto

from sandbox.background import Background
from sandbox.clock import Clock
from sandbox.dials import Dials, Panel
from sandbox.esa.account import Account
from sandbox.esa.errors import refused
from sandbox.esa.goods import midnight
from sandbox.esa.notices import Notices
from sandbox.esa.orders import UNDELIVERED, Key, KeyStatus, Order, OrderStatus

_RETURN_SECONDS = 24 * 3600
# How often a pre-order looks at the clock, which tests move.
_LOOK = 0.25


class _Fate(Enum):
    DELIVERED = auto()
    STUCK = auto()
    CANCELED = auto()
    REFUNDED = auto()


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Carries orders on in the background. All changes of keys and of the status go through here."""

    panel: Panel
    account: Account
    notices: Notices
    background: Background
    clock: Clock

    def begin(self, order: Order) -> None:
        """Tell that the order is processed, and let its keys come."""
        self._move(order, OrderStatus.PROCESSING)
        self.background.spawn(self._carry_out(order))

    async def _carry_out(self, order: Order) -> None:
        dials = self.panel.dials
        # By the order and not by the moment: the same seed means the same fate, however orders overlap.
        dice = random.Random(f"{dials.seed}|{order.names[0]}")  # noqa: S311 - repeatable on purpose
        fate = _fate(dials, dice.random())
        if fate is _Fate.STUCK:
            return
        await self._release(order)
        for key in order.keys:
            if key.status is KeyStatus.PENDING:
                key.status = KeyStatus.PROCESSING
        await asyncio.sleep(dials.key_delay)
        if order.status is not OrderStatus.PROCESSING:
            return  # commanded meanwhile
        if fate is _Fate.CANCELED:
            self.cancel(order)
        elif fate is _Fate.REFUNDED:
            self.refund(order)
        else:
            await self._hand_over(order, dice)

    async def _release(self, order: Order) -> None:
        released = order.preorder_date
        if released is None:
            return
        # No event tells that a clock was moved.
        while self.clock() < midnight(released) and order.status is OrderStatus.PROCESSING:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)

    async def _hand_over(self, order: Order, dice: random.Random) -> None:
        dials = self.panel.dials
        for place, key in enumerate(order.keys):
            if place and dials.key_spread:
                await asyncio.sleep(dials.key_spread)
            if key.status in UNDELIVERED:
                if dice.random() < dials.key_canceled:
                    self._give_back(key, KeyStatus.CANCELED)
                else:
                    self._deliver(key)
        self._settle(order)

    def deliver(self, order: Order) -> None:
        """Deliver now what is left, a pre-order too."""
        for key in order.keys:
            if key.status in UNDELIVERED:
                self._deliver(key)
        self._settle(order)

    def cancel(self, order: Order) -> None:
        """Cancel what was not delivered, as Kinguin does when no seller has a key."""
        for key in order.keys:
            if key.status in UNDELIVERED:
                self._give_back(key, KeyStatus.CANCELED)
        self._move(order, OrderStatus.CANCELED)

    def refund(self, order: Order) -> None:
        """Pay the whole order back, delivered keys too."""
        for key in order.keys:
            if key.status in UNDELIVERED or key.status is KeyStatus.DELIVERED:
                self._give_back(key, KeyStatus.REFUNDED)
        self._move(order, OrderStatus.REFUNDED)

    def ask_return(self, order: Order) -> None:
        """Take a request to return keys, or refuse it by Kinguin's rules; the work follows later."""
        if order.returning:
            raise refused("ResourceLock", "Conflict with current resource version.")
        keys = list(order.keys)
        hopeful = any(each.status in UNDELIVERED or self._returnable(each) for each in keys)
        barred = order.return_asked or order.preorder_date is not None or any(each.wholesale for each in order.lines)
        if barred or not hopeful:
            raise refused("NoKeysToReturn", "Return keys is not allowed for current resource version.")
        order.return_asked = order.returning = True
        self.background.spawn(self._take_back(order))

    async def _take_back(self, order: Order) -> None:
        await asyncio.sleep(self.panel.dials.key_delay)
        for key in order.keys:
            if self._returnable(key):
                self._give_back(key, KeyStatus.RETURNED)
        order.returning = False
        if all(each.status is KeyStatus.RETURNED for each in order.keys):
            self._move(order, OrderStatus.REFUNDED)

    def _returnable(self, key: Key) -> bool:
        fresh = key.delivered_at is not None and self.clock() < key.delivered_at + _RETURN_SECONDS
        return key.status is KeyStatus.DELIVERED and fresh and not key.claimed

    def _deliver(self, key: Key) -> None:
        key.status, key.delivered_at = KeyStatus.DELIVERED, self.clock()
        purchase = key.line.purchase
        purchase.keys += (key.serial,)
        if not any(each.status in UNDELIVERED for each in key.line.keys):
            purchase.delivered_at = key.delivered_at

    def _give_back(self, key: Key, status: KeyStatus) -> None:
        if key.status is KeyStatus.DELIVERED:
            key.line.purchase.taken_back += (key.serial,)
        key.status = status
        self.account.balance += key.line.price

    def _settle(self, order: Order) -> None:
        """Say how the order ended once no key is awaited; a return that waited for its keys goes on."""
        if order.status is OrderStatus.PROCESSING and not any(each.status in UNDELIVERED for each in order.keys):
            delivered = [each.status is KeyStatus.DELIVERED for each in order.keys]
            mixed = OrderStatus(self.panel.dials.partial_status) if any(delivered) else OrderStatus.CANCELED
            self._move(order, OrderStatus.COMPLETED if all(delivered) else mixed)
        if order.return_asked and not order.returning:
            order.returning = True
            self.background.spawn(self._take_back(order))

    def _move(self, order: Order, status: OrderStatus) -> None:
        order.status, order.updated_at = status, self.clock()
        self.notices.order_status(order)


def _fate(dials: Dials, drawn: float) -> _Fate:
    for fate, share in (
        (_Fate.STUCK, dials.order_stuck),
        (_Fate.CANCELED, dials.order_canceled),
        (_Fate.REFUNDED, dials.order_refunded),
    ):
        if drawn < share:
            return fate
        drawn -= share
    return _Fate.DELIVERED
