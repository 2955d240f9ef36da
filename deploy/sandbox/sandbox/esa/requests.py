"""What a buyer may send: order bodies and queries, each limit with Kinguin's words for breaking it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, TypeVar

from sandbox.calls import Call
from sandbox.esa.errors import violation
from sandbox.esa.goods import RETAIL_MOST, WHOLESALE_MOST
from sandbox.javascript import Json

_MOST_LINES = 10
_MOST_KEYS = 90
_PAGE = 25
_MOST_PER_PAGE = 100
_DATES = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S%z")

Item = TypeVar("Item")
IdName = Literal["kinguinId", "productId"]


@dataclass(frozen=True, slots=True)
class LineWish:
    """One of the `products` that somebody wants."""

    # Where it stands in the body, as errors spell it: `products[0]`.
    path: str
    product: str | int
    quantity: int
    # EUR a key; the most that may be paid.
    price: Decimal
    text_only: bool
    offer_id: str | None


@dataclass(frozen=True, slots=True)
class OrderWish:
    """Body of `POST /v1/order` or `/v2/order`."""

    lines: tuple[LineWish, ...]
    external_id: str | None


def order_wish(call: Call, id_name: IdName) -> OrderWish:
    """Read the body; raises the violation of the first limit that it breaks."""
    try:
        body = call.json()
        # JSON can smuggle in half a character, which nobody can answer in UTF-8.
        json.dumps(body, ensure_ascii=False, default=str).encode()
    except (ValueError, RecursionError) as error:
        raise violation("", "The body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise violation("", "The body must be an object.")
    products = body.get("products")
    if not isinstance(products, list) or not products:
        raise violation("products", "This value should not be blank.")
    if len(products) > _MOST_LINES:
        raise violation("products", "This collection should contain 10 elements or less.", len(products))
    lines = tuple(_line(f"products[{place}]", each, id_name) for place, each in enumerate(products))
    if len({each.product for each in lines}) < len(lines):
        detail = f"This collection should contain only elements with unique value in {id_name}."
        raise violation("products", detail)
    _check_sum(lines)
    return OrderWish(lines, _text(body, "orderExternalId", ""))


def _check_sum(lines: tuple[LineWish, ...]) -> None:
    total = sum(each.quantity for each in lines)
    most = WHOLESALE_MOST if any(each.quantity > RETAIL_MOST for each in lines) else _MOST_KEYS
    if total > most:
        detail = f'Invalid "products" property. Sum of total values of "qty" must be lower than or equal {most}.'
        raise violation("products", detail, total)


def _line(path: str, line: object, id_name: IdName) -> LineWish:
    if not isinstance(line, dict):
        raise violation(path, "This value should be an object.")
    quantity, price = line.get("qty"), line.get("price")
    if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 1:
        raise violation(f"{path}.qty", "This value should be an integer of 1 or more.", _plain(quantity))
    if not isinstance(price, (int, Decimal)) or isinstance(price, bool) or not 0 < price < Decimal(10) ** 9:
        raise violation(f"{path}.price", "This value should be a positive number.", _plain(price))
    key_type = _text(line, "keyType", f"{path}.")
    if key_type not in (None, "text"):
        raise violation(f"{path}.keyType", "The value you selected is not a valid choice.", key_type)
    offer_id = _text(line, "offerId", f"{path}.")
    most = RETAIL_MOST if offer_id is None else WHOLESALE_MOST
    if quantity > most:
        raise violation(f"{path}.qty", f"This value should be less than or equal to {most}.", quantity)
    return LineWish(path, _product(path, line, id_name), quantity, Decimal(price), key_type == "text", offer_id)


def _product(path: str, line: Mapping[str, object], id_name: IdName) -> str | int:
    found = line.get(id_name)
    fitting = isinstance(found, str) if id_name == "productId" else isinstance(found, int) and found is not True
    if not fitting or not found or not isinstance(found, (str, int)):
        raise violation(f"{path}.{id_name}", "This value should not be blank.", _plain(found))
    return found


def _text(body: Mapping[str, object], name: str, path: str) -> str | None:
    found = body.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or not 1 <= len(found) <= 255:
        raise violation(path + name, "This value should be a text of 1 to 255 characters.", _plain(found))
    return found


def _plain(value: object) -> Json:
    """Return the value where it is short and simple, to be told back."""
    return value if isinstance(value, (int, Decimal, bool)) or (isinstance(value, str) and len(value) < 100) else None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    number: int
    limit: int

    def of(self, items: list[Item]) -> list[Item]:
        """Return the part."""
        start = (self.number - 1) * self.limit
        return items[start : start + self.limit]


def page(call: Call) -> Page:
    """Read `page` (1) and `limit` (25, at most 100)."""
    return Page(whole(call, "page", 1), whole(call, "limit", _PAGE, _MOST_PER_PAGE))


def whole(call: Call, name: str, default: int, most: int = 2**31 - 1) -> int:
    """Read a positive whole number of the query."""
    text = call.request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= most):
        raise violation(name, f"This value should be between 1 and {most}.", text[:100])
    return int(text)


def moment(call: Call, name: str) -> float | None:
    """Read a date of the query in one of Kinguin's five spellings; seconds since 1970, UTC where no zone is named."""
    # A "+" of the offset that nobody escaped arrives as a space.
    text = call.request.query.get(name)
    if text is None:
        return None
    for candidate in (text, text.replace(" ", "+")):
        for spelling in _DATES:
            try:
                found = datetime.strptime(candidate, spelling)  # noqa: DTZ007 - the zone is added below
            except ValueError:
                continue
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    raise violation(name, "This value is not a valid date.", text[:100])


def yes_or_no(call: Call, name: str) -> bool | None:
    """Read a flag of the query."""
    text = call.request.query.get(name)
    if text not in (None, "yes", "no"):
        raise violation(name, "The value you selected is not a valid choice.", text[:100])
    return None if text is None else text == "yes"
