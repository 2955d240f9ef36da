"""One bounded HTTP exchange: so many bytes and no more, strict JSON, nothing followed, nothing quoted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Final, Literal, TypeAlias

import httpx

from bitloot.http_client import AS_IT_IS, read_within, retry_after
from fulfillment.kinguin.clock import Clock

Json: TypeAlias = "bool | int | Decimal | str | list[Json] | dict[str, Json] | None"

MAX_BODY_BYTES: Final = 2 << 20
"""Ten keys of the largest size that Kinguin takes (200 KiB, as base64 if they are images) fit into 2 MiB."""

_HEADERS: Final = {
    "Accept": "application/json",
    "User-Agent": "bitloot-kinguin",
    **AS_IT_IS,
}


class Unreadable(Enum):
    """Stands for a body that is not the JSON we asked for."""

    BODY = "unreadable"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for `method` and `path`. `document` may hold codes: it is never shown.

    `document` is None for an empty body, `retry_after` is in seconds.
    """

    method: str
    path: str
    status: int
    document: Json | Literal[Unreadable.BODY] = field(repr=False)
    retry_after: float | None = None

    @property
    def is_read(self) -> bool:
        """Tell whether the request cannot have changed anything."""
        return self.method == "GET"


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    path: str,
    clock: Clock,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    body: Json = None,
    form: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request and read its answer, whatever its status.

    `headers` prove who we are. `path` names the request in error messages. Raises httpx's `RequestError` when there
    is no whole answer.
    """
    every = _HEADERS | dict(headers or {})
    content = None
    if body is not None:
        content = render(body).encode()
        every["Content-Type"] = "application/json"
    async with client.stream(method, url, headers=every, params=params, content=content, data=form) as response:
        raw = await read_within(response, MAX_BODY_BYTES)
    return Answer(
        method,
        path,
        response.status_code,
        Unreadable.BODY if raw is None else parse(raw),
        retry_after(response.headers.get("Retry-After"), clock()),
    )


def parse(raw: bytes) -> Json | Literal[Unreadable.BODY]:
    """Read JSON as one honest sender writes it: UTF-8, no duplicate names, no NaN, numbers as exact decimals."""
    if not raw.strip():
        return None
    try:
        document: Json = json.loads(
            raw.decode(), parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_no_duplicates
        )
    except (ValueError, ArithmeticError, RecursionError):
        # The error holds the text that it failed on, so it ends here, unseen.
        return Unreadable.BODY
    return document


def render(value: Json) -> str:
    """Write JSON with decimals as they are: a price never becomes a float on its way."""
    match value:
        case dict():
            return "{" + ",".join(f"{json.dumps(name)}:{render(each)}" for name, each in value.items()) + "}"
        case list():
            return "[" + ",".join(map(render, value)) + "]"
        case Decimal():
            return f"{value:f}"
        case _:
            return json.dumps(value)


def _no_constant(_name: str) -> Json:
    raise ValueError("a number that JSON does not have")


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name that is there twice")
    return members
