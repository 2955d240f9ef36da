"""`bitloot orders erase` and `prove-erased`: a buyer's personal data goes, and a look through every store shows it."""

import asyncio
import os
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import asyncpg
import typer

from admin_api.cli.asking import ask, console, fail, table
from admin_api.erasure.proof import Proof, prove
from admin_api.settings import RebuildSettings
from bitloot.errors import BitLootError

_PROOF = {"store": "store", "name": "what", "read": "read", "sealed": "sealed texts", "verdict": "the address"}
_NEEDED = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")
EXIT_STANDS, EXIT_INCOMPLETE = 1, 2

_ORDERS = typer.Argument(None, help="The orders' ids.")
_ADDRESS = typer.Option(None, "--address", help="A mail address: all orders that it belongs or belonged to.")
_ADDRESSES = typer.Option(..., "--address", help="What to look for; may be given many times.")


def erase(
    order_ids: list[str] | None = _ORDERS,
    address: str | None = _ADDRESS,
    reason: str = typer.Option(..., help="Why: kept in the audit log for good, so name nobody."),
    *,
    even_open: bool = typer.Option(default=False, help="Also orders that are still open: nothing can be mailed then."),
    proof: bool = typer.Option(default=True, help="Look through every store afterwards."),
    yes: bool = typer.Option(default=False, help="Do not ask."),
) -> None:
    """Erase a buyer's personal data, for good and everywhere, and prove it."""
    orders = list(dict.fromkeys([*(order_ids or ()), *(_orders_of(address) if address else ())]))
    if not orders:
        fail("There is no order of this address." if address else "Say which orders: their ids, or --address.")
    addresses = {each for order in orders for each in _addresses(order)} | ({address} if address else set())
    console.print(f"Orders: {', '.join(orders)}", markup=False, soft_wrap=True)
    if not yes and not typer.confirm("The buyer's address of these orders goes for good. Go on?"):
        fail("Nothing was erased.")
    for order in orders:
        body = {"reason": reason, "evenOpen": even_open}
        answer = ask("POST", f"/admin/orders/{order}/erase", key=str(uuid.uuid4()), json=body)
        console.print(f"Erased {order}, as {answer['actionId']}.", markup=False, soft_wrap=True)
    if proof:
        _prove(orders, addresses)


def prove_erased(order_ids: list[str] = _ORDERS, address: list[str] = _ADDRESSES) -> None:
    """Look through every store for mail addresses of orders that were erased."""
    _prove(order_ids or [], set(address))


def _orders_of(address: str) -> Iterator[str]:
    yield from (item["id"] for item in _pages("/admin/orders", email=address))
    yield from (item["orderId"] for item in _pages("/admin/mails", recipient=address))


def _pages(path: str, **query: str) -> Iterator[dict[str, Any]]:
    cursor: dict[str, str] = {}
    while True:
        answer = ask("GET", path, params=query | {"limit": 100} | cursor)
        yield from answer["items"]
        if answer["next"] is None:
            return
        cursor = {"cursor": answer["next"]}


def _addresses(order: str) -> set[str]:
    """Return the addresses that are known of an order now: afterwards nobody knows what to look for."""
    found = ask("GET", f"/admin/orders/{order}")
    known = {found["email"], *(mail["recipient"] for mail in (*found["mails"], *found["mailStates"]))}
    return {each for each in known if each and "***@" not in each}


def _prove(orders: Iterable[str], addresses: set[str]) -> None:
    if not addresses:
        fail("There is no address to look for: it was erased before, or this token may not see it. Give --address.")
    if missing := [name for name in _NEEDED if name not in os.environ]:
        told = f"{' and '.join(missing)} must be set to look through the stores"
        fail(f"Not proven: {told}. Then: bitloot orders prove-erased")
    settings = RebuildSettings.load()
    try:
        proof = asyncio.run(prove(settings, list(orders), addresses))
    except (BitLootError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        fail(f"Not proven: {error if isinstance(error, BitLootError) else type(error).__name__}")
    _tell(proof)


def _tell(proof: Proof) -> None:
    rows = [
        {
            "store": look.store,
            "name": look.name,
            "read": look.read or "",
            "sealed": len(look.sealed) or "",
            "verdict": look.verdict,
        }
        for look in proof.looks
    ]
    table("What a look through every store has shown", _PROOF, rows)
    if not proof.holds:
        fail("The address still stands somewhere, or something still opens.")
    if not proof.whole:
        console.print("Not found where it was looked for, but not everything could be read.", markup=False)
        raise typer.Exit(EXIT_INCOMPLETE)
    console.print("The address is nowhere, and what was sealed does not open any more.", markup=False)
