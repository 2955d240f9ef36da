"""Many dead letters are sent again: counted first, each once, with a result, whatever becomes of the replayer."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from admin_api.api.ports import Ports
from admin_api.api.replayer import Replayer
from bitloot.errors import Cause, Transient
from tests.integration.admin_api.api import Api, kafka_api, serve_api
from tests.integration.admin_api.read_model import ReadModel
from tests.integration.admin_api.test_api_actions import read
from tests.unit.admin_api import records

PATH = "/admin/dead-letters/replays"
EVENTS = "orders.events.v1"
NAMED = {"filter": {"reason": "bad_record"}}


@pytest.fixture
async def desk(model: ReadModel) -> AsyncIterator[Api]:
    async with kafka_api(model) as api:
        yield api


def letter(number: int, **changes: object):
    value = base64.b64encode(b"value %d" % number).decode()
    return records.letter(number, **({"topic": EVENTS, "value": value} | changes))


async def write(model: ReadModel, *letters) -> None:
    await model.publish(model.topics.dead_letters, *letters, key="k")
    await model.run_once()


async def started(desk: Api, action: str = "click", **body: object) -> dict[str, Any]:
    response = await desk.act(PATH, action, body=NAMED | body)
    answer = await response.json()
    assert response.status == 202, answer
    return answer


async def shown(desk: Api, replay: dict[str, Any]) -> dict[str, Any]:
    return await desk.page(f"{PATH}/{replay['id']}")


async def results(desk: Api, replay: dict[str, Any], **query: object) -> list[tuple[str, str | None]]:
    items = (await desk.page(f"{PATH}/{replay['id']}/items", **query))["items"]
    return [(item["result"], item["detail"]) for item in items]


async def values(model: ReadModel) -> list[bytes]:
    return [record.value for record in await read(model, model.topics.events)]


def texts(numbers: Sequence[int]) -> list[bytes]:
    return [b"value %d" % number for number in numbers]


@contextlib.asynccontextmanager
async def replayer(ports: Ports, name: str = "replayer", per_second: float = 1000) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Replayer(ports, name, per_second).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled(), task.exception()


async def done(desk: Api, replay: dict[str, Any], status: str = "done") -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (found := await shown(desk, replay))["status"] != status:
            await asyncio.sleep(0.02)
    return found


async def test_what_a_filter_finds_is_counted_and_then_sent_in_order(model: ReadModel, desk: Api):
    await write(
        model,
        *(letter(number) for number in (3, 1, 2)),
        letter(4, reason="defect"),
        letter(5, value_cut=True),
        letter(6, topic="elsewhere.v1"),
    )
    count = await (await desk.act(f"{PATH}/count", body=NAMED)).json()
    replay = await started(desk, expected=count["matching"])
    assert (replay["status"], replay["waiting"], replay["sent"]) == ("waiting", 5, 0)
    async with replayer(desk.ports):
        ended = await done(desk, replay)

    assert count == {
        "matching": 5,
        "sendable": 3,
        "topics": [{"name": EVENTS, "letters": 4}, {"name": "elsewhere.v1", "letters": 1}],
        "reasons": [{"name": "bad_record", "letters": 5}],
    }
    assert await values(model) == texts([1, 2, 3])
    assert [ended[name] for name in ("matching", "total", "waiting", "sent", "refused")] == [5, 5, 0, 3, 2]
    assert ended["request"] == {
        "filter": {
            "topic": None,
            "consumer": None,
            "reason": "bad_record",
            "occurredFrom": None,
            "occurredTo": None,
            "replayed": False,
        },
        "limit": 1000,
    }
    found = await results(desk, replay)
    assert [result for result, _ in found].count("sent") == 3
    assert {detail for result, detail in found if result == "refused"} == {
        "The record was too large to be kept whole: it cannot be sent again from here.",
        "Records of this topic are not sent again.",
    }
    assert len(await results(desk, replay, result="refused")) == 2
    assert [each["id"] for each in (await desk.page(PATH))["items"]] == [replay["id"]]


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        ({"consumer": "sink"}, [2]),
        ({"topic": EVENTS, "reason": "defect"}, [3]),
        ({"occurredFrom": "2026-01-01T12:00:02Z", "occurredTo": "2026-01-01T12:00:04Z"}, [2, 3]),
        ({"topic": EVENTS}, [1, 2, 3, 4]),
        ({"topic": "no.such"}, []),
    ],
)
async def test_a_replay_keeps_to_its_filter(model: ReadModel, desk: Api, narrowed: dict[str, str], expected: list[int]):
    await write(model, letter(1), letter(2, consumer="sink"), letter(3, reason="defect"), letter(4))
    replay = await started(desk, filter=narrowed)
    await write(model, letter(5), letter(6, consumer="sink"), letter(7, reason="defect"))  # too late
    async with replayer(desk.ports):
        await done(desk, replay)

    assert await values(model) == texts(expected)


async def test_one_click_is_one_replay_and_another_wish_under_it_is_refused(model: ReadModel, desk: Api):
    await write(model, letter(1), letter(2))
    answers = await asyncio.gather(*(desk.act(PATH, "click", body=NAMED) for _ in range(4)))
    assert [each.status for each in answers] == [202] * 4
    (identity,) = {(await each.json())["id"] for each in answers}
    other = await desk.act(PATH, "click", body=NAMED | {"limit": 1})
    assert other.status == 409
    async with replayer(desk.ports):
        await done(desk, {"id": identity})
        repeated = await (await desk.act(PATH, "click", body=NAMED)).json()

    assert (repeated["id"], repeated["status"]) == (identity, "done")
    assert await values(model) == texts([1, 2])


async def test_a_second_replay_leaves_out_what_was_sent_unless_it_is_asked_for(model: ReadModel, desk: Api):
    await write(model, *(letter(number) for number in range(1, 5)))
    async with replayer(desk.ports):
        first = await done(desk, await started(desk, "one", limit=2))
        second = await done(desk, await started(desk, "two"))
        third = await done(desk, await started(desk, "three", filter={"topic": EVENTS, "replayed": None}))

    assert [(each["matching"], each["sent"]) for each in (first, second, third)] == [(4, 2), (2, 2), (4, 4)]
    assert await values(model) == texts([1, 2, 3, 4, 1, 2, 3, 4])


async def test_nothing_is_begun_when_there_are_more_than_were_counted(model: ReadModel, desk: Api):
    await write(model, letter(1), letter(2))
    response = await desk.act(PATH, "click", body=NAMED | {"expected": 1})

    assert (response.status, (await response.json())["matching"]) == (409, 2)
    assert (await desk.page(PATH))["total"] == 0
    assert (await started(desk, "click", expected=2))["total"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {}},
        {"filter": {"replayed": True}},
        {"filter": {"raeson": "defect"}},
        {"filter": {"reason": ""}},
        {"filter": {"occurredFrom": "yesterday"}},
        NAMED | {"limit": 0},
        NAMED | {"limit": 10_001},
        NAMED | {"expected": -1},
        NAMED | {"action": "x"},
        NAMED | {"dryRun": True},
        [],
        "text",
    ],
)
async def test_a_wish_that_is_not_understood_begins_nothing(bare: Api, body: object):
    response = await bare.act(PATH, "click", body=body)

    assert (response.status, response.content_type) == (400, "application/problem+json")


async def test_a_body_that_is_no_json_is_refused(bare: Api):
    headers = {"Authorization": "Bearer current-token", "Content-Type": "application/json"}
    for data in (b"", b"{", b"[" * 100_000, b"\xff"):
        assert (await bare.client.post(PATH, data=data, headers=headers)).status == 400
    headers["Content-Type"] = "text/plain"
    assert (await bare.client.post(PATH, data=b"{}", headers=headers)).status == 415
    assert (await bare.act(PATH, body=NAMED, query={"limit": "1"})).status == 400


async def test_what_fails_again_is_a_new_letter_that_names_the_old_one(model: ReadModel, desk: Api):
    await model.publish_raw(model.topics.events, records.order(1).encode(), b"nonsense")
    # The API knows the topic by its declared name.
    async with model.sink():
        await model.catch_up()
        await model.catch_up()
        await model.connection.execute("update dead_letters set topic = $1", EVENTS)
        (old,) = await desk.ids("/admin/dead-letters")
        async with replayer(desk.ports):
            replay = await done(desk, await started(desk))
        async with asyncio.timeout(60):
            while (await desk.page("/admin/dead-letters"))["total"] < 2:
                await asyncio.sleep(0.02)

    (new,) = set(await desk.ids("/admin/dead-letters")) - {old}
    assert (await desk.page(f"/admin/dead-letters/{new}"))["replayOf"] == old
    assert (await desk.page(f"/admin/dead-letters/{old}"))["replayedAs"] == [new]
    assert ((await shown(desk, replay))["sent"], (await shown(desk, replay))["failedAgain"]) == (1, 1)
    (item,) = (await desk.page(f"{PATH}/{replay['id']}/items"))["items"]
    assert (item["deadLetterId"], item["failedAgainAs"]) == (old, new)


class DyingPublisher:
    """Kafka, until the process dies: after `sends` records nothing comes back any more."""

    def __init__(self, ports: Ports, sends: int) -> None:
        self._publisher = ports.publisher
        self._left = sends
        self.dead = asyncio.Event()

    async def send_raw(self, topic, key, value, headers=()) -> None:
        await self._publisher.send_raw(topic, key, value, headers)
        self._left -= 1
        if not self._left:
            self.dead.set()
            await asyncio.Event().wait()


async def test_a_replay_goes_on_after_the_death_of_its_process(model: ReadModel, desk: Api):
    await write(model, *(letter(number) for number in range(1, 7)))
    replay = await started(desk)
    dying = DyingPublisher(desk.ports, 3)
    async with replayer(replace(desk.ports, publisher=dying), "first"):
        await dying.dead.wait()
    assert (await shown(desk, replay))["sent"] == 2
    async with replayer(desk.ports, "second"):
        await model.connection.execute("update bulk_replays set claimed_until = now()")  # time passes
        ended = await done(desk, replay)

    # The third was sent when the process died, and nobody could know.
    assert await values(model) == texts([1, 2, 3, 3, 4, 5, 6])
    assert (ended["sent"], ended["waiting"]) == (6, 0)


async def test_two_processes_share_the_work_without_doing_it_twice(model: ReadModel, desk: Api):
    await write(model, *(letter(number) for number in range(1, 31)))
    replay = await started(desk)
    async with replayer(desk.ports, "first"), replayer(desk.ports, "second"):
        await done(desk, replay)

    assert await values(model) == texts(range(1, 31))


async def test_one_who_was_taken_for_dead_sends_nothing_more(model: ReadModel, desk: Api):
    await write(model, *(letter(number) for number in range(1, 4)))
    replay = await started(desk)
    held, go = asyncio.Event(), asyncio.Event()

    async def stand_still(_seconds: float) -> None:
        held.set()
        await go.wait()

    zombie = asyncio.create_task(Replayer(desk.ports, "zombie", 1000, sleep=stand_still).run())
    await held.wait()  # after the first letter
    await model.connection.execute("update bulk_replays set claimed_until = now()")
    async with replayer(desk.ports, "second"):
        await done(desk, replay)
    held.clear()
    go.set()
    await held.wait()  # it has looked for the next letter
    zombie.cancel()
    await asyncio.wait({zombie})
    assert await values(model) == texts([1, 2, 3])


async def test_a_replay_can_be_ended(model: ReadModel, desk: Api):
    await write(model, *(letter(number) for number in range(1, 4)))
    replay = await started(desk)
    dying = DyingPublisher(desk.ports, 1)
    async with replayer(replace(desk.ports, publisher=dying), "first"):
        await dying.dead.wait()
    canceled = await (await desk.act(f"{PATH}/{replay['id']}/cancel")).json()
    async with replayer(desk.ports):
        another = await done(desk, await started(desk, "another"))

    assert (canceled["status"], canceled["canceled"]) == ("canceled", 3)
    assert (await (await desk.act(f"{PATH}/{replay['id']}/cancel")).json())["status"] == "canceled"
    assert another["sent"] == 3
    assert (await desk.act(f"{PATH}/{records.order(1)}/cancel")).status == 404


async def test_while_kafka_is_away_it_waits_says_so_and_goes_on(model: ReadModel, desk: Api):
    await write(model, letter(1), letter(2))
    replay = await started(desk)
    away = AwayPublisher(desk.ports)
    async with replayer(replace(desk.ports, publisher=away)):
        async with asyncio.timeout(60):
            while not (found := await shown(desk, replay))["trouble"]:
                await asyncio.sleep(0.02)
        assert (found["status"], found["sent"]) == ("running", 0)
        assert "broker_unavailable" in found["trouble"]
        away.away = False
        ended = await done(desk, replay)

    assert (ended["sent"], ended["trouble"]) == (2, None)
    assert await values(model) == texts([1, 2])


class AwayPublisher:
    """Kafka that is away until it is not."""

    def __init__(self, ports: Ports) -> None:
        self._publisher = ports.publisher
        self.away = True

    async def send_raw(self, topic, key, value, headers=()) -> None:
        if self.away:
            raise Transient(Cause.BROKER_UNAVAILABLE, "Kafka did not acknowledge")
        await self._publisher.send_raw(topic, key, value, headers)


async def test_it_keeps_its_pace(model: ReadModel, desk: Api):
    await write(model, *(letter(number) for number in range(1, 4)))
    replay = await started(desk)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    task = asyncio.create_task(Replayer(desk.ports, "replayer", 4, sleep=sleep).run())
    await done(desk, replay)
    task.cancel()
    await asyncio.wait({task})

    assert slept[:3] == [0.25] * 3


async def test_nobody_takes_over_who_only_waits_for_the_next_turn(model: ReadModel, desk: Api):
    await write(model, *(letter(number) for number in range(1, 4)))
    await started(desk)
    waits = asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert seconds == 10_000
        waits.set()
        await asyncio.Event().wait()

    slow = asyncio.create_task(Replayer(desk.ports, "slow", 1 / 10_000, sleep=sleep).run())
    await waits.wait()
    left = await model.connection.fetchval("select extract(epoch from claimed_until - now())::float from bulk_replays")
    slow.cancel()
    await asyncio.wait({slow})

    assert left > 9_000
    assert await values(model) == texts([1])


async def test_a_letter_that_has_left_the_read_model_is_refused(database: str):
    async with serve_api(database) as api:
        await api.seed(api.ports.topics.dead_letters, letter(1))
        replay = await started(api)
        await api.ports.pool.execute("truncate dead_letters")
        async with replayer(api.ports):
            await done(api, replay)

        assert await results(api, replay) == [("refused", "The dead letter is no longer in the read model.")]
