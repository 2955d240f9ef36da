"""The forms that questions and answers share. Names are camelCase in JSON."""

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from bitloot.redaction import without_mail_addresses

MAX_LIMIT = 100
DEFAULT_LIMIT = 50
_MAX_OFFSET = 10_000  # each page before costs what it is itself: farther on, cursors

_DIGITS = re.compile(r"[0-9]{1,16}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}.*")

T = TypeVar("T")


def _decimal_digits(value: object) -> object:
    # Pydantic alone would take " 7 ", "1_0" and "7.0" as well.
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("It is not a whole number.")
    return value


def _iso_time(value: object) -> object:
    # Pydantic alone would take numbers, bare ones as JSON has them too, as seconds since 1970.
    if not isinstance(value, datetime) and not (isinstance(value, str) and _TIME.fullmatch(value)):
        raise ValueError("It is not a time like 2026-01-31T12:00:00Z. A plus sign is written %2B in an address.")
    return value


def printable(value: str) -> str:
    """Refuse what is no text. Raises `ValueError`."""
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        raise ValueError("It has characters that are not text.")
    return value


# The limits stand before the validator: behind it they would not reach the OpenAPI document.
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_decimal_digits)]
Offset = Annotated[int, Field(ge=0, le=_MAX_OFFSET), BeforeValidator(_decimal_digits)]
RowNumber = Annotated[int, Field(ge=0, lt=2**53), BeforeValidator(_decimal_digits)]
Moment = Annotated[AwareDatetime, BeforeValidator(_iso_time)]
"""A time with its zone, in ISO 8601."""
Words = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(printable)]
"""What an admin looks for: compared as it stands."""
OrderIdText = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", to_lower=True)
]


def _nobody_named(text: str) -> str:
    if without_mail_addresses(text) != text:
        raise ValueError("it has a mail address: it is kept where nothing can be taken out, so name nobody")
    return text


Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000),
    AfterValidator(printable),
    AfterValidator(_nobody_named),
]
"""Why; kept with the event and in the audit log for good, so that it names no buyer."""
ActionKey = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")]
"""One click: the same key again is the same click."""


CursorText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,400}\.[A-Za-z0-9_-]{1,100}$")]
"""After which row of which list a page begins."""


class Question(BaseModel):
    """What a request asks: the parameters of its path, its query and its headers."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, hide_input_in_errors=True)


class Nothing(Question):
    """Nothing in particular."""


class Paging(Question):
    """Which page of a list."""

    limit: Annotated[Limit, Field(description="How many at most")] = DEFAULT_LIMIT
    offset: Annotated[Offset, Field(description="How many to skip, 10,000 at most: farther on lead cursors only")] = 0
    cursor: Annotated[
        CursorText | None, Field(description="The `next` or `previous` of another page, instead of an offset")
    ] = None


class Answer(BaseModel):
    """What is answered; made from rows of the database, whose names are in snake_case."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=False, frozen=True)


class Page(Answer, Generic[T]):
    """A page of a list, and how many there are in all."""

    items: list[T]
    total: Annotated[int, Field(description="How many there are in all; an estimate where `totalExact` is false")]
    total_exact: bool
    limit: int
    offset: int
    next: Annotated[str | None, Field(description="The cursor of the next page; null on the last one")]
    previous: Annotated[str | None, Field(description="The cursor of the page before; null on the first one")]
    as_of: Annotated[
        datetime | None,
        Field(description="All that Kafka had by then is in this answer; null when that is not known"),
    ]


class Accepted(Answer):
    """An action that was written to Kafka. What becomes of it shows in the order's timeline."""

    action_id: str


class ProblemDocument(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str | None = None
