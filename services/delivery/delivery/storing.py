"""Opens sealed codes and writes them to object storage, once: texts as one list, each picture as an object."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from bitloot.contracts.effects import StoreKeys
from bitloot.contracts.events import KeysStored, StoredObject
from bitloot.contracts.sealed import SealedCode
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import Cause, Malformed, Refused, Transient
from bitloot.ids import ItemId, OrderId, outcome_id
from delivery.clock import Clock

JSON: Final = "application/json"

_AT_ONCE = 8
_PICTURES: Final = {
    # What a file of that type begins with: a browser must not be shown something else under its name.
    "image/png": ("png", b"\x89PNG\r\n\x1a\n"),
    "image/jpeg": ("jpg", b"\xff\xd8\xff"),
    "image/gif": ("gif", b"GIF8"),
}


class KeyStore(Protocol):
    """Where plain codes rest. Private: an object is read by whoever has its link, and by nobody else."""

    async def put_new(self, object_key: str, body: bytes, content_type: str = JSON) -> bool:
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


@dataclass(frozen=True, slots=True)
class _Key:
    """A key that was opened: the `position`-th of its item, the `number`-th of the order."""

    item_id: ItemId
    position: int
    number: int
    content: bytes = field(repr=False)
    media_type: str = "text/plain"


def object_key(order: OrderId) -> str:
    """Return the name of the object that holds an order's texts."""
    return f"keys/{order}.json"


def picture_key(order: OrderId, number: int, media_type: str) -> str:
    """Return the name of the object that holds the `number`-th key of an order, which is a picture."""
    return f"keys/{order}/{number}.{_PICTURES[media_type][0]}"


async def store_keys(effect: StoreKeys, *, opener: CodeOpener, store: KeyStore, clock: Clock) -> KeysStored:
    """Write the order's codes and return the outcome. The list of texts comes last: where it is, all is.

    Repeating it is harmless: each object is written once, and one of equal content that is there already
    (an earlier try whose answer was lost) is as good. Raises `Transient`, or `Refused` when the codes
    cannot be opened, are neither text nor picture, repeat each other, or when an object has other content.
    """
    keys = _opened(effect, opener)
    if len({key.content for key in keys}) < len(keys):
        # Nobody before this worker could see it: sealed twice, the same code looks different.
        raise Refused(Cause.DUPLICATE_KEY, f"{len(keys) - len({key.content for key in keys})} of {len(keys)} repeat")
    pictures = [key for key in keys if key.media_type in _PICTURES]
    objects = await _store_pictures(effect.order_id, pictures, store)
    name, body = object_key(effect.order_id), content([key.content.decode() for key in keys if key not in pictures])
    await _write(store, name, body, JSON)
    reach(CrashPoint.STORAGE_WRITTEN)
    return KeysStored(
        event_id=outcome_id(effect.effect_id, "stored"),
        occurred_at=clock(),
        order_id=effect.order_id,
        effect_id=effect.effect_id,
        object_key=name,
        sha256=hashlib.sha256(body).hexdigest(),
        codes=len(keys),
        objects=objects,
    )


async def _store_pictures(order: OrderId, pictures: Sequence[_Key], store: KeyStore) -> tuple[StoredObject, ...]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def write(key: _Key) -> StoredObject:
        name = picture_key(order, key.number, key.media_type)
        async with gate:
            await _write(store, name, key.content, key.media_type)
        return StoredObject(item_id=key.item_id, position=key.position, object_key=name, media_type=key.media_type)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(write(key)) for key in pictures]
    except* (Transient, Refused) as failed:
        raise failed.exceptions[0] from None
    return tuple(task.result() for task in tasks)


async def _write(store: KeyStore, name: str, body: bytes, content_type: str) -> None:
    if not await store.put_new(name, body, content_type) and await store.get(name) != body:
        raise Refused(Cause.CONFLICT, "an object of the order exists with other codes")


def content(codes: list[str]) -> bytes:
    """Return the object's bytes: `{"codes": [...]}` in UTF-8, the same for the same codes."""
    return json.dumps({"codes": codes}, ensure_ascii=False).encode()


def _opened(effect: StoreKeys, opener: CodeOpener) -> list[_Key]:
    """Open all codes, items in order."""
    each = ((item, position, code) for item in effect.items for position, code in enumerate(item.codes, start=1))
    return [
        _Key(item.item_id, position, number, _open(code, f"code {position} of {item.item_id}", opener), code.media_type)
        for number, (item, position, code) in enumerate(each, start=1)
    ]


def _open(code: SealedCode, which: str, opener: CodeOpener) -> bytes:
    """Return a code that is plain text or a picture; `which` names it in the error, never its content."""
    if code.media_type != "text/plain" and code.media_type not in _PICTURES:
        raise Refused(Cause.UNSUPPORTED_MEDIA, f"{which} is {code.media_type}, neither text nor picture")
    try:
        opened = opener.open(code)
        if code.media_type == "text/plain":
            opened.decode()
    except Malformed as error:
        # For the order it is a refusal: the record is well-formed, and a human can add the missing key.
        raise Refused(error.cause, f"{which}: {error.detail}") from error
    except UnicodeDecodeError:
        raise Refused(Cause.UNSUPPORTED_MEDIA, f"{which} is not UTF-8 text") from None
    if code.media_type in _PICTURES and not opened.startswith(_PICTURES[code.media_type][1]):
        raise Refused(Cause.UNSUPPORTED_MEDIA, f"{which} is not the {code.media_type} that it is said to be")
    return opened
