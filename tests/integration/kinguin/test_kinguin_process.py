"""The worker as it runs: a process of its own on a real Kafka and a real Postgres, killed in the middle."""

import asyncio
import json
import os
import signal
import sys
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bitloot import ids, topics
from bitloot.contracts.codec import decode
from bitloot.contracts.effects import KinguinCall
from bitloot.contracts.events import EffectFailed, Failure, PurchasePlaced, PurchasesFound, ReservationGiven
from bitloot.contracts.topics import DEAD_LETTERS, DEFAULT_PARTITIONS, KINGUIN_CALLS, ORDER_EVENTS
from bitloot.ids import OrderId
from bitloot.kafka import Producer
from bitloot.sealing import KeyPair
from bitloot.settings import KafkaSettings
from tests.fakes.sandbox import RunningSandbox
from tests.integration.plumbing.broker import Broker
from tests.unit.kinguin.samples import buy, give, look_up


class Workers:
    """Starts worker processes, and ends those that a test leaves behind."""

    def __init__(self, env: dict[str, str], log_file: Path) -> None:
        self._env = env
        self._log_file = log_file
        self._running: list[Process] = []

    async def start(self) -> Process:
        with self._log_file.open("ab") as log:
            worker = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "fulfillment.kinguin", env=self._env, stdout=log, stderr=log
            )
        self._running.append(worker)
        return worker

    async def end(self) -> None:
        for worker in self._running:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()

    def log(self) -> str:
        return self._log_file.read_text()


@pytest.fixture
async def workers(
    kafka_bootstrap: str, database: str, sandbox: RunningSandbox, key_pair: KeyPair, tmp_path: Path
) -> AsyncIterator[Workers]:
    env = {
        "PATH": os.environ["PATH"],
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "DATABASE_URL": database,
        "HTTP_PORT": "0",
        "KINGUIN_BASE_URL": f"{sandbox.url}/kinguin",
        "KINGUIN_AUTH_URL": f"{sandbox.url}/kinguin-id",
        "KINGUIN_CLIENT_ID": sandbox.settings.kinguin_client_id,
        "KINGUIN_CLIENT_SECRET": sandbox.settings.kinguin_client_secret.get_secret_value(),
        "SEALING_PUBLIC_KEY": key_pair.public,
    }
    workers = Workers(env, tmp_path / "kinguin.log")
    yield workers
    await workers.end()


# The names of topics and group are fixed, so this stays one test: two at a time would share the work.
@pytest.mark.timeout(180)
async def test_a_worker_that_is_killed_buys_nothing_twice(
    kafka_bootstrap: str, database: str, sandbox: RunningSandbox, workers: Workers
):
    settings = KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap)
    declared = [KINGUIN_CALLS, ORDER_EVENTS, DEAD_LETTERS]
    await topics.ensure(settings, declared, partitions=DEFAULT_PARTITIONS, replication=1)
    first_order, second_order = (ids.order_id(uuid.uuid4().hex) for _ in range(2))

    async def outcomes(order: OrderId) -> list[Any]:
        records = await Broker(settings, "").read(ORDER_EVENTS)
        return [decode(ORDER_EVENTS, each.value) for each in records if each.key == order.encode()]

    async with Producer(settings, client_id="test") as producer:

        async def ask(call: KinguinCall, times: int = 1) -> None:
            for _ in range(times):
                await producer.send(KINGUIN_CALLS, call.order_id, call)

        doomed = await workers.start()
        await ask(buy(2, order=first_order), times=3)
        placed = await first(lambda: outcomes(first_order), at_least=3)
        assert isinstance(placed, PurchasePlaced)
        assert placed.given
        assert {each.event_id for each in await outcomes(first_order)} == {placed.event_id}

        await sandbox.fail({"provider": "kinguin", "call": "give", "kind": "slow", "delay": 600})
        interrupted = buy(2, order=second_order)
        await ask(interrupted)
        await until(lambda: calls(sandbox, interrupted.external_id), ["reserve"])
        doomed.kill()
        await doomed.wait()
        await sandbox.fail()

        heir = await workers.start()
        await expire(database, interrupted.effect_id)
        abandoned = await first(lambda: outcomes(second_order))
        assert isinstance(abandoned, EffectFailed)
        assert (abandoned.failure, abandoned.cause) == (Failure.UNKNOWN, "abandoned")

        await ask(look_up(order=second_order))
        found = (await first(lambda: outcomes(second_order), at_least=2, which=1)).reservations
        assert [each.given for each in found] == [False]
        await ask(give(found[0].reservation_id, order=second_order), times=2)
        await first(lambda: outcomes(second_order), at_least=4)

        told = await outcomes(second_order)
        assert [type(each) for each in told] == [EffectFailed, PurchasesFound, ReservationGiven, ReservationGiven]
        for external in (buy(order=first_order).external_id, interrupted.external_id):
            assert (await calls(sandbox, external)).count("reserve") == 1
            assert len((await sandbox.ledger(external))["purchases"]) == 1

        heir.send_signal(signal.SIGTERM)
        assert await heir.wait() == 0, workers.log()
    lines = [json.loads(line) for line in workers.log().splitlines()]
    assert {"kinguin.called", "effect.abandoned"} <= {line["event"] for line in lines}
    assert not [line for line in lines if "stack" in line or "exception" in line]
    assert sandbox.settings.kinguin_client_secret.get_secret_value() not in workers.log()


async def calls(sandbox: RunningSandbox, external: str) -> list[str]:
    return [each["call"] for each in (await sandbox.ledger(external))["calls"]]


async def until(ask: Callable[[], Awaitable[list[Any]]], wanted: list[Any]) -> None:
    async with asyncio.timeout(60):
        while await ask() != wanted:
            pass  # asked over the network: that is pause enough


async def first(ask: Callable[[], Awaitable[list[Any]]], *, at_least: int = 1, which: int = 0) -> Any:
    """Return one of the events once there are so many."""
    async with asyncio.timeout(60):
        while len(events := await ask()) < at_least:
            pass
        return events[which]


async def expire(database: str, effect_id: str) -> None:
    """Let the claim of the dead worker end now, not in half a minute."""
    connection = await asyncpg.connect(database)
    try:
        changed = await connection.execute(
            "update effect_ledger set deadline = now() where effect_id = $1 and finished_at is null", effect_id
        )
    finally:
        await connection.close()
    assert changed == "UPDATE 1"
