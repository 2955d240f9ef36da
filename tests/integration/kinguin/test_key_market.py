"""What every `KeyMarket` does: the fake, and the reservations adapter against the sandbox."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

import pytest

from bitloot.errors import BitLootError, Cause, Refused, Transient, Unknown
from bitloot.ids import ReservationId
from bitloot.sealing import KeyPair, Opener, Sealer
from fulfillment.kinguin.ports import Delivered, KeyMarket, Undelivered
from tests.fakes.key_market import FakeKeyMarket
from tests.fakes.sandbox import RunningSandbox
from tests.unit.kinguin.samples import EXTERNAL, PRODUCT, buy, fetch, give, look_up


class Stage(Protocol):
    """A market, and how a test makes things happen behind it."""

    market: KeyMarket

    async def purchases(self) -> int: ...
    async def sell_out(self) -> None: ...
    async def lose_answer(self, call: str) -> None: ...
    async def break_down(self, call: str) -> None: ...
    async def be_busy(self, call: str) -> None: ...
    async def deliver(self, reservation: ReservationId) -> list[str]: ...
    async def cancel(self, reservation: ReservationId) -> None: ...
    async def forbid_look_ups(self) -> None: ...


class FakeStage:
    def __init__(self, market: FakeKeyMarket) -> None:
        self.market = market

    async def purchases(self):
        return len(self.market.purchases)

    async def sell_out(self):
        self.market.sold_out.add(PRODUCT)

    async def lose_answer(self, call):
        self.market.fail(call, Unknown(Cause.PROVIDER_UNAVAILABLE, "lost"), happens=True)

    async def break_down(self, call):
        self.market.fail(call, Unknown(Cause.PROVIDER_UNAVAILABLE, "lost"))

    async def be_busy(self, call):
        self.market.fail(call, Transient(Cause.RATE_LIMITED, "busy", retry_after=7))

    async def deliver(self, reservation):
        self.market.deliver(reservation, "AAAAA-1", "BBBBB-2")
        return ["AAAAA-1", "BBBBB-2"]

    async def cancel(self, reservation):
        self.market.cancel(reservation)

    async def forbid_look_ups(self):
        self.market.can_be_asked = False


class SandboxStage:
    def __init__(self, market: KeyMarket, sandbox: RunningSandbox) -> None:
        self.market = market
        self._sandbox = sandbox

    async def purchases(self):
        return len((await self._sandbox.ledger(EXTERNAL))["purchases"])

    async def sell_out(self):
        await self._fail("reserve", "error", status=404, code="ProductUnavailable")

    async def lose_answer(self, call):
        await self._fail(call, "error_after", status=502)

    async def break_down(self, call):
        await self._fail(call, "error", status=500)

    async def be_busy(self, call):
        await self._fail(call, "error", status=429, retryAfter=7)

    async def deliver(self, reservation):
        async def keys() -> list[str]:
            sold = (await self._sandbox.ledger(EXTERNAL))["purchases"]
            return next(each["keys"] for each in sold if each["reservationId"] == reservation)

        async with asyncio.timeout(10):
            while not (delivered := await keys()):
                pass  # the ledger is asked over HTTP: that is pause enough
        return delivered

    async def cancel(self, reservation):
        assert (await self._sandbox.call("POST", f"/_kinguin/{reservation}/cancel")).status == 200

    async def forbid_look_ups(self):
        await self._sandbox.set(lookup=False)

    async def _fail(self, call, kind, **how):
        name = {"look_up": "lookup", "fetch": "delivered"}.get(call, call)
        await self._sandbox.fail({"provider": "kinguin", "call": name, "kind": kind, "count": 1, **how})


@pytest.fixture
def fake_stage(key_pair: KeyPair) -> Stage:
    return FakeStage(FakeKeyMarket(Sealer(key_pair.public)))


@pytest.fixture
def reservations_stage(market: KeyMarket, sandbox: RunningSandbox) -> Stage:
    return SandboxStage(market, sandbox)


@pytest.fixture(params=["fake", "reservations"])
def stage(request: pytest.FixtureRequest) -> Stage:
    stage: Stage = request.getfixturevalue(f"{request.param}_stage")
    return stage


async def test_a_purchase_is_placed_and_given(stage: Stage):
    placed = await stage.market.buy(buy(2))
    assert (placed.given, placed.provider_status) == (True, "BOUGHT")
    assert await stage.purchases() == 1
    (found,) = await stage.market.look_up(look_up())
    assert (found.reservation_id, found.given, found.canceled) == (placed.reservation_id, True, False)


async def test_a_purchase_whose_answer_was_lost_is_found(stage: Stage):
    await stage.lose_answer("reserve")
    await fails(stage.market.buy(buy(2)), Unknown, Cause.PROVIDER_UNAVAILABLE)
    (found,) = await stage.market.look_up(look_up())
    assert (found.given, found.canceled) == (False, False)
    assert await stage.purchases() == 0


async def test_a_purchase_that_never_came_through_is_not_found(stage: Stage):
    await stage.break_down("reserve")
    await fails(stage.market.buy(buy(2)), Unknown, Cause.PROVIDER_UNAVAILABLE)
    assert await stage.market.look_up(look_up()) == ()


async def test_another_order_is_not_found(stage: Stage):
    await stage.market.buy(buy(2))
    assert await stage.market.look_up(look_up(f"{EXTERNAL}-p2")) == ()


@pytest.mark.parametrize("how", ["lose_answer", "break_down", "be_busy"])
async def test_what_could_not_be_given_is_given_later_and_once(stage: Stage, how: str):
    await getattr(stage, how)("give")
    placed = await stage.market.buy(buy(2))
    assert not placed.given
    await stage.market.give(give(placed.reservation_id))
    await stage.market.give(give(placed.reservation_id))
    (found,) = await stage.market.look_up(look_up())
    assert found.given
    assert await stage.purchases() == 1


async def test_a_give_whose_answer_was_lost_is_unknown(stage: Stage):
    await stage.break_down("give")
    placed = await stage.market.buy(buy(2))
    await stage.lose_answer("give")
    await fails(stage.market.give(give(placed.reservation_id)), Unknown, Cause.PROVIDER_UNAVAILABLE)
    (found,) = await stage.market.look_up(look_up())
    assert found.given


async def test_what_is_sold_out_is_refused(stage: Stage):
    await stage.sell_out()
    await fails(stage.market.buy(buy(2)), Refused, Cause.OUT_OF_STOCK)
    assert await stage.purchases() == 0


async def test_a_busy_market_is_tried_again(stage: Stage):
    await stage.be_busy("reserve")
    error = await fails(stage.market.buy(buy(2)), Transient, Cause.RATE_LIMITED)
    assert isinstance(error, Transient)
    assert error.retry_after == 7
    assert await stage.market.look_up(look_up()) == ()


async def test_a_canceled_reservation_cannot_be_given(stage: Stage):
    await stage.break_down("give")
    placed = await stage.market.buy(buy(2))
    await stage.cancel(placed.reservation_id)
    await fails(stage.market.give(give(placed.reservation_id)), Refused, Cause.CANCELED)
    (found,) = await stage.market.look_up(look_up())
    assert (found.given, found.canceled) == (False, True)


async def test_an_unknown_reservation_cannot_be_given(stage: Stage):
    await fails(stage.market.give(give("nobody-has-this")), Refused, Cause.NOT_FOUND)


async def test_a_market_that_cannot_be_asked_says_so(stage: Stage):
    await stage.forbid_look_ups()
    await fails(stage.market.look_up(look_up()), Refused, Cause.CANNOT_ASK)


async def test_codes_are_fetched_sealed_and_as_often_as_one_likes(stage: Stage, opener: Opener):
    placed = await stage.market.buy(buy(2))
    codes = await stage.deliver(placed.reservation_id)
    for _ in range(2):
        fetched = await stage.market.fetch(fetch(2, reservation=placed.reservation_id))
        assert isinstance(fetched, Delivered)
        assert [opener.open(code).decode() for code in fetched.lines[0].codes] == codes


async def test_codes_that_are_not_there_yet_are_waited_for(stage: Stage):
    await stage.break_down("give")
    placed = await stage.market.buy(buy(2))
    undelivered = await stage.market.fetch(fetch(2, reservation=placed.reservation_id))
    assert undelivered == Undelivered("NotDelivered")


async def test_more_codes_than_bought_are_refused(stage: Stage):
    placed = await stage.market.buy(buy(2))
    await stage.deliver(placed.reservation_id)
    await fails(stage.market.fetch(fetch(1, reservation=placed.reservation_id)), Refused, Cause.BAD_CODES)


async def fails(call: Awaitable[object], family: type[BitLootError], cause: Cause) -> BitLootError:
    with pytest.raises(BitLootError) as caught:
        await call
    assert (type(caught.value), caught.value.cause) == (family, cause), caught.value
    return caught.value
