"""Connections to Postgres, and its errors in our words."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from bitloot.errors import Cause, Transient

_CONNECT_SECONDS = 5.0
_COMMAND_SECONDS = 10.0

NOT_MIGRATED = "the database is not migrated to this release: run `python -m admin_api.migrate`"

_AWAY = (
    OSError,  # with TimeoutError
    asyncpg.InterfaceError,  # the connection was closed under us
    asyncpg.InternalClientError,  # the same, noticed by asyncpg in the middle of something
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it shuts down, or starts up
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.TransactionRollbackError,  # deadlock
    asyncpg.ReadOnlySQLTransactionError,  # we reached a standby in the middle of a failover
)


def open_pool(dsn: str, *, max_size: int = 10) -> asyncpg.Pool:
    """Return a pool whose `json` and `jsonb` values are Python objects; enter it with `async with`.

    It connects when it is first used, so that a process can start while Postgres is away.

    A connection that is given back is rolled back where it needs to be, and asked nothing more: asyncpg's own reset is
    a round trip for each use. So nothing that outlives a transaction may be done on a connection of the pool: no
    session-wide setting or advisory lock, no LISTEN, no temporary table. What needs one connects by itself.
    """
    return asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=max_size,
        timeout=_CONNECT_SECONDS,
        command_timeout=_COMMAND_SECONDS,
        init=_use_json,
        reset=_as_it_is,
    )


async def _as_it_is(_connection: "asyncpg.Connection[Any]") -> None:
    """Ask nothing of a connection that is given back; asyncpg has ended a transaction that was left open."""


async def _use_json(connection: "asyncpg.Connection[Any]") -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


@contextmanager
def translated() -> Iterator[None]:
    """Raise `Transient` for what passes when Postgres is back; leave our own mistakes as they are.

    A database that is not migrated yet is one that is away: the migration runs before or beside us.
    """
    try:
        yield
    except asyncpg.DataError:  # our own mistake, though it is an InterfaceError as well
        raise
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise Transient(Cause.DATABASE_UNAVAILABLE, NOT_MIGRATED) from error
    except _AWAY as error:
        # The texts may hold addresses.
        raise Transient(Cause.DATABASE_UNAVAILABLE, f"PostgreSQL: {type(error).__name__}") from error
