"""An order to bytes and back, for the table that holds it."""

from pydantic import TypeAdapter

from fulfillment.order import Order

_ADAPTER = TypeAdapter(Order)


def to_bytes(order: Order) -> bytes:
    """Return an order as JSON bytes."""
    return _ADAPTER.dump_json(order, exclude_none=True)


def from_bytes(value: bytes) -> Order:
    """Return the order that `to_bytes` wrote. Raises `ValueError` when the bytes are anything else."""
    return _ADAPTER.validate_json(value)
