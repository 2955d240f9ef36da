"""Limits on calls: what is held back never leaves, and what was learned is passed on."""

import asyncio

import pytest

from bitloot.breaker import CircuitBreaker, State
from bitloot.errors import Cause, Transient
from fulfillment.kinguin.esa.api import BuyerApi
from tests.unit.kinguin.scripted import Hangs, HangsUp, Kinguin, Says
from tests.unit.kinguin_esa.buyer import APPLE, KINGUIN_ID, found, placed, problem, product, purchase


class Turnstile:
    """A pace that lets through as long as it has permits."""

    def __init__(self, permits: int = 1000) -> None:
        self.permits = permits
        self.asked: list[float] = []
        self.backed_off: list[float | None] = []

    async def acquire(self, within: float) -> None:
        self.asked.append(within)
        if len(self.asked) > self.permits:
            raise Transient(Cause.RATE_LIMITED, "no turn", retry_after=4)

    async def back_off(self, retry_after: float | None) -> None:
        self.backed_off.append(retry_after)


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker("kinguin", failures=2)


async def test_each_call_takes_a_permit_and_waits_no_longer_than_it_may(kinguin: Kinguin, open_esa):
    kinguin.script("product", product())
    pace = Turnstile()
    async with open_esa(pace, kinguin_wait_seconds=7) as gateway:
        for _ in range(3):
            await BuyerApi(gateway).product(APPLE)
    assert pace.asked == [7, 7, 7]


async def test_without_a_permit_nothing_leaves(kinguin: Kinguin, open_esa):
    async with open_esa(Turnstile(0)) as gateway:
        with pytest.raises(Transient) as caught:
            await BuyerApi(gateway).place_order(purchase(), {APPLE: 1})
    assert (caught.value.cause, caught.value.retry_after) == (Cause.RATE_LIMITED, 4)
    assert not kinguin.asked


@pytest.mark.parametrize(("header", "wait"), [({"Retry-After": "17"}, 17), ({}, None)])
async def test_429_slows_everybody_down(kinguin: Kinguin, open_esa, header, wait):
    kinguin.script("search", problem(429, None, header))
    pace = Turnstile()
    async with open_esa(pace) as gateway:
        with pytest.raises(Transient) as caught:
            await BuyerApi(gateway).search("x")
    assert pace.backed_off == [wait]
    assert caught.value.retry_after == wait


@pytest.mark.parametrize("line", [Says(503), HangsUp(), Says(500, b"<html>")], ids=repr)
async def test_a_provider_that_is_away_is_left_alone(kinguin: Kinguin, open_esa, breaker, line):
    kinguin.script("search", line)
    async with open_esa(None, breaker) as gateway:
        api = BuyerApi(gateway)
        for _ in range(5):
            with pytest.raises(Transient):
                await api.search("x")
        assert breaker.state is State.OPEN
        with pytest.raises(Transient) as caught:  # a purchase too: nothing has left, so it is no unknown outcome
            await api.place_order(purchase(), {APPLE: 1})
    assert caught.value.cause is Cause.PROVIDER_UNAVAILABLE
    assert caught.value.retry_after is not None
    assert len(kinguin.asked) == 2


@pytest.mark.parametrize("line", [problem(404, "OrderNotFound"), problem(429, None), problem(401, None), Says(200)])
async def test_whoever_answers_is_not_away(kinguin: Kinguin, open_esa, breaker, line):
    kinguin.script("search", line)
    async with open_esa(None, breaker) as gateway:
        for _ in range(5):
            with pytest.raises(Exception, match="answered"):
                await BuyerApi(gateway).search("x")
    assert breaker.state is State.CLOSED
    assert len(kinguin.asked) == 5


async def test_what_the_limit_turns_away_says_nothing_about_the_provider(kinguin: Kinguin, open_esa, breaker):
    async with open_esa(Turnstile(0), breaker) as gateway:
        for _ in range(5):
            with pytest.raises(Transient):
                await BuyerApi(gateway).search("x")
    assert breaker.state is State.CLOSED


async def test_calls_are_bounded_in_time_and_a_silence_counts_as_away(kinguin: Kinguin, open_esa, breaker):
    kinguin.script("search", Hangs())
    async with open_esa(None, breaker, kinguin_call_seconds=0.5, kinguin_connect_seconds=0.4) as gateway:
        for _ in range(2):
            with pytest.raises(Transient) as caught:
                await BuyerApi(gateway).search("x")
            assert caught.value.cause is Cause.TIMEOUT
    assert breaker.state is State.OPEN


async def test_so_many_calls_at_once_and_no_more(kinguin: Kinguin, open_esa):
    hangs = Hangs()
    kinguin.script("order", hangs)
    kinguin.script("search", found())
    async with open_esa(kinguin_concurrency=1) as gateway:
        api = BuyerApi(gateway)
        first = asyncio.create_task(api.order(KINGUIN_ID, purchase()))
        await hangs.reached.wait()
        second = asyncio.create_task(api.search("x"))
        done, _ = await asyncio.wait([second], timeout=0.2)
        assert not done
        assert not kinguin.calls("search")
        first.cancel()
        assert await second == ()


async def test_the_probe_reopens_the_way(kinguin: Kinguin, open_esa):
    now = [0.0]
    breaker = CircuitBreaker("kinguin", failures=2, pause=5, clock=lambda: now[0])
    kinguin.script("search", Says(503), Says(503), found())
    kinguin.script("place_order", placed())
    async with open_esa(None, breaker) as gateway:
        api = BuyerApi(gateway)
        for _ in range(3):
            with pytest.raises(Transient):
                await api.search("x")
        now[0] = 5.0
        assert await api.search("x") == ()
        await api.place_order(purchase(), {APPLE: 1})
    assert breaker.state is State.CLOSED
