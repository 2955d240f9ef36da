"""What the tables hold: an order or a route as bytes.

An order's bytes start with the time at which it wants to be woken, so that the timers can be set again
after a restart by looking at eight bytes of every order, not at all of it.
"""

import struct
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from fulfillment.order import Order, wake_at
from fulfillment.routing import Route

_ORDER = TypeAdapter(Order)
_ROUTE = TypeAdapter(Route)
_WAKE = struct.Struct(">q")  # microseconds since 1970, 0 for never
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def order_to_bytes(order: Order) -> bytes:
    """Return an order as bytes: its wake-up time, then JSON."""
    wake = wake_at(order)
    micros = 0 if wake is None else (wake - _EPOCH) // _MICROSECOND
    return _WAKE.pack(micros) + _ORDER.dump_json(order)  # with nulls: the item of a delivery's outbox entry is one


def order_from_bytes(value: bytes) -> Order:
    """Return the order that `order_to_bytes` wrote. Raises `ValueError` for any other bytes."""
    return _ORDER.validate_json(value[_WAKE.size :])


def wake_of(value: bytes) -> datetime | None:
    """Return when the order in `value` wants to be woken, without reading the rest of it."""
    (micros,) = _WAKE.unpack_from(value)
    return _EPOCH + micros * _MICROSECOND if micros else None


def route_to_bytes(route: Route) -> bytes:
    """Return a route as JSON bytes."""
    return _ROUTE.dump_json(route, exclude_none=True)


def route_from_bytes(value: bytes) -> Route:
    """Return the route that `route_to_bytes` wrote. Raises `ValueError` for any other bytes."""
    return _ROUTE.validate_json(value)
