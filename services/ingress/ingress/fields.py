"""Reads single fields of a notification; every refusal names the field and never quotes it."""

import contextlib
import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal

from bitloot.canonical_json import JsonValue, plain_id
from ingress.notification import NotAccepted, Reason

Document = dict[str, JsonValue]

_MAX_WORD = 128
_MAX_PLACES = 18
_AMOUNT_LIMIT = 10**18
_NUMERIC = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_SMALLEST = Decimal(1).scaleb(-_MAX_PLACES)
_ROUNDING = Context(prec=80)  # more than 18 digits before and after the point
_WORD = re.compile(r"[\x21-\x7e]+( [\x21-\x7e]+)*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURRENCY = re.compile(r"[a-z0-9]{2,20}")


def refuse(name: str, expected: str) -> NotAccepted:
    """Return the refusal of a field that is not what is `expected` of it."""
    return NotAccepted(400, Reason.BAD_FIELD, f"`{name}` is not {expected}.")


def word(document: Document, name: str) -> str | None:
    """Return a short printable ASCII text; a number is taken by its digits, blank and null as absent."""
    value = document.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        return None
    if not isinstance(value, str):
        raise refuse(name, "a text")
    value = value.strip()
    if value and (len(value) > _MAX_WORD or not _WORD.fullmatch(value)):
        raise refuse(name, f"a printable text of at most {_MAX_WORD} characters")
    return value or None


def label(document: Document, *names: str) -> str:
    """Return the first of the fields that is a `word`, else `unknown`: for what is only logged."""
    for name in names:
        with contextlib.suppress(NotAccepted):
            if found := word(document, name):
                return found
    return "unknown"


def identifier(document: Document, name: str) -> str | None:
    """Return an id of plain digits, sent as number or text; None when absent or null."""
    value = document.get(name)
    if value is None:
        return None
    if (plain := plain_id(value)) is None:
        raise refuse(name, "an id in plain digits")
    return plain


def currency(document: Document, name: str) -> str | None:
    """Return a currency or coin in lower case; None when absent or null."""
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value.strip().lower()):
        raise refuse(name, "a currency")
    return value.strip().lower()


def exact_amount(document: Document, name: str) -> Decimal | None:
    """Return an amount, sent as number or text, to the last digit; None when absent or null."""
    amount = _amount(document, name)
    if amount is None:
        return None
    text = digits(amount)  # not `normalize`, which rounds to the precision of the context
    if len(text.partition(".")[2]) > _MAX_PLACES:
        raise refuse(name, f"an amount with at most {_MAX_PLACES} decimal places")
    return Decimal(text)


def coin_amount(document: Document, name: str) -> Decimal | None:
    """Return an amount of coins, rounded to 18 places: the provider computes them with doubles."""
    amount = _amount(document, name)
    if amount is None:
        return None
    return Decimal(digits(amount.quantize(_SMALLEST, context=_ROUNDING)))


def instant(document: Document, name: str) -> datetime | None:
    """Return a time sent as ISO 8601 (UTC unless it says otherwise) or as integer milliseconds.

    Senders disagree on the form and may leave it out; an unreadable time is as good as none.
    """
    match document.get(name):
        case bool():
            return None
        case int(milliseconds):
            try:
                return _EPOCH + timedelta(milliseconds=milliseconds)
            except OverflowError:
                return None
        case str(text):
            try:
                moment = datetime.fromisoformat(text.strip())
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
            except (ValueError, OverflowError):
                return None
        case _:
            return None


def digits(amount: Decimal | None) -> str:
    """Write an amount in one way only: no exponent, no zeros at the end."""
    if amount is None:
        return ""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _amount(document: Document, name: str) -> Decimal | None:
    match document.get(name):
        case None:
            return None
        case bool():
            raise refuse(name, "an amount")
        case (int() | Decimal()) as number:
            amount = Decimal(number)
        case str(text) if _NUMERIC.fullmatch(text.strip()):
            amount = Decimal(text.strip())
        case _:
            raise refuse(name, "an amount")
    if not 0 <= amount < _AMOUNT_LIMIT:
        raise refuse(name, "an amount from 0 to under 10^18")
    return amount
