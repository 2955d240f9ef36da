"""What the table of sales holds: a sale as bytes, with when it wants to be woken before the rest."""

import struct
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from fulfillment.selling.reservation import Sale

_SALE = TypeAdapter(Sale)
_TIME = struct.Struct(">q")  # microseconds since 1970, 0 for none
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def sale_to_bytes(sale: Sale) -> bytes:
    """Return a sale as bytes."""
    micros = 0 if sale.wake_at is None else (sale.wake_at - _EPOCH) // _MICROSECOND
    return _TIME.pack(micros) + _SALE.dump_json(sale, exclude_none=True)


def sale_from_bytes(value: bytes) -> Sale:
    """Return the sale that `sale_to_bytes` wrote. Raises `ValueError` for any other bytes."""
    return _SALE.validate_json(value[_TIME.size :])


def wake_of(value: bytes) -> datetime | None:
    """Return when the sale in `value` wants to be woken, without reading the rest of it."""
    micros: int = _TIME.unpack_from(value)[0]
    return _EPOCH + micros * _MICROSECOND if micros else None
