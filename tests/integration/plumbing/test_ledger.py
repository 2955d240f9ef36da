"""The effect ledger on a real Postgres: one act per effect, whoever asks and whatever breaks."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from bitloot.contracts.effects import BuyKey, LookUpPurchase
from bitloot.contracts.events import EffectFailed, Failure, PurchasePlaced
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.errors import Cause, Malformed, Refused, Transient, Unknown
from bitloot.ids import ReservationId, effect_id, item_id, order_id, outcome_id, purchase_id
from bitloot.incarnation import incarnation
from bitloot.ledger import Claimed, EffectLedger, Expired, Finished, Running, late_id, open_pool, perform, perform_read
from bitloot.ledger.store import MARGIN
from embedded.ports import free_port
from tests.fakes.producer import FakeProducer

SOON = timedelta(seconds=30)


def wish(kind=BuyKey, attempt=1, **fields):
    order = order_id(uuid.uuid4().hex)
    purchase = purchase_id(order, 1)
    effect = effect_id(purchase, kind.__name__, attempt)
    if kind is BuyKey:
        line = {"item_id": item_id(order, 1), "product_id": "p", "quantity": 1, "unit_price": "9.99"}
        fields = {"lines": [line], "currency": "eur"} | fields
    common = {"event_id": effect, "effect_id": effect, "attempt": attempt, "order_id": order, "purchase_id": purchase}
    return kind(occurred_at=datetime.now(UTC), external_id=purchase, **common, **fields)


def placed(effect, reservation="r-1"):
    return PurchasePlaced(
        event_id=outcome_id(effect.effect_id, "purchase.placed"),
        occurred_at=datetime.now(UTC),
        order_id=effect.order_id,
        effect_id=effect.effect_id,
        purchase_id=effect.purchase_id,
        reservation_id=ReservationId(reservation),
        given=True,
    )


class Market:
    """An act that counts how often it was done."""

    def __init__(self, effect, error=None):
        self.effect = effect
        self.error = error
        self.calls = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = asyncio.Event()

    async def __call__(self):
        self.calls += 1
        self.asked.set()
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return placed(self.effect)


@pytest.fixture
async def pool(database) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database) as pool:
        yield pool


def ledger(pool, name="worker") -> EffectLedger:
    return EffectLedger(pool, incarnation(name))


async def expire(pool, effect) -> None:
    await pool.execute("update effect_ledger set deadline = now() where effect_id = $1", effect.effect_id)


async def test_an_effect_is_claimed_once(pool):
    effect = wish()
    mine, theirs = ledger(pool), ledger(pool)
    assert await mine.claim(effect, effect.type, SOON) == Claimed()
    for other in (mine, theirs):
        claim = await other.claim(effect, effect.type, SOON)
        assert isinstance(claim, Running)
        assert timedelta(0) < claim.until - datetime.now(UTC) <= SOON + MARGIN + timedelta(seconds=1)

    outcome = placed(effect)
    assert await mine.finish(effect.effect_id, outcome) == outcome
    assert await theirs.claim(effect, effect.type, SOON) == Finished(outcome)


async def test_of_many_claims_at_once_one_wins(pool):
    effect = wish()
    claims = await asyncio.gather(*(ledger(pool).claim(effect, effect.type, SOON) for _ in range(20)))
    assert sum(isinstance(claim, Claimed) for claim in claims) == 1
    assert sum(isinstance(claim, Running) for claim in claims) == 19


async def test_an_unfinished_claim_expires_and_the_first_outcome_stands(pool):
    effect = wish()
    slow, other = ledger(pool), ledger(pool)
    await slow.claim(effect, effect.type, SOON)
    await expire(pool, effect)
    assert await other.claim(effect, effect.type, SOON) == Expired()
    assert await slow.claim(effect, effect.type, SOON) == Expired()

    first = placed(effect, "first")
    assert await other.finish(effect.effect_id, first) == first
    assert await slow.finish(effect.effect_id, placed(effect, "second")) == first


async def test_a_claim_whose_confirmation_was_lost_is_taken_up_again(pool):
    """Postgres committed the claim and the answer never came: nobody has acted, and we know it."""
    effect = wish()
    mine = ledger(pool)
    await mine.claim(effect, effect.type, SOON)
    mine._begun.clear()  # as if that answer had never come
    assert await mine.claim(effect, effect.type, SOON) == Claimed()
    assert isinstance(await mine.claim(effect, effect.type, SOON), Running)


class SlowReplies:
    """A pool on whose way back the first reply is held up, until it is let go."""

    def __init__(self, pool):
        self._pool = pool
        self.is_held = asyncio.Event()
        self.may_pass = asyncio.Event()

    async def fetch(self, statement, *values):
        rows = await self._pool.fetch(statement, *values)
        if not self.is_held.is_set():
            self.is_held.set()
            await self.may_pass.wait()
        return rows

    def __getattr__(self, name):
        return getattr(self._pool, name)


async def test_a_claim_on_its_way_back_is_not_taken_for_a_lost_one(pool):
    """Two tasks of one process, one effect: its row is there before the first of them knows that it has claimed."""
    effect, replies = wish(), SlowReplies(pool)
    mine = ledger(replies)
    first = asyncio.create_task(mine.claim(effect, effect.type, SOON))
    await replies.is_held.wait()
    second = asyncio.create_task(mine.claim(effect, effect.type, SOON))
    for _ in range(20):  # time enough for the second to be told, if anybody tells it
        assert isinstance(await ledger(pool, "other").claim(effect, effect.type, SOON), Running)
    replies.may_pass.set()
    assert await first == Claimed()
    assert isinstance(await second, Running)


class Counted:
    """A pool that counts its statements."""

    def __init__(self, pool):
        self._pool = pool
        self.statements = 0

    async def fetch(self, statement, *values):
        self.statements += 1
        return await self._pool.fetch(statement, *values)


async def test_many_effects_are_claimed_and_finished_in_few_statements(pool):
    counted = Counted(pool)
    mine, other = ledger(counted), ledger(pool, "other")
    running, finished, *new = effects = [wish() for _ in range(40)]
    await other.claim(running, running.type, SOON)
    await other.claim(finished, finished.type, SOON)
    await other.finish(finished.effect_id, placed(finished, "theirs"))

    first, second, *others = await asyncio.gather(*(mine.claim(effect, effect.type, SOON) for effect in effects))
    assert isinstance(first, Running)
    assert second == Finished(placed(finished, "theirs").model_copy(update={"occurred_at": second.outcome.occurred_at}))
    assert others == [Claimed()] * 38

    outcomes = [placed(effect, f"r-{number}") for number, effect in enumerate(new)]
    assert await asyncio.gather(*(mine.finish(each.effect_id, each) for each in outcomes)) == outcomes
    assert counted.statements == 2
    assert [await other.look(each.effect_id) for each in outcomes] == [Finished(each) for each in outcomes]
    rows = await pool.fetch(
        "select effect_id, order_id::text, kind, attempt, deadline - claimed_at as span from effect_ledger"
    )
    assert {tuple(row.values()) for row in rows} == {
        (effect.effect_id, effect.order_id, effect.type, 1, SOON + MARGIN) for effect in effects
    }


async def test_an_outcome_that_cannot_be_kept_costs_no_other_its_record(pool):
    mine, effects = ledger(pool), [wish() for _ in range(5)]
    await asyncio.gather(*(mine.claim(effect, effect.type, SOON) for effect in effects))
    outcomes = [placed(effect) for effect in effects]
    outcomes[3] = outcomes[3].model_copy(update={"reservation_id": "not for PostgreSQL: \0"})
    found = await asyncio.gather(*(mine.finish(each.effect_id, each) for each in outcomes), return_exceptions=True)

    assert isinstance(found.pop(3), asyncpg.DataError)
    assert found == [*outcomes[:3], outcomes[4]]


async def test_of_two_outcomes_of_one_effect_at_once_one_stands(pool):
    mine, effect, other = ledger(pool), wish(), wish()
    for each in (effect, other):
        await mine.claim(each, each.type, SOON)
    _, *found = await asyncio.gather(
        mine.finish(other.effect_id, placed(other)),
        *(mine.finish(effect.effect_id, placed(effect, f"r-{number}")) for number in range(4)),
    )
    assert len({each.reservation_id for each in found}) == 1


async def test_finishing_what_was_never_claimed_is_a_mistake(pool):
    effect = wish()
    with pytest.raises(LookupError):
        await ledger(pool).finish(effect.effect_id, placed(effect))


async def test_the_act_is_done_once_and_its_outcome_published_every_time(pool):
    effect, producer = wish(), FakeProducer()
    market = Market(effect)
    for worker in (ledger(pool, "a"), ledger(pool, "a"), ledger(pool, "b")):
        await perform(worker, producer, effect, market, within=SOON)
    assert market.calls == 1
    assert {sent.key for sent in producer.sent} == {effect.order_id}
    first, *others = producer.on(ORDER_EVENTS)
    assert first.type == "purchase.placed"
    assert others == [first, first]


@pytest.mark.parametrize(
    ("error", "failure", "cause"),
    [
        (Transient(Cause.RATE_LIMITED, "later", retry_after=7), Failure.TRANSIENT, Cause.RATE_LIMITED),
        (Refused(Cause.OUT_OF_STOCK, "no"), Failure.REFUSED, Cause.OUT_OF_STOCK),
        (Unknown(Cause.TIMEOUT, "cut off"), Failure.UNKNOWN, Cause.TIMEOUT),
        (Malformed(Cause.BAD_ANSWER, "not JSON"), Failure.UNKNOWN, Cause.BAD_ANSWER),
        (TimeoutError(), Failure.UNKNOWN, Cause.TIMEOUT),
        (KeyError("a bug"), Failure.UNKNOWN, Cause.DEFECT),
    ],
)
async def test_a_failed_act_is_an_outcome_too(pool, error, failure, cause):
    effect, producer = wish(), FakeProducer()
    market = Market(effect, error)
    for _ in range(2):
        await perform(ledger(pool), producer, effect, market, within=SOON)
    assert market.calls == 1
    failed, again = producer.on(ORDER_EVENTS)
    assert isinstance(failed, EffectFailed)
    assert again == failed
    assert (failed.failure, failed.cause, failed.purchase_id) == (failure, cause, effect.purchase_id)
    assert failed.retry_after == getattr(error, "retry_after", None)
    assert "a bug" not in failed.detail  # a foreign text may hold anything


async def test_an_act_that_takes_too_long_is_stopped_and_unknown(pool):
    effect, producer = wish(), FakeProducer()
    market = Market(effect)
    market.may_answer.clear()
    await perform(ledger(pool), producer, effect, market, within=timedelta(seconds=4))
    (failed,) = producer.on(ORDER_EVENTS)
    assert (failed.failure, failed.cause) == (Failure.UNKNOWN, Cause.TIMEOUT)


async def test_whoever_comes_second_waits_for_the_outcome(pool):
    effect, producer = wish(), FakeProducer()
    mine, market = ledger(pool), Market(effect)
    market.may_answer.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(perform(mine, producer, effect, market, within=SOON))
        await market.asked.wait()
        # The same process gets it again after a rebalance, and another one gets it as well.
        for worker in (mine, ledger(pool)):
            tasks.create_task(perform(worker, producer, effect, market, within=SOON))
        await asyncio.sleep(0)
        assert producer.sent == []
        market.may_answer.set()
    assert market.calls == 1
    assert [event.type for event in producer.on(ORDER_EVENTS)] == ["purchase.placed"] * 3


async def test_what_a_dead_worker_began_is_unknown_and_stays_so(pool):
    effect, producer = wish(), FakeProducer()
    dead, market = ledger(pool), Market(effect)
    await dead.claim(effect, effect.type, SOON)
    await expire(pool, effect)
    await perform(ledger(pool), producer, effect, market, within=SOON)
    await perform(dead, producer, effect, market, within=SOON)
    assert market.calls == 0
    failed, again = producer.on(ORDER_EVENTS)
    assert (failed.failure, failed.cause) == (Failure.UNKNOWN, Cause.ABANDONED)
    assert again == failed


async def test_an_owner_that_dies_while_we_wait_is_given_up(pool):
    effect, producer = wish(), FakeProducer()
    await ledger(pool).claim(effect, effect.type, SOON)
    waiting = asyncio.create_task(perform(ledger(pool), producer, effect, Market(effect), within=SOON))
    await asyncio.sleep(0)
    await expire(pool, effect)
    await waiting
    (failed,) = producer.on(ORDER_EVENTS)
    assert failed.cause == Cause.ABANDONED


async def test_a_publication_that_fails_is_made_up_for_without_acting_again(pool):
    effect, producer = wish(), FakeProducer()
    market = Market(effect)
    producer.away = True
    with pytest.raises(Transient):
        await perform(ledger(pool), producer, effect, market, within=SOON)
    producer.away = False
    await perform(ledger(pool), producer, effect, market, within=SOON)
    assert market.calls == 1
    assert [event.type for event in producer.on(ORDER_EVENTS)] == ["purchase.placed"]


async def test_an_outcome_is_kept_until_postgres_takes_it(pool):
    effect, producer = wish(), FakeProducer()
    tries = 0

    class Flaky(EffectLedger):
        async def finish(self, effect_id, outcome):
            nonlocal tries
            tries += 1
            if tries == 1:
                raise Transient(Cause.DATABASE_UNAVAILABLE, "restarting")
            return await super().finish(effect_id, outcome)

    flaky = Flaky(pool, incarnation("flaky"))
    market = Market(effect)
    await perform(flaky, producer, effect, market, within=SOON)
    assert (market.calls, tries) == (1, 2)
    assert await ledger(pool).look(effect.effect_id) == Finished(producer.on(ORDER_EVENTS)[0])


async def test_without_postgres_nothing_is_acted():
    effect, producer = wish(), FakeProducer()
    market = Market(effect)
    async with open_pool(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing") as away:
        with pytest.raises(Transient) as error:
            await perform(ledger(away), producer, effect, market, within=SOON)
    assert error.value.cause is Cause.DATABASE_UNAVAILABLE
    assert (market.calls, producer.sent) == (0, [])


async def test_a_connection_that_is_cut_is_transient_and_the_next_one_works(pool, database):
    effect = wish()
    async with pool.acquire() as connection:
        pid = connection.get_server_pid()
    other = await asyncpg.connect(database)
    await other.execute("select pg_terminate_backend($1)", pid)
    await other.close()
    mine = ledger(pool)
    try:
        claim = await mine.claim(effect, effect.type, SOON)
    except Transient:
        claim = await mine.claim(effect, effect.type, SOON)
    assert claim == Claimed()


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Transient(Cause.PROVIDER_UNAVAILABLE, "down"), Failure.TRANSIENT),
        (Refused(Cause.NOT_FOUND, "no such purchase"), Failure.REFUSED),
        (Unknown(Cause.TIMEOUT, "cut off"), Failure.TRANSIENT),
        (Malformed(Cause.BAD_ANSWER, "not JSON"), Failure.TRANSIENT),
        (TimeoutError(), Failure.TRANSIENT),
    ],
)
async def test_a_read_that_fails_changed_nothing(error, failure):
    effect, producer = wish(LookUpPurchase), FakeProducer()
    await perform_read(producer, effect, Market(effect, error), within=SOON)
    (failed,) = producer.on(ORDER_EVENTS)
    assert failed.failure == failure


async def test_a_read_is_repeated_whenever_it_is_asked_for():
    effect, producer = wish(LookUpPurchase), FakeProducer()
    market = Market(effect)
    for _ in range(2):
        await perform_read(producer, effect, market, within=SOON)
    assert market.calls == 2
    assert len(producer.sent) == 2


# Who was given up and comes back


async def given_up(pool, effect, producer, market) -> None:
    """Perform an effect that others give up while it is under way, and let it end after that."""
    market.may_answer.clear()
    acting = asyncio.create_task(perform(ledger(pool), producer, effect, market, within=SOON))
    await market.asked.wait()
    await expire(pool, effect)
    other = FakeProducer()
    await perform(ledger(pool), other, effect, market, within=SOON)
    (told,) = other.on(ORDER_EVENTS)
    assert told.cause == Cause.ABANDONED
    market.may_answer.set()
    await acting


async def test_an_outcome_that_comes_after_its_worker_was_given_up_is_told_beside_the_recorded_one(pool):
    effect, producer = wish(), FakeProducer()
    market = Market(effect)
    await given_up(pool, effect, producer, market)
    late, standing = producer.on(ORDER_EVENTS)
    assert (late.type, late.reservation_id, late.effect_id) == ("purchase.placed", "r-1", effect.effect_id)
    assert late.event_id == late_id(placed(effect)) != placed(effect).event_id
    assert standing.cause == Cause.ABANDONED
    assert await ledger(pool).look(effect.effect_id) == Finished(standing)


async def test_a_late_outcome_waits_for_the_broker(pool):
    class AwayOnce(FakeProducer):
        tries = 0

        async def send(self, *about):
            self.tries += 1
            self.away = self.tries == 1
            await super().send(*about)

    effect, producer = wish(), AwayOnce()
    await given_up(pool, effect, producer, Market(effect))
    assert [event.type for event in producer.on(ORDER_EVENTS)] == ["purchase.placed", "effect.failed"]


async def test_a_new_process_of_the_same_name_does_not_keep_the_work_of_a_dead_one_alive(pool):
    effect, producer = wish(), FakeProducer()
    await ledger(pool, "pod-0").claim(effect, effect.type, SOON)
    reborn, market = ledger(pool, "pod-0"), Market(effect)
    assert isinstance(await reborn.claim(effect, effect.type, SOON), Running), "taken over before it may be"
    await expire(pool, effect)
    assert await reborn.claim(effect, effect.type, SOON) == Expired(), "its deadline was moved"
    await perform(reborn, producer, effect, market, within=SOON)
    (failed,) = producer.on(ORDER_EVENTS)
    assert (market.calls, failed.failure, failed.cause) == (0, Failure.UNKNOWN, Cause.ABANDONED)


async def test_failures_are_dated_by_the_clock_that_is_given(pool):
    moment = datetime(2031, 5, 6, tzinfo=UTC)
    effect, asked, producer = wish(), wish(LookUpPurchase), FakeProducer()
    refused = Refused(Cause.OUT_OF_STOCK, "no")
    await perform(ledger(pool), producer, effect, Market(effect, refused), within=SOON, clock=lambda: moment)
    await perform_read(producer, asked, Market(asked, refused), within=SOON, clock=lambda: moment)
    assert [event.occurred_at for event in producer.on(ORDER_EVENTS)] == [moment, moment]


async def test_a_connection_given_back_is_rolled_back_and_asked_nothing_more(pool):
    asked: list[str] = []
    async with pool.acquire() as connection:
        connection.add_query_logger(lambda query: asked.append(query.query))
    await pool.fetchval("select 1")
    assert asked == ["select 1"]

    async with pool.acquire() as connection:
        await connection.execute("begin")
    assert asked == ["select 1", "begin", "ROLLBACK"]
