"""Sessions of people: a random cookie in the browser, its hash in Postgres."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from admin_api.access.rights import Asker, Role, roles_of
from admin_api.access.sql import SQL
from admin_api.database import Pool
from bitloot.ledger import translated


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in. `csrf_token` must come with whatever is not only read."""

    asker: Asker
    csrf_token: str
    idle_ends_at: datetime
    ends_at: datetime


class Sessions:
    """All sessions: each ends after `idle` without a request, and after `whole` in any case."""

    def __init__(self, pool: Pool, idle: timedelta, whole: timedelta) -> None:
        self._pool = pool
        self._idle = idle
        self._whole = whole

    async def begin(self, account: str, via: str, roles: frozenset[Role], address: str) -> tuple[str, Session]:
        """Return the cookie of a new session, and the session. Raises `Transient`."""
        cookie = secrets.token_urlsafe(32)
        with translated():
            await self._pool.execute(SQL["forget_ended"])
            row = await self._pool.fetchrow(
                SQL["begin_session"], _id(cookie), account, via, sorted(roles), self._idle, self._whole, address
            )
        assert row is not None  # noqa: S101 - it was just inserted
        return cookie, _session(row, cookie)

    async def find(self, cookie: str) -> Session | None:
        """Return whose session it is, or None when it is over. Raises `Transient`."""
        with translated():
            row = await self._pool.fetchrow(SQL["session"], _id(cookie))
            if row is not None and row["quiet"]:
                await self._pool.execute(SQL["keep_session"], _id(cookie), self._idle)
        return None if row is None else _session(row, cookie)

    async def end(self, cookie: str) -> None:
        """Let a session be over. Raises `Transient`."""
        with translated():
            await self._pool.execute(SQL["end_session"], _id(cookie))


def csrf_matches(session: Session, given: str | None) -> bool:
    """Tell whether a request comes from a page that this session has, and not from somebody else's."""
    return hmac.compare_digest(session.csrf_token.encode(), (given or "").encode("utf-8", "surrogatepass"))


def _session(row: asyncpg.Record, cookie: str) -> Session:
    asker = Asker(row["account"], row["via"], roles_of(row["roles"]))
    return Session(asker, _csrf_token(cookie), row["idle_ends_at"], row["ends_at"])


def _id(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()


def _csrf_token(cookie: str) -> str:
    """Return what only who has the cookie can know; the cookie itself no script can read."""
    digest = hmac.digest(cookie.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
