"""What is shown only to those who may see it: mail addresses and the bodies of notifications.

An answer is masked where it is written as JSON, by what its context says that the asker sees; without a context
everything is masked. Ids, names of fields and all else stay.
"""

import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import JsonValue, PlainSerializer, SerializationInfo

from admin_api.access.rights import UNMASKING, Asker, Right

Seen: TypeAlias = dict[str, frozenset[Right]]

HIDDEN = "(hidden)"
_ADDRESS = re.compile(r"[^\s@<>\"'(),:;\\\[\]]+@[^\s@<>\"'(),:;\\\[\]]+\.[^\s@<>\"'(),:;\\\[\]]+")


def seen_by(asker: Asker) -> Seen:
    """Return the context with which an answer to somebody is written."""
    return {"sees": asker.sees}


def may_see(asker: Asker) -> Seen:
    """Return the context for an answer to somebody who has said why they want to see it."""
    return {"sees": asker.rights & UNMASKING}


def hidden_address(address: str) -> str:
    """Return an address of which the domain and the first letter are left."""
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}***@{domain}" if at else address  # what was erased is empty


def without_addresses(value: JsonValue) -> JsonValue:
    """Return a value in which every text's mail addresses are hidden."""
    match value:
        case str():
            return _ADDRESS.sub(lambda found: hidden_address(found[0]), value)
        case list():
            return [without_addresses(each) for each in value]
        case dict():
            return {name: without_addresses(each) for name, each in value.items()}
        case _:
            return value


def _sees(info: SerializationInfo, right: Right) -> bool:
    context: Mapping[str, frozenset[Right]] = info.context or {}
    return right in context.get("sees", frozenset())


def _address(value: str, info: SerializationInfo) -> str:
    return value if _sees(info, Right.READ_ADDRESSES) else hidden_address(value)


def _prose(value: JsonValue, info: SerializationInfo) -> JsonValue:
    return value if _sees(info, Right.READ_ADDRESSES) else without_addresses(value)


def _body(value: str, info: SerializationInfo) -> str:
    return value if _sees(info, Right.READ_BODIES) else HIDDEN


def _content(value: JsonValue, info: SerializationInfo) -> JsonValue:
    return value if value is None or _sees(info, Right.READ_BODIES) else HIDDEN


def _texts(value: dict[str, str], info: SerializationInfo) -> dict[str, str]:
    return value if _sees(info, Right.READ_BODIES) else dict.fromkeys(value, HIDDEN)


Address = Annotated[str, PlainSerializer(_address, return_type=str)]
"""A mail address; without the right to see it, its first letter and its domain."""
Prose = Annotated[JsonValue, PlainSerializer(_prose, return_type=JsonValue)]
"""What may hold mail addresses somewhere; those are hidden without the right to see them."""
Body = Annotated[str, PlainSerializer(_body, return_type=str)]
"""What somebody sent; hidden as a whole without the right to see it."""
Content = Annotated[JsonValue, PlainSerializer(_content, return_type=JsonValue)]
"""The same, parsed."""
Headers = Annotated[dict[str, str], PlainSerializer(_texts, return_type=dict[str, str])]
"""Headers of what somebody sent: their names, and with the right to see them their values."""
