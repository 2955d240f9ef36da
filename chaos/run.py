"""One run on a stack that is up: trade and break, heal, wait, look, compare."""

import asyncio
import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from chaos import observe, records
from chaos.driver import Shop
from chaos.facts import Facts
from chaos.faults import Saboteur, pids
from chaos.forger import CODE, Forger
from chaos.leaks import scan
from chaos.litter import litter
from chaos.plan import Dialect, schedule
from chaos.report import Run
from chaos.sales import Fate, sales, sold_out
from chaos.takeover import Blow, read_logs, takeovers
from chaos.verdict import REVIEW, Difference, compare, crash_points_reached

Tell = Callable[[str], None]

_EVIDENCE = 10
"""Of so many different orders, and of so many that wait for a human, is the evidence kept."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to do: the seed, seconds of chaos, orders per second, seconds to settle afterwards, Kinguin's API."""

    seed: int
    seconds: float
    rate: float
    patience: float
    dialect: Dialect = "reservations"


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who does what to the stack."""

    shop: Shop
    saboteur: Saboteur
    forger: Forger
    litter: Counter[str]


async def run(wish: Wish, run_dir: Path, stack: Mapping[str, Any], tell: Tell) -> Run:
    """Do all of it; return what was shown."""
    settings = json.loads((run_dir / "environment.json").read_text())
    proof = pids(run_dir)["sandbox"]
    wanted = sales(wish.seed, int(wish.seconds * wish.rate))
    limits = httpx.Limits(max_connections=300)
    async with httpx.AsyncClient(limits=limits, timeout=120, trust_env=False) as client:
        cast = _Cast(
            shop=Shop(client, stack, wish.seed, wanted),
            saboteur=Saboteur(run_dir, stack, client, tell, sold_out(wanted, wish.dialect)),
            forger=Forger(client, stack["ingress_url"], settings["KINGUIN_WEBHOOK_SECRET"], wish.seed),
            litter=Counter(),
        )
        try:
            settled, still = await _break(wish, stack, cast, client, tell)
        finally:
            cast.saboteur.wake_all()
        facts = await _look(stack, settings, client, tell)
        if pids(run_dir)["sandbox"] != proof:
            facts = replace(facts, ledger_whole=False)
        differences = _differences(wish, cast, facts)
        await _keep_evidence(run_dir / "evidence", stack, cast.shop, facts, differences, client)
        return await _shown(wish, stack, cast, facts, differences, settled=settled, still=still)


async def _break(
    wish: Wish, stack: Mapping[str, Any], cast: _Cast, client: httpx.AsyncClient, tell: Tell
) -> tuple[float, bool]:
    """Trade and break, then heal and wait; return how long it took to settle, and whether it did."""
    await cast.saboteur.begin()
    trade = asyncio.create_task(cast.shop.trade(per_second=wish.rate, patience=wish.patience))
    targets = [sale for sale in cast.shop.wanted if sale.fate is Fate.UNPAID] or cast.shop.wanted
    async with (
        _meanwhile(cast.forger.forge(targets)),
        _meanwhile(litter(stack["kafka"], wish.seed, cast.litter)),
    ):
        plan = schedule(wish.seed, wish.seconds, wish.dialect)
        await asyncio.gather(cast.saboteur.follow(plan), asyncio.sleep(wish.seconds))
    await cast.saboteur.heal()
    tell("healed")
    begun = time.monotonic()
    await trade
    ended = [sale.order for sale in cast.shop.sales if sale.paid]
    tell(f"{len(cast.shop.sales)} orders are placed, {len(ended)} of them paid")
    until_still = partial(observe.until_still, stack, ended, len(await records.litter(stack["kafka"])), client)
    deadline = begun + wish.patience
    still = await until_still(bound=deadline - time.monotonic(), still=0)
    settled = time.monotonic() - begun
    cast.saboteur.disarm()
    return settled, still and await until_still(bound=deadline - time.monotonic())


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do something beside; what it raises is raised at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.result()


async def _look(stack: Mapping[str, Any], settings: Mapping[str, str], client: httpx.AsyncClient, tell: Tell) -> Facts:
    """Read all there is, and look for codes where none may be."""
    facts = await observe.facts(stack, settings, client)
    codes = [CODE, *(code for purchase in facts.purchases for code in purchase.codes)]
    with tempfile.TemporaryDirectory() as scratch:
        scanner = await scan(stack, codes, Path(scratch), servers=False)
    tell(f"looked for {len(codes)} codes at {scanner.looked_at} places")
    return replace(facts, leaks=tuple(sorted((_mark(code), place) for code, place in scanner.found)))


def _mark(code: str) -> str:
    """Return a name for a code that does not tell it."""
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def _differences(wish: Wish, cast: _Cast, facts: Facts) -> Sequence[Difference]:
    return (
        *compare(cast.shop.sales, facts),
        *(Difference("a forgery was not refused", "", each) for each in cast.forger.accepted),
        *crash_points_reached(cast.saboteur.crashes, wish.seconds, wish.dialect),
    )


async def _keep_evidence(
    directory: Path,
    stack: Mapping[str, Any],
    shop: Shop,
    facts: Facts,
    differences: Iterable[Difference],
    client: httpx.AsyncClient,
) -> None:
    different = sorted({each.order for each in differences if each.order})
    reviewed = [
        sale.order
        for sale in shop.sales
        if sale.fate is Fate.PLAIN and (row := facts.rows.get(sale.order)) and row.status == REVIEW
    ]
    for order in {*different[:_EVIDENCE], *reviewed[:_EVIDENCE]}:
        _keep(directory, order, await observe.evidence(stack, order, client))


def _keep(directory: Path, order: str, evidence: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / f"{order}.json").write_text(evidence)


async def _shown(
    wish: Wish,
    stack: Mapping[str, Any],
    cast: _Cast,
    facts: Facts,
    differences: Sequence[Difference],
    *,
    settled: float,
    still: bool,
) -> Run:
    blows = [*cast.saboteur.blows, *(Blow(hit.service, hit.instance, hit.at) for hit in cast.saboteur.crashes)]
    return Run(
        seed=wish.seed,
        seconds=wish.seconds,
        sales=cast.shop.sales,
        facts=facts,
        answers=cast.shop.answers,
        payments=cast.shop.payments,
        forged=cast.forger.answers,
        litter=cast.litter,
        deeds=cast.saboteur.done,
        hits=cast.saboteur.hits,
        crashes=cast.saboteur.crashes,
        waits=await observe.waits(stack),
        takeovers=takeovers(blows, cast.saboteur.away, read_logs(Path(stack["log_dir"]))),
        settled=settled,
        still=still,
        differences=differences,
    )
