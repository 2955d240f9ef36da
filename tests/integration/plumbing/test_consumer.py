"""The ordered consumer against a real broker: what is committed, repeated, put aside, and in which order."""

import asyncio
import os
import sys
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber

from bitloot.consumer import Consumed, OrderedConsumer
from bitloot.contracts.codec import decode
from bitloot.contracts.topics import Topic
from bitloot.errors import Cause, Malformed, Transient
from bitloot.health import Health
from bitloot.ids import order_id
from bitloot.kafka import Producer, ProducerFailed
from embedded.child import Child
from embedded.paths import CHECKOUT
from tests.integration.plumbing.broker import Broker, revealed
from tests.integration.plumbing.worker import LIMITS

GROUP = "workers"


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.01)


@dataclass
class Handler:
    """Records what it was given; `rules` says what else happens, by the number of the event."""

    rules: dict = field(default_factory=dict)
    begun: list[Consumed] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    async def __call__(self, consumed: Consumed) -> None:
        self.begun.append(consumed)
        number = int(consumed.record.event_id.removeprefix("event-"))
        rule = self.rules.get(number, self.rules.get("all"))
        if isinstance(rule, asyncio.Event):
            await rule.wait()
        elif isinstance(rule, Exception):
            raise rule
        elif rule is not None:
            await rule(number)
        self.done.append(number)


@dataclass
class Bench:
    """A topic, a producer, and consumers of it."""

    broker: Broker
    producer: Producer
    topic: Topic
    dead: Topic

    def consumer(self, handle, *, limits=LIMITS, health=None, **options) -> OrderedConsumer:
        return OrderedConsumer(
            self.broker.settings,
            group=self.group,
            topics=[self.topic],
            handle=handle,
            dead_letters=self.producer,
            dead_letters_topic=self.dead,
            name="test",
            health=health or Health(),
            limits=limits,
            **options,
        )

    @asynccontextmanager
    async def consuming(self, handle, **options):
        """Consume until the test is done, then be canceled, as services do at their end."""
        consumer = self.consumer(handle, **options)
        running = asyncio.create_task(consumer.run())
        try:
            yield consumer
        finally:
            running.cancel()
            await asyncio.wait({running})
        assert running.cancelled()

    @property
    def group(self) -> str:
        return self.broker.prefix + GROUP

    async def send(self, *numbers: int, key: str | None = None) -> None:
        events = [revealed(number, None if key is None else order_id(key)) for number in numbers]
        await asyncio.gather(*(self.producer.post(self.topic, event.order_id, event) for event in events))

    async def committed(self) -> int | None:
        return await self.broker.committed(self.group, self.topic)

    async def put_aside(self) -> list:
        return [decode(self.dead, record.value) for record in await self.broker.read(self.dead)]


@pytest.fixture
async def bench(broker: Broker):
    async with Producer(broker.settings, client_id="test") as producer:
        yield Bench(broker, producer, await broker.topic(), await broker.dead_letters())


async def test_offsets_are_committed_from_the_head_whatever_ends_first(bench: Bench):
    slow = asyncio.Event()
    handler = Handler({5: slow})

    async def shuffle(number):
        await asyncio.sleep((number * 7 % 10) / 500)

    handler.rules["all"] = shuffle
    await bench.send(*range(30))
    async with bench.consuming(handler):
        await until(lambda: len(handler.done) == 29)
        async with asyncio.timeout(5):
            while await bench.committed() != 5:
                await asyncio.sleep(0.02)
        slow.set()
        await until(lambda: len(handler.done) == 30)
    assert await bench.committed() == 30


async def test_a_key_keeps_its_order_while_others_overtake(bench: Bench):
    first = asyncio.Event()
    handler = Handler({0: first})
    await bench.send(0, 1, 2, key="one")
    await bench.send(3, 4, key="other")
    async with bench.consuming(handler):
        await until(lambda: handler.done == [3, 4])
        first.set()
        await until(lambda: len(handler.done) == 5)
    assert handler.done[2:] == [0, 1, 2]


