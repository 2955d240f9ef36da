"""Bearer tokens for scripts: made by a command, shown once, kept as a hash."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from admin_api.access.rights import Asker, Role, roles_of
from admin_api.access.sql import SQL
from admin_api.database import Pool
from bitloot.ledger import translated

_FORM = re.compile(r"blt_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made: `text` is not known to anybody afterwards."""

    id: str
    text: str


class Tokens:
    """The tokens in Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, name: str, roles: frozenset[Role], creator: str, expires_at: datetime | None) -> NewToken:
        """Make a token. Raises `Transient`."""
        identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with translated():
            await self._pool.execute(
                SQL["store_token"], identity, name, _hash(secret), sorted(roles), creator, expires_at
            )
        return NewToken(identity, f"blt_{identity}_{secret}")

    async def revoke(self, identity: str) -> str | None:
        """Let a token count no longer; return its name, or None when there is none. Raises `Transient`."""
        with translated():
            name: str | None = await self._pool.fetchval(SQL["revoke_token"], identity)
        return name

    async def asker(self, text: str) -> tuple[str, Asker] | None:
        """Return a token's id and who has it, or None for one that does not count. Raises `Transient`."""
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        identity, secret = form.groups()
        with translated():
            found = await self._pool.fetchrow(SQL["token"], identity)
        if found is None or not hmac.compare_digest(found["secret_hash"], _hash(secret)):
            return None
        return identity, Asker(f"token:{found['name']}", "token", roles_of(found["roles"]))

    async def used(self, identity: str) -> None:
        """Note that it is in use. Raises `Transient`."""
        with translated():
            await self._pool.execute(SQL["use_token"], identity)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
