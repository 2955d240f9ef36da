"""Single values in the API's answers: ids, money, counts, times. What cannot be one is None."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from fulfillment.kinguin.wire import Json

_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_MONEY: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,18})?", re.ASCII)
_MAX_MONEY: Final = Decimal(10) ** 12
_MAX_PLACES: Final = 18


def identity(value: Json) -> str | None:
    """Return an id: the documentation has some as numbers in one place and as texts in another."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and _ID.fullmatch(value) and value.strip(".") else None


def money(value: Json) -> Decimal | None:
    """Return an amount of EUR that is not negative; the API has it as a number, here and there as a text."""
    if isinstance(value, str) and _MONEY.fullmatch(value):
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value < _MAX_MONEY:
        return None
    amount = Decimal(value)
    exponent = amount.as_tuple().exponent
    # 1e-999999999 takes a gigabyte to write out, and PostgreSQL cannot store it.
    return amount if isinstance(exponent, int) and exponent >= -_MAX_PLACES else None


def count(value: Json) -> int | None:
    """Return a whole number that is not negative."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def moment(value: Json) -> datetime | None:
    """Return a time in UTC; a day stands for its beginning, a time without offset for one in UTC."""
    if not isinstance(value, str):
        return None
    try:
        told = datetime.fromisoformat(value)
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def listed(value: Json) -> list[dict[str, Json]] | None:
    """Return a list of objects."""
    if not isinstance(value, list):
        return None
    entries = [each for each in value if isinstance(each, dict)]
    return entries if len(entries) == len(value) else None
