"""Opens sealed codes and writes them to object storage, once."""

import hashlib
import json
from typing import Protocol

from bitloot.contracts.effects import ItemKeys, StoreKeys
from bitloot.contracts.events import KeysStored
from bitloot.contracts.sealed import SealedCode
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import Cause, Malformed, Refused
from bitloot.ids import OrderId, outcome_id
from delivery.clock import Clock

CONTENT_TYPE = "application/json"


class KeyStore(Protocol):
    """Where plain codes rest. Private: an object is read by whoever has its link, and by nobody else."""

    async def put_new(self, object_key: str, body: bytes) -> bool:
        """Write an object unless there is one of that name; tell whether it was written.

        Raises `Transient` or `Refused`.
        """
        ...

    async def get(self, object_key: str) -> bytes:
        """Return an object's bytes. Raises `Transient` or `Refused`."""
        ...


class CodeOpener(Protocol):
    """Holds the private keys."""

    def open(self, sealed: SealedCode) -> bytes:
        """Return what was sealed. Raises `Malformed` for a box that does not open here."""
        ...


def object_key(order: OrderId) -> str:
    """Return the name of the object that holds an order's codes."""
    return f"keys/{order}.json"


async def store_keys(effect: StoreKeys, *, opener: CodeOpener, store: KeyStore, clock: Clock) -> KeysStored:
    """Write the order's codes as one object and return the outcome.

    Repeating it is harmless: the object is written once, and one of equal content that is there already
    (an earlier try whose answer was lost) is as good. Raises `Transient`, or `Refused` when the codes
    cannot be opened, are no text, repeat each other, or when the object has other content.
    """
    codes = [code for item in effect.items for code in _open(item, opener)]
    if len(set(codes)) < len(codes):
        # Nobody before this worker could see it: sealed twice, the same code looks different.
        raise Refused(Cause.DUPLICATE_KEY, f"{len(codes) - len(set(codes))} of {len(codes)} codes repeat another")
    key, body = object_key(effect.order_id), content(codes)
    if not await store.put_new(key, body) and await store.get(key) != body:
        raise Refused(Cause.CONFLICT, "the order's object exists with other codes")
    reach(CrashPoint.STORAGE_WRITTEN)
    return KeysStored(
        event_id=outcome_id(effect.effect_id, "stored"),
        occurred_at=clock(),
        order_id=effect.order_id,
        effect_id=effect.effect_id,
        object_key=key,
        sha256=hashlib.sha256(body).hexdigest(),
        codes=len(codes),
    )


def content(codes: list[str]) -> bytes:
    """Return the object's bytes: `{"codes": [...]}` in UTF-8, the same for the same codes."""
    return json.dumps({"codes": codes}, ensure_ascii=False).encode()


def _open(item: ItemKeys, opener: CodeOpener) -> list[str]:
    return [_text(code, f"code {number} of {item.item_id}", opener) for number, code in enumerate(item.codes, 1)]


def _text(code: SealedCode, which: str, opener: CodeOpener) -> str:
    """Return a code that is plain text; `which` names it in the error, never its content."""
    if code.media_type != "text/plain":
        raise Refused(Cause.UNSUPPORTED_MEDIA, f"{which} is {code.media_type}, not text")
    try:
        return opener.open(code).decode()
    except Malformed as error:
        # For the order it is a refusal: the record is well-formed, and a human can add the missing key.
        raise Refused(error.cause, f"{which}: {error.detail}") from error
    except UnicodeDecodeError:
        raise Refused(Cause.UNSUPPORTED_MEDIA, f"{which} is not UTF-8 text") from None
