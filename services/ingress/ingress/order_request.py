"""What the shop asks for: read strictly, normalized, and known again by its hash. Pure."""

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from bitloot.canonical_json import parse
from bitloot.errors import Malformed
from bitloot.problem import Problem
from ingress.fields import digits
from ingress.notification import describe_hazards

_MAX_EMAIL = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets
_MAX_PRICE = 10**9
_PRICE = re.compile(r"[0-9]{1,10}(\.[0-9]{1,20})?")
# Control characters, half characters, line and paragraph separators; `_TURNERS` can make a title read otherwise.
_UNPRINTABLE = frozenset(("Cc", "Cs", "Zl", "Zp"))
_TURNERS = re.compile("[\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one order may ask for."""

    items: int
    quantity: int


def _email(value: str) -> str:
    if len(value) > _MAX_EMAIL:
        raise ValueError(f"it has more than {_MAX_EMAIL} characters")
    try:
        # `.test` is taken, for tries from end to end; names that can never exist, such as `.invalid`, are not.
        found = validate_email(
            value,
            strict=True,  # lengths included
            check_deliverability=False,
            test_environment=True,
            allow_smtputf8=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
        )
    except EmailNotValidError:
        raise ValueError("it is not a mail address") from None
    if found.ascii_email is None or "." not in (found.ascii_domain or ""):
        raise ValueError("it is not a mail address")
    return found.ascii_email


def _price(value: Any) -> Any:
    """Take a number by its raw digits or a text of digits; never a float, which has lost some already."""
    if isinstance(value, str):
        if not _PRICE.fullmatch(value):
            raise ValueError("it is not an amount such as 19.99")
        return Decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return value


def _title(value: str) -> str:
    if any(unicodedata.category(each) in _UNPRINTABLE for each in value) or _TURNERS.search(value):
        raise ValueError("it has characters that are not for display")
    if not value.strip():
        raise ValueError("it is blank")
    return value.strip()


def _limits(info: ValidationInfo) -> Limits:
    if not isinstance(info.context, Limits):
        raise TypeError("validate with Limits as the context")
    return info.context


class _Strict(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class ItemRequest(_Strict):
    """One line. `unit_price` is in the order's currency; `offer_id` is an offer of Kinguin's to buy from, and no other.

    Large quantities cost less from an offer that sells wholesale.
    """

    product_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}\z")]
    title: Annotated[str, StringConstraints(max_length=200), AfterValidator(_title)]
    quantity: Annotated[int, Field(ge=1)]
    unit_price: Annotated[Decimal, Field(gt=0, le=_MAX_PRICE, decimal_places=8), BeforeValidator(_price)]
    offer_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}\z")] | None = None

    @field_validator("quantity")
    @classmethod
    def _within_limit(cls, value: int, info: ValidationInfo) -> int:
        if value > _limits(info).quantity:
            raise ValueError(f"at most {_limits(info).quantity} keys may be ordered on one line")
        return value


class OrderRequest(_Strict):
    """A whole order. Equal requests have equal hashes, however they were spelled.

    `pay_currency` asks for an address in that coin; without it the buyer chooses on the provider's page.
    """

    email: Annotated[str, AfterValidator(_email)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{2,20}\z", to_lower=True)]
    pay_currency: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{2,20}\z", to_lower=True)] | None = None
    items: Annotated[tuple[ItemRequest, ...], Field(min_length=1, strict=False)]

    @field_validator("items")
    @classmethod
    def _within_limit(cls, value: tuple[ItemRequest, ...], info: ValidationInfo) -> tuple[ItemRequest, ...]:
        if len(value) > _limits(info).items:
            raise ValueError(f"an order may have at most {_limits(info).items} items")
        return value

    @model_validator(mode="after")
    def _payable(self) -> "OrderRequest":
        # NOWPayments keeps prices as doubles and tells them back so: a total that is none would never be paid.
        if Decimal(repr(float(self.total))) != self.total:
            raise ValueError("the total has more digits than the payment provider keeps")
        return self

    @property
    def total(self) -> Decimal:
        """What the order costs, in its currency."""
        return sum((item.unit_price * item.quantity for item in self.items), Decimal(0))

    @property
    def hash(self) -> str:
        """SHA-256, in hex, of what is asked for."""
        lines = [
            [each.product_id, each.title, each.quantity, digits(each.unit_price), *filter(None, [each.offer_id])]
            for each in self.items
        ]
        coin = [] if self.pay_currency is None else [self.pay_currency]
        normal = json.dumps([self.email, self.currency, lines, *coin], separators=(",", ":"))
        return hashlib.sha256(normal.encode()).hexdigest()


def read_order(body: bytes, limits: Limits) -> OrderRequest:
    """Read a body. Raises `Problem` 400 unless it is one sound JSON value, pydantic's error for a wrong order."""
    try:
        parsed = parse(body)
    except Malformed as error:
        raise Problem(400, f"The body cannot be read: {error.detail}.") from error
    if found := describe_hazards(parsed):
        raise Problem(400, f"The body is not acceptable: {found}.")
    return OrderRequest.model_validate(parsed.value, context=limits)
