"""What the tables hold: an order, a route or the mark of a retired order as bytes.

The bytes of orders and routes start with times, so that the timers can be set again after a restart by looking at a
few bytes of every row, not at all of it.
"""

import struct
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from fulfillment.order import DEFAULT_POLICY, Order, Policy, wake_at
from fulfillment.routing import Route, overdue_at

_ORDER = TypeAdapter(Order)
_ROUTE = TypeAdapter(Route)
_TIME = struct.Struct(">q")  # microseconds since 1970, 0 for none
_TIMES = struct.Struct(">qq")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def order_to_bytes(order: Order, policy: Policy = DEFAULT_POLICY) -> bytes:
    """Return an order as bytes: when it wants to be woken, its own time, then JSON."""
    head = _TIMES.pack(_micros(wake_at(order, policy)), _micros(order.time))
    return head + _ORDER.dump_json(order)  # with nulls: the item of a delivery's outbox entry is one


def order_from_bytes(value: bytes) -> Order:
    """Return the order that `order_to_bytes` wrote. Raises `ValueError` for any other bytes."""
    return _ORDER.validate_json(value[_TIMES.size :])


class RecentOrders:
    """The orders that were written last, so that the next event of one need not read it: equal bytes, equal order.

    Most events of an order follow the last one within a second, and reading it is a twelfth of what an event costs.
    What the table holds still counts: only bytes that it gives are found here.
    """

    def __init__(self, most: int = 1000) -> None:
        self._orders: dict[bytes, Order] = {}
        self._most = most

    def read(self, value: bytes) -> Order:
        """Return the order that `order_to_bytes` wrote, and forget it. Raises `ValueError` for any other bytes."""
        known = self._orders.pop(value, None)
        return order_from_bytes(value) if known is None else known

    def keep(self, value: bytes, order: Order) -> None:
        """Remember what was written last for an order."""
        self._orders[value] = order
        if len(self._orders) > self._most:
            del self._orders[next(iter(self._orders))]


def wake_of(value: bytes) -> datetime | None:
    """Return when the order in `value` wants to be woken, without reading the rest of it."""
    return _time(_TIMES.unpack_from(value)[0])


def time_of(value: bytes) -> datetime | None:
    """Return the order's own time, likewise."""
    return _time(_TIMES.unpack_from(value)[1])


def route_to_bytes(route: Route) -> bytes:
    """Return a route as bytes: since when a notification waits in it, then JSON."""
    since = overdue_at(route, timedelta(0))
    return _TIME.pack(_micros(since)) + _ROUTE.dump_json(route, exclude_none=True)


def route_from_bytes(value: bytes) -> Route:
    """Return the route that `route_to_bytes` wrote. Raises `ValueError` for any other bytes."""
    return _ROUTE.validate_json(value[_TIME.size :])


def held_since(value: bytes) -> datetime | None:
    """Return since when a notification waits in the route in `value`, without reading the rest of it."""
    return _time(_TIME.unpack_from(value)[0])


def mark_to_bytes(closed_at: datetime) -> bytes:
    """Return what stays of a retired order: eight bytes that tell when it was closed."""
    return _TIME.pack(_micros(closed_at))


def mark_from_bytes(value: bytes) -> datetime:
    """Return when a retired order was closed. Raises `ValueError` when that cannot be read."""
    closed_at = _time(_TIME.unpack(value)[0]) if len(value) == _TIME.size else None
    if closed_at is None:
        raise ValueError("this is no mark of a retired order")
    return closed_at


def _micros(at: datetime | None) -> int:
    return 0 if at is None else (at - _EPOCH) // _MICROSECOND


def _time(micros: int) -> datetime | None:
    return _EPOCH + micros * _MICROSECOND if micros else None
