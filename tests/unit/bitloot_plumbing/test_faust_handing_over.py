"""What the consumer hands over of what it has fetched, and what it reads again."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.faust_app import create_app
from bitloot.faust_app.progress import Progress
from bitloot.settings import KafkaSettings

ONE, OTHER = TP(ORDER_EVENTS.name, 0), TP(ORDER_EVENTS.name, 1)


class _Fetched:
    """In place of who talks to the broker: gives out what is put here, from where it is told to read."""

    def __init__(self) -> None:
        self.records: dict[TP, list[Any]] = {}
        self.positions: dict[TP, int] = {}

    def put(self, tp: TP, *offsets: int) -> None:
        self.records[tp] = [
            SimpleNamespace(
                topic=tp.topic,
                partition=tp.partition,
                offset=offset,
                timestamp=0,
                timestamp_type=0,
                headers=(),
                key=b"key",
                value=b"value",
                checksum=None,
                serialized_key_size=3,
                serialized_value_size=5,
            )
            for offset in offsets
        ]
        self.positions[tp] = offsets[0]

    async def getmany(self, _partitions: set[TP], _timeout: float) -> dict[TP, list[Any]]:
        found, self.records = self.records, {}
        self.positions.update({tp: records[-1].offset + 1 for tp, records in found.items()})
        return found

    def next_offset(self, tp: TP) -> int | None:
        return self.positions.get(tp)

    async def seek_wait(self, positions: dict[TP, int]) -> None:
        self.positions.update(positions)


class _Handing:
    def __init__(self, tmp_path) -> None:
        settings = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1")
        outputs: Any = SimpleNamespace()
        self.app = create_app(settings, app_id="app", datadir=tmp_path, partitions=2, outputs=outputs)
        self.fetched = _Fetched()
        self.consumer = self.app.consumer
        self.consumer._thread = self.fetched
        self.consumer._progress = {ONE: Progress(0), OTHER: Progress(0)}
        self.consumer._set_active_tps({ONE, OTHER})
        self.consumer.callback = self.take
        self.app.flow_control.resume()
        self.consumer.resume_flow()
        self.taken: list[tuple[int, int]] = []
        self.when_taken: dict[tuple[int, int], Any] = {}

    async def take(self, message: Any) -> None:
        place = (message.partition, message.offset)
        self.taken.append(place)
        self.when_taken.get(place, lambda: None)()


@pytest.fixture
async def handing(tmp_path):
    return _Handing(tmp_path)


async def test_each_partition_comes_in_order_and_none_waits_for_another(handing):
    handing.fetched.put(ONE, 0, 1)
    handing.fetched.put(OTHER, 0, 1)
    await handing.consumer._hand_over()
    assert handing.taken == [(0, 0), (1, 0), (0, 1), (1, 1)]


async def test_a_record_that_was_handed_over_is_not_handed_over_again(handing):
    handing.fetched.put(ONE, 0, 1)
    await handing.consumer._hand_over()
    handing.fetched.put(ONE, 1, 2)
    await handing.consumer._hand_over()
    assert handing.taken == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize("stop", ["flow", "events"])
async def test_when_the_flow_stops_the_rest_is_left_and_read_again(handing, stop):
    handing.fetched.put(ONE, 0, 1, 2)
    handing.when_taken[0, 1] = handing.consumer.stop_flow if stop == "flow" else handing.app.flow_control.suspend
    await handing.consumer._hand_over()
    assert handing.taken == [(0, 0), (0, 1)]
    handing.app.flow_control.resume()
    handing.consumer.resume_flow()  # Faust clears its queues before it does so
    await handing.consumer._align()
    assert handing.fetched.positions[ONE] == 0


async def test_what_was_fetched_for_a_partition_that_is_gone_is_left(handing):
    handing.fetched.put(ONE, 0)
    handing.fetched.put(OTHER, 0)
    del handing.consumer._progress[ONE]
    await handing.consumer._hand_over()
    assert handing.taken == [(1, 0)]


async def test_it_ends_with_the_fetcher_and_tells_whoever_cancels_it_else(handing):
    fetcher = SimpleNamespace(should_stop=False)
    handing.fetched.put(ONE, 0)
    handing.when_taken[0, 0] = lambda: setattr(fetcher, "should_stop", True)
    await handing.consumer._drain_messages(fetcher)
    assert handing.taken == [(0, 0)]

    fetcher.should_stop = False
    handing.consumer.stop_flow()  # it waits for the flow
    draining = asyncio.create_task(handing.consumer._drain_messages(fetcher))
    await asyncio.sleep(0)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