async def test_no_more_run_at_once_than_allowed(bench: Bench):
    running, most, may_end = 0, 0, asyncio.Event()

    async def count(_number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await may_end.wait()
        running -= 1

    handler = Handler({"all": count})
    await bench.send(*range(20))
    async with bench.consuming(handler, concurrency=4):
        await until(lambda: len(handler.begun) == 4)
        may_end.set()
        await until(lambda: len(handler.done) == 20)
    assert most == 4


async def test_a_partition_that_is_behind_is_paused_and_goes_on(bench: Bench):
    may_end = asyncio.Event()
    handler = Handler({"all": may_end})
    await bench.send(*range(100))
    async with bench.consuming(handler, limits=replace(LIMITS, window=10), concurrency=1000) as consumer:
        await until(lambda: len(handler.begun) >= 10)
        (window,) = consumer._windows.values()
        # Polled on and on meanwhile, as a member has to.
        while not consumer._consumer.paused():
            await asyncio.sleep(0.01)
        assert window.unfinished < 20
        may_end.set()
        await until(lambda: len(handler.done) == 100)
    assert await bench.committed() == 100


async def test_what_cannot_be_decoded_is_put_aside_and_the_partition_moves_on(bench: Bench):
    handler = Handler()
    for key, value in ((b"k", b"not json"), (b"k", None), (b"\xff", b"{}"), (None, b'{"type":"order.placed"}')):
        await bench.producer.send_raw(bench.topic.name, key, value, [("traceparent", b"x")])
    await bench.send(1)
    async with bench.consuming(handler):
        await until(lambda: handler.done == [1])
        # Records without a key in common are put aside side by side with the handling of the last.
        while len(letters := await bench.put_aside()) < 4:
            await asyncio.sleep(0.05)
    assert sorted(letter.offset for letter in letters) == [0, 1, 2, 3]
    assert {letter.reason for letter in letters} == {Cause.BAD_RECORD}
    assert {letter.consumer for letter in letters} == {"test"}
    assert await bench.committed() == 5


async def test_a_transient_failure_is_tried_again_while_others_go_on(bench: Bench):
    handler = Handler({1: Transient(Cause.DATABASE_UNAVAILABLE, "away", retry_after=60)})
    await bench.send(1, 2, key="waits")
    await bench.send(3, 4, key="goes on")
    async with bench.consuming(handler):
        await until(lambda: handler.done == [3, 4] and len(handler.begun) >= 5)  # the first came a third time
        del handler.rules[1]
        await until(lambda: len(handler.done) == 4)
    assert handler.done == [3, 4, 1, 2]
    assert await bench.put_aside() == []
    assert await bench.committed() == 4


async def test_a_bug_is_put_aside_with_its_stack(bench: Bench):
    handler = Handler({1: KeyError("missing"), 2: Malformed(Cause.UNKNOWN_KEY_ID, "sealed for somebody else")})
    await bench.send(1, 2, 3, key="k")
    async with bench.consuming(handler):
        await until(lambda: handler.done == [3])
    bug, malformed = await bench.put_aside()
    assert (bug.reason, malformed.reason) == (Cause.DEFECT, Cause.UNKNOWN_KEY_ID)
    assert "KeyError: 'missing'" in bug.stack


async def test_a_bad_deploy_diverts_only_some_records_and_the_rest_waits(bench: Bench):
    health = Health()
    handler = Handler({"all": KeyError("a bad deploy")})
    await bench.send(*range(10))
    async with bench.consuming(handler, limits=replace(LIMITS, defects_per_minute=3), health=health):
        await until(lambda: len(handler.begun) >= 15)  # each once, and then again those that wait
        assert "test dead letters" in await health.failures()
        assert await health.failures(vital_only=True) == {}
        assert len(await bench.put_aside()) == 3
        handler.rules.clear()  # a good deploy
        await until(lambda: len(handler.done) == 7)
    assert await bench.committed() == 10


async def test_a_dead_letter_that_is_not_acknowledged_keeps_the_offset(bench: Bench):
    handler = Handler()
    missing = replace(bench.dead, name=bench.broker.prefix + "missing")
    await bench.producer.send_raw(bench.topic.name, b"k", b"not json")
    await bench.send(1)
    async with Producer(bench.broker.settings, client_id="hasty", timeout_seconds=0.05) as hasty:
        stuck = replace(bench, producer=hasty, dead=missing)
        async with stuck.consuming(handler):
            await until(lambda: handler.done == [1])
            await asyncio.sleep(3 * LIMITS.commit_interval)
    assert await bench.committed() == 0


async def test_a_producer_that_failed_ends_the_process_before_the_offset_moves(bench: Bench):
    async def publish(_number):
        bench.producer._fail(OutOfOrderSequenceNumber())
        await bench.producer.send(bench.topic, "k", revealed(1))

    handler = Handler({1: publish})
    await bench.send(0, 1, key="k")
    with pytest.raises(ProducerFailed):
        await bench.consumer(handler).run()
    assert (await bench.committed() or 0) <= 1


async def test_stopping_lets_what_runs_end_and_begins_nothing_new(bench: Bench):
    may_end = asyncio.Event()
    handler = Handler({0: may_end})
    await bench.send(0, 1, key="k")
    consumer = bench.consumer(handler)
    running = asyncio.create_task(consumer.run())
    await until(lambda: handler.begun)
    consumer.stop()
    while consumer._windows:  # given up, but for what runs
        await asyncio.sleep(0.01)
    may_end.set()
    await running
    assert handler.done == [0]
    assert len(handler.begun) == 1
    assert await bench.committed() == 1


async def test_two_consumers_lose_nothing_and_keep_keys_in_order_over_rebalances(broker: Broker):
    async with Producer(broker.settings, client_id="test") as producer:
        bench = Bench(broker, producer, await broker.topic(partitions=4), await broker.dead_letters())
        handled = defaultdict(list)
        keys = [order_id(f"key-{n}") for n in range(8)]

        async def handle(consumed: Consumed) -> None:
            await asyncio.sleep(consumed.offset * 7 % 10 / 1000)
            handled[consumed.key].append(consumed.offset)

        async def send_all() -> None:
            for number in range(40):
                await asyncio.gather(*(producer.post(bench.topic, key, revealed(number, key)) for key in keys))
                await asyncio.sleep(0.02)

        sending = asyncio.create_task(send_all())
        async with bench.consuming(handle):
            await until(lambda: handled)
            for _ in range(2):  # a second member comes and goes
                async with bench.consuming(handle) as second:
                    await until(lambda second=second: second._windows)
                    await asyncio.sleep(0.1)
            await sending
            expected = {key: [] for key in keys}
            for record in await broker.read(bench.topic):
                expected[record.key.decode()].append(record.offset)
            await until(lambda: all(set(expected[key]) <= set(handled[key]) for key in keys))

        for key in keys:
            # Repeats are allowed; without them, the order is that of the topic.
            assert list(dict.fromkeys(handled[key])) == expected[key]
    assert [await broker.committed(bench.group, bench.topic, p) for p in range(4)] == [
        len([record for record in await broker.read(bench.topic) if record.partition == p]) for p in range(4)
    ]


async def test_kill_9_in_the_middle_repeats_all_that_was_not_done(bench: Bench, tmp_path: Path):
    for offset in (3, 7):
        (tmp_path / f"stuck-{offset}").touch()
    await bench.send(*range(12))
    worker = Child(
        "worker",
        [sys.executable, "-m", "tests.integration.plumbing.worker", bench.broker.prefix, bench.group, str(tmp_path)],
        log_file=tmp_path / "worker.log",
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": bench.broker.bootstrap},
        cwd=CHECKOUT,
    )
    try:
        await until(lambda: len(list(tmp_path.glob("done-*"))) == 10 or worker.exit_code is not None)
        assert worker.exit_code is None, worker.output()
        while await bench.committed() != 3:
            await asyncio.sleep(0.02)
    finally:
        await worker.kill()

    handler = Handler()
    async with bench.consuming(handler):
        await until(lambda: len(handler.done) == 9)
    assert sorted(handler.done) == list(range(3, 12))


async def test_fetching_that_stands_still_is_begun_anew(bench: Bench):
    handler = Handler()
    limits = replace(LIMITS, fetch_stall=0.2)
    async with bench.consuming(handler, limits=limits) as consumer:
        await bench.send(1)
        await until(lambda: handler.done == [1])
        first = consumer._consumer
        first._fetcher._fetch_task.cancel()  # as it has been seen to die, without a word
        await bench.send(2)
        await until(lambda: handler.done == [1, 2])
        assert consumer._consumer is not first


async def test_partitions_come_back_after_they_were_shared_out_without_knowing_them(bench: Bench):
    """A broker that has just started told the leader of the group of no topic, and nobody got any partition."""
    handler = Handler()
    async with bench.consuming(handler, limits=replace(LIMITS, metadata=1.0)) as consumer:
        await bench.send(1)
        await until(lambda: handler.done == [1])
        inner = consumer._consumer
        inner._client.cluster._partitions.clear()
        inner._coordinator.request_rejoin()
        await until(lambda: not consumer._windows and consumer._condition._outside_since is None)
        await bench.send(2)
        await until(lambda: 2 in handler.done)


async def test_a_handler_that_hangs_turns_the_vital_check_red(bench: Bench):
    health = Health()
    handler = Handler({1: asyncio.Event()})
    await bench.send(1)
    async with bench.consuming(handler, limits=replace(LIMITS, stall=0.3, drain_on_stop=0), health=health):
        await until(lambda: handler.begun)
        assert await health.failures() == {}
        while "test consumer" not in await health.failures(vital_only=True):
            await asyncio.sleep(0.02)
