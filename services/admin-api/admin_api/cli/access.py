"""`bitloot tokens`, `accounts` and `audit`: who may come in, and what was done. These go to the database."""

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import typer
from pydantic import JsonValue

from admin_api.access.audit import AuditLog, Entry, Result
from admin_api.access.passwords import Passwords
from admin_api.access.rights import Asker, Role
from admin_api.access.sql import SQL
from admin_api.access.tokens import Tokens
from admin_api.cli.asking import console, fail
from admin_api.database import Pool
from bitloot.errors import Transient
from bitloot.ledger import open_pool, translated
from bitloot.settings import PostgresSettings

tokens = typer.Typer(no_args_is_help=True, help="Bearer tokens for scripts.")
accounts = typer.Typer(no_args_is_help=True, help="People who sign in with a password.")
audit = typer.Typer(no_args_is_help=True, help="The audit log.")

T = TypeVar("T")
_ROLE = typer.Option(..., "--role", help="viewer, support, operator, admin or auditor; may be given more than once.")


@tokens.command("create")
def create_token(
    name: str,
    role: list[Role] = _ROLE,
    days: int = typer.Option(90, min=0, max=3650, help="How long it counts; 0 for ever."),
) -> None:
    """Make a token and show it, this once."""

    async def make(pool: Pool) -> str:
        me = _me()
        ends = datetime.now(UTC) + timedelta(days=days) if days else None
        roles = frozenset(role)
        await AuditLog(pool).add(
            Entry(me, "createToken", name, Result.ASKED, details={"roles": ", ".join(sorted(roles)), "days": days})
        )
        made = await Tokens(pool).create(name, roles, me.name, ends)
        await AuditLog(pool).add(Entry(me, "createToken", name, Result.DONE, details={"id": made.id}))
        return made.text

    sys.stdout.write(f"{_with_database(make)}\n")


@tokens.command("revoke")
def revoke_token(token_id: str) -> None:
    """Let a token count no longer. Its id is what stands between its first two underscores."""

    async def revoke(pool: Pool) -> str | None:
        await AuditLog(pool).add(Entry(_me(), "revokeToken", token_id, Result.ASKED))
        name = await Tokens(pool).revoke(token_id)
        result = Result.REFUSED if name is None else Result.DONE
        await AuditLog(pool).add(Entry(_me(), "revokeToken", token_id, result))
        return name

    name = _with_database(revoke)
    if name is None:
        fail("There is no such token, or it was revoked before.")
    console.print(f"{name} counts no longer.", markup=False)


@accounts.command("create")
def create_account(name: str, role: list[Role] = _ROLE) -> None:
    """Make an account, or change its password and roles. The password is asked for, or comes on standard input."""
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    try:
        hashed = Passwords().hash(password)
    except ValueError as error:
        fail(str(error))

    async def store(pool: Pool) -> bool:
        details: dict[str, JsonValue] = {"roles": ", ".join(sorted(role))}
        await AuditLog(pool).add(Entry(_me(), "createAccount", name, Result.ASKED, details=details))
        with translated():
            async with pool.acquire() as connection, connection.transaction():
                new: bool = await connection.fetchval(SQL["store_account"], name, hashed, list(role))
                await connection.execute(SQL["end_sessions_of"], name)
        await AuditLog(pool).add(Entry(_me(), "createAccount", name, Result.DONE, details=details))
        return new

    console.print(f"{name} was {'made' if _with_database(store) else 'changed'}.", markup=False)


@accounts.command("disable")
def disable_account(name: str) -> None:
    """Let somebody in no longer; who is signed in is out at once."""

    async def disable(pool: Pool) -> str | None:
        await AuditLog(pool).add(Entry(_me(), "disableAccount", name, Result.ASKED))
        with translated():
            found: str | None = await pool.fetchval(SQL["disable_account"], name)
        result = Result.REFUSED if found is None else Result.DONE
        await AuditLog(pool).add(Entry(_me(), "disableAccount", name, result))
        return found

    if _with_database(disable) is None:
        fail("There is no such account, or it is disabled.")
    console.print(f"{name} is out.", markup=False)


@audit.command("verify")
def verify_audit(
    head: str | None = typer.Option(None, help="The hash that an earlier look told: it must still be in the chain."),
) -> None:
    """Look at every entry: whether one was changed, taken out or put in between."""
    verdict = _with_database(lambda pool: AuditLog(pool).verify(head))
    if verdict.broken is not None:
        fail(f"{verdict.broken} The {verdict.entries} before it are sound.")
    console.print(f"{verdict.entries} entries, all sound. Keep this: {verdict.head}", markup=False, soft_wrap=True)


def _me() -> Asker:
    return Asker(f"command:{getpass.getuser()}", "command", frozenset({Role.ADMIN}))


def _with_database(work: Callable[[Pool], Awaitable[T]]) -> T:
    settings = PostgresSettings.load()

    async def run() -> T:
        async with open_pool(settings.database_url.get_secret_value(), max_size=2) as pool:
            return await work(pool)

    try:
        return asyncio.run(run())
    except Transient as error:
        fail(f"The database cannot be reached: {error.detail}")
