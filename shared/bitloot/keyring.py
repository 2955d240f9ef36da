"""Whether what one process seals can be opened by the other: a code sealed with a wrong key is paid for and lost.

Those who seal hold a public key, those who open hold private keys, and neither can see the other's. So each tells
the public halves of its own in Postgres (`sealing_keys`), and compares: told at the start, and by `/readyz`. A
process that spends money on what it seals waits until the keys agree.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Literal

import asyncpg

from bitloot import log
from bitloot.errors import Transient
from bitloot.health import Health
from bitloot.ledger import translated
from bitloot.sealing import Opener

Purpose = Literal["orders", "stock"]

_TOLD_SECONDS = 60.0
_AGAIN_SECONDS = 2.0
_PATIENCE_SECONDS = 1.5  # below that of a probe: a database that hangs must not make the ingress look ill

_TELL = """
insert into sealing_keys (purpose, key_id, public_key, sealed_at, opened_at)
select $1, key_id, public_key, case when $4 then null else now() end, case when $4 then now() end
from unnest($2::text[], $3::text[]) as mine (key_id, public_key)
on conflict (purpose, key_id, public_key) do update
set sealed_at = coalesce(excluded.sealed_at, sealing_keys.sealed_at),
    opened_at = coalesce(excluded.opened_at, sealing_keys.opened_at)
"""

# The keys that could be opened when those who open were last heard of, and whether this one is among them. Of
# workers that were replaced the last words are older.
_OPENED = """
select key_id, public_key from sealing_keys
where purpose = $1 and opened_at > (select max(opened_at) from sealing_keys where purpose = $1) - interval '10 minutes'
order by key_id
"""

# The keys that are sealed with now.
_SEALED = """
select key_id, public_key from sealing_keys
where purpose = $1 and sealed_at > now() - interval '10 minutes' order by key_id
"""

_log = log.get(__name__)


class Keyring:
    """The keys of one process for one purpose, and the check that compares them with those of the others."""

    def __init__(self, pool: asyncpg.Pool, purpose: Purpose, keys: Sequence[str], *, opens: bool) -> None:
        self._pool = pool
        self._purpose = purpose
        self._keys = [tuple(key.strip().split(":", 1)) for key in keys]
        self._opens = opens
        self._told_at: float | None = None
        self._complaint: str | None = None

    @classmethod
    def of_sealer(cls, pool: asyncpg.Pool, purpose: Purpose, public_key: str) -> "Keyring":
        """Return that of a process that seals with this key, written as a setting."""
        return cls(pool, purpose, [public_key], opens=False)

    @classmethod
    def of_opener(cls, pool: asyncpg.Pool, purpose: Purpose, opener: Opener) -> "Keyring":
        """Return that of a process that opens what was sealed for any of these."""
        return cls(pool, purpose, opener.public_keys, opens=True)

    def register(self, health: Health, *, advisory: bool = False) -> None:
        """Add the check."""
        health.register(f"sealing keys of {self._purpose}", self.check, advisory=advisory)

    async def agreed(self) -> None:
        """Wait until the keys agree, as far as anyone has told his."""
        told: str | None = None
        while (reason := await self._reason()) is not None:
            if reason != told:
                _log.critical("sealing.keys_disagree", purpose=self._purpose, reason=reason)
            told = reason
            await asyncio.sleep(_AGAIN_SECONDS)

    async def check(self) -> str | None:
        """Return why something sealed cannot be opened, or None; while Postgres is away, what was known before."""
        with contextlib.suppress(Transient):
            self._complaint = await self._compare()
        return self._complaint

    async def _reason(self) -> str | None:
        try:
            return await self._compare()
        except Transient as error:
            return str(error)

    async def _compare(self) -> str | None:
        with translated():
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._open() if self._opens else await self._seal()

    async def _open(self) -> str | None:
        await self._tell()
        return self._not_held(_pairs(await self._pool.fetch(_SEALED, self._purpose)))

    async def _seal(self) -> str | None:
        """Tell of the key only once it fits: whoever came with a wrong one must not make those who open look ill."""
        complaint = self._not_opened(_pairs(await self._pool.fetch(_OPENED, self._purpose)))
        if complaint is None:
            await self._tell()
        return complaint

    async def _tell(self) -> None:
        if self._told_at is not None and time.monotonic() < self._told_at + _TOLD_SECONDS:
            return
        ids, publics = [key_id for key_id, _ in self._keys], [public for _, public in self._keys]
        await self._pool.execute(_TELL, self._purpose, ids, publics, self._opens)
        self._told_at = time.monotonic()

    def _not_opened(self, opened: list[tuple[str, str]]) -> str | None:
        ((key_id, public),) = self._keys
        if not opened or (key_id, public) in opened:
            return None
        ids = [each for each, _ in opened]
        if key_id in ids:
            return f"the public key {key_id} is not the other half of the private key {key_id} that opens"
        return f"what is sealed with key {key_id} cannot be opened: the private keys held are {', '.join(ids)}"

    def _not_held(self, sealed: list[tuple[str, str]]) -> str | None:
        missing = [key_id for key_id, public in sealed if (key_id, public) not in self._keys]
        return (
            f"codes are sealed with key {', '.join(missing)}, whose private half is not held here" if missing else None
        )


def _pairs(rows: Sequence[asyncpg.Record]) -> list[tuple[str, str]]:
    return [(row["key_id"], row["public_key"]) for row in rows]
