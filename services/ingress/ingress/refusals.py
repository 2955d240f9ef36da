"""A bounded sample of what was refused: enough to see why honest notifications do not get in, and nothing to misuse.

Of a body stays its shape, with the values of a few members that name things and open nothing. The newest of each
provider are kept in Postgres, where the admin desk reads them. It is best effort: while Postgres is away, or while
somebody sends more than is worth keeping, samples are dropped and counted.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import asyncpg

from bitloot import log, metrics
from bitloot.errors import Transient
from bitloot.ledger import translated

_KEPT: Final = 200  # of each provider
_QUEUE: Final = 100
_APART_SECONDS: Final = 1.0  # between two samples of one provider for one reason
_MOST_MEMBERS: Final = 60
_LONGEST_NAME: Final = 64
_LONGEST_VALUE: Final = 80
_LONGEST_BODY: Final = 64 * 1024
_PLAIN: Final = frozenset(
    {
        "payment_id",
        "parent_payment_id",
        "invoice_id",
        "payment_status",
        "order_id",
        "price_amount",
        "price_currency",
        "pay_currency",
        "reservationId",
        "orderId",
        "event",
        "status",
        "type",
        "updated_at",
    }
)
"""Members whose values are shown: they name things, and none of them opens anything."""

# The newest $6 of the provider stay.
_KEEP = """
WITH kept AS (
    INSERT INTO refused_notifications (provider, reason, detail, hint, sample, remote, refused_at)
    VALUES ($1, $2, $3, $4, $5, $7, $8)
)
DELETE FROM refused_notifications WHERE provider = $1 AND id NOT IN (
    SELECT id FROM refused_notifications WHERE provider = $1 ORDER BY id DESC LIMIT $6
)
"""

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """A refused notification; `body` is None when it was not read to its end."""

    provider: str
    reason: str
    detail: str
    hint: str
    body: bytes | None
    headers: Mapping[str, str]
    remote: str
    at: datetime


class Samples(Protocol):
    """Keeps samples."""

    def keep(self, refused: Refused) -> None:
        """Keep a sample, perhaps. Never raises and never waits."""


def sample(refused: Refused) -> dict[str, object]:
    """Return what is kept of a notification: the shape of its body and headers."""
    names = sorted({name.lower()[:_LONGEST_NAME] for name in refused.headers if name.isascii()})[:_MOST_MEMBERS]
    return {"headers": names, "length": None if refused.body is None else len(refused.body), **_shape(refused.body)}


def _shape(body: bytes | None) -> dict[str, object]:
    if body is None or len(body) > _LONGEST_BODY:
        return {"body": "not read"}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {"body": "not JSON"}
    if not isinstance(document, dict):
        return {"body": _kind(document)}
    members = list(document.items())[:_MOST_MEMBERS]
    shown = {_text(name): _value(name, value) for name, value in members}
    return {"body": f"object({len(document)})", "members": shown}


def _value(name: str, value: object) -> str:
    if name in _PLAIN and isinstance(value, str | int | float) and not isinstance(value, bool):
        return _text(str(value), _LONGEST_VALUE)
    return _kind(value)


def _kind(value: object) -> str:
    match value:
        case None | bool():
            return json.dumps(value)
        case str():
            return f"text({len(value)})"
        case dict():
            return f"object({len(value)})"
        case list():
            return f"list({len(value)})"
        case _:
            return "number"


def _text(text: str, most: int = _LONGEST_NAME) -> str:
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in text[:most])


class PostgresSamples:
    """Keeps the newest of each provider, through a pool that may have no connection; `run` writes them."""

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], float] | None = None) -> None:
        self._pool = pool
        self._clock = clock or asyncio.get_running_loop().time
        self._waiting: asyncio.Queue[Refused] = asyncio.Queue(_QUEUE)
        self._last: dict[tuple[str, str], float] = {}  # both from closed sets

    def keep(self, refused: Refused) -> None:
        """See `Samples`."""
        key, now = (refused.provider, refused.reason), self._clock()
        if now - self._last.get(key, -_APART_SECONDS) < _APART_SECONDS or self._waiting.full():
            metrics.REFUSALS_NOT_SAMPLED.labels(refused.provider).inc()
            return
        self._last[key] = now
        self._waiting.put_nowait(refused)

    async def run(self) -> None:
        """Write until canceled."""
        while True:
            refused = await self._waiting.get()
            try:
                await self._write(refused)
            except Transient as error:
                metrics.REFUSALS_NOT_SAMPLED.labels(refused.provider).inc()
                _log.warning("refusal.not_kept", provider=refused.provider, cause=error.cause, detail=error.detail)

    async def _write(self, refused: Refused) -> None:
        values = (refused.provider, refused.reason, refused.detail, refused.hint, sample(refused))
        with translated():
            await self._pool.execute(_KEEP, *values, _KEPT, refused.remote, refused.at)
