"""What the words in Kinguin's answers mean for us."""

import re
from enum import StrEnum
from typing import Final

from bitloot.errors import BitLootError, Cause, Refused, Transient, Unknown
from bitloot.ids import ReservationId
from fulfillment.kinguin.gateway import REPAIR_SECONDS, describe, kind_of, lost
from fulfillment.kinguin.wire import Answer, Json, Unreadable

_RESERVATION_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_MAX_DIGITS: Final = 10
_STATUS: Final = re.compile(r"[A-Za-z_]{1,40}", re.ASCII)


class Standing(StrEnum):
    """How far a purchase came."""

    RESERVED = "reserved"
    GIVEN = "given"  # bought
    DELIVERED = "delivered"  # bought, and all of its codes are there
    CANCELED = "canceled"  # ended without a purchase
    REFUNDED = "refunded"  # bought, and the money went back
    UNKNOWN = "unknown"  # a word that we do not know, or none


_STANDINGS: Final = {
    word: standing
    for standing, words in {
        Standing.RESERVED: "reserve reserved buying created new",
        Standing.GIVEN: "give given bought paid processing processingpreorder",
        Standing.DELIVERED: "delivered completed complete",
        Standing.CANCELED: "cancel canceled cancelled expired",
        Standing.REFUNDED: "refund refunded reverse reversed return returned",
    }.items()
    for word in words.split()
}

_KINDS: Final = {
    word: cause
    for cause, words in {
        Cause.INSUFFICIENT_BALANCE: "insufficientbalance insufficientfunds notenoughfunds",
        Cause.OUT_OF_STOCK: "outofstock nostock productunavailable offerunavailable productnotfound",
        Cause.NOT_VISIBLE: "notvisible productnotvisible offernotvisible offerinactive offernotactive offerblocked",
        Cause.PRICE_CHANGED: "pricechanged pricemismatch",
        Cause.CANCELED: "canceled cancelled reservationended reservationcanceled reservationexpired",
        Cause.REFUNDED: "refunded reversed returned reservationrefunded reservationreversed",
        Cause.NOT_FOUND: "reservationnotfound ordernotfound",
        Cause.REJECTED: "constraintviolation validation preorder ordernotsupported nokeystoreturn",
    }.items()
    for word in words.split()
}

_UNCLEAR: Final = frozenset({"orderfailed", "http", "httpclient", "error", "resourcelock"})
"""Kinds that tell of a failure inside, whatever their status."""

_STATUSES: Final = {410: Cause.CANCELED}

TOP_UP_SECONDS: Final = 60.0
"""How often at most a purchase that waits for money is tried again."""


def standing_of(word: Json) -> Standing:
    """Return what a status word means, however it is spelled."""
    return _STANDINGS.get(_plain(word), Standing.UNKNOWN) if isinstance(word, str) else Standing.UNKNOWN


def shown_status(word: Json) -> str:
    """Return a status word as it may stand in events and logs: letters only, else nothing."""
    return word if isinstance(word, str) and _STATUS.fullmatch(word) else ""


def reservation_id(value: Json) -> ReservationId | None:
    """Return a reservation id (a text, or a whole number), or None when it cannot be one.

    It becomes a part of paths and the key of records, so it is plain visible ASCII and no mere dots.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _RESERVATION_ID.fullmatch(value) or not value.strip("."):
        return None
    return ReservationId(value)


def refusal(answer: Answer, *, not_found: Cause = Cause.NOT_FOUND) -> BitLootError:
    """Return the error for an answer with a 4xx status: by its kind where it names one, else by its status.

    `not_found` is what a 404 of the API itself means here.
    """
    kind, detail = _plain(kind_of(answer)), describe(answer)
    cause = _KINDS.get(kind, Cause.INSUFFICIENT_BALANCE if answer.status == 402 else None)
    if cause is Cause.INSUFFICIENT_BALANCE:
        # Nothing is wrong with the order: it goes on when the account has been topped up.
        return Transient(cause, detail, retry_after=TOP_UP_SECONDS)
    if cause is not None:
        return Refused(cause, detail)
    if not answer.is_read and _is_doubtful(kind, answer.status):
        return Unknown(Cause.CONFLICT if answer.status == 409 else Cause.REJECTED, detail)
    if kind in _UNCLEAR:
        return Transient(Cause.REJECTED, detail)
    return _refusal_by_status(answer, detail, not_found)


def _refusal_by_status(answer: Answer, detail: str, not_found: Cause) -> BitLootError:
    if answer.status in {401, 403}:
        # Repaired in an account, not in the order: an address not on the list, a right not given.
        return Transient(Cause.AUTHORIZATION, detail, retry_after=REPAIR_SECONDS)
    if answer.document is Unreadable.BODY and (answer.is_read or answer.status == 404):
        # Something in between that does not know the address, or an answer cut short: a "not yet" may be in it.
        return Transient(Cause.BAD_ANSWER, f"{detail}: not the API's own answer")
    if answer.status == 404:
        return Refused(not_found, detail)
    return Refused(_STATUSES.get(answer.status, Cause.REJECTED), detail)


def _is_doubtful(kind: str, status: int) -> bool:
    """Tell whether a refusal to do something leaves open that it has happened: ask before anything else.

    It exists already, something else has changed it at the same time, or it could not be done and nobody says why.
    """
    return kind in _UNCLEAR or "already" in kind or status == 409 or (status == 422 and not kind)


def document(answer: Answer) -> dict[str, Json]:
    """Return the members of a 2xx answer.

    Raises `Unknown`, for a read `Transient`, when it is an error in disguise or no object at all.
    """
    if not isinstance(answer.document, dict):
        raise bad(answer, "the answer is not a JSON object")
    if kind_of(answer) or answer.document.get("error"):
        raise bad(answer, "the answer is an error under a status of success")
    return answer.document


def array(answer: Answer) -> list[Json]:
    """Return the entries of a 2xx answer that is a bare list. Raises as `document`."""
    if not isinstance(answer.document, list):
        document(answer)
        raise bad(answer, "the answer is not a list")
    return answer.document


def check_whole(answer: Answer, told: Json, shown: int) -> None:
    """Hold how many entries the answer tells that there are against those that it shows. Raises as `document`."""
    if isinstance(told, str) and len(told) < _MAX_DIGITS and told.isascii() and told.isdigit():
        told = int(told)
    if told is not None and (isinstance(told, bool) or not isinstance(told, int) or told > shown):
        raise bad(answer, "it shows only a part of what there is")


def check_echo(answer: Answer, members: dict[str, Json], expected: dict[str, str]) -> None:
    """Hold what the answer repeats of our request against it; what it leaves out is fine. Raises as `document`."""
    for name, wanted in expected.items():
        told = members.get(name)
        if told is not None and (isinstance(told, bool) or str(told) != wanted):
            raise bad(answer, f"its {name} is not the one that was asked for")


def bad(answer: Answer, reason: str) -> BitLootError:
    """Return the error for an answer that its contract does not allow."""
    return lost(answer.method, Cause.BAD_ANSWER, f"{describe(answer)}: {reason}")


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())
