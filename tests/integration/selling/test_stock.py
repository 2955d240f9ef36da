"""The stock on a real Postgres: whoever asks how often in whatever order, no code has two sales."""

import asyncio
import random
from collections import Counter

import asyncpg
import pytest

from bitloot.contracts.sales import CodeFate
from bitloot.errors import Refused
from bitloot.ids import CodeId, EffectId, ProductId, ReservationId
from bitloot.sealing import Opener
from fulfillment.selling.stock import Stock

GAME = ProductId("game-1")
ONE, TWO = ReservationId("r-1"), ReservationId("r-2")
FIRST, SECOND = EffectId("sale/r-1/hand_over_code/2"), EffectId("sale/r-1/hand_over_code/3")


async def states(pool: asyncpg.Pool) -> Counter[str]:
    return Counter(row["state"] for row in await pool.fetch("select state from stock_codes"))


async def test_a_sale_gets_one_code_however_often_it_asks(stock: Stock, pool, add_codes):
    await add_codes("AAAA", "BBBB")
    first = await stock.reserve(ONE, GAME, None)
    assert {await stock.reserve(ONE, GAME, None) for _ in range(5)} == {first}
    assert await states(pool) == {"free": 1, "reserved": 1}
    assert await stock.reserve(TWO, ProductId("other"), None) is None


async def test_many_that_ask_at_once_get_different_codes(stock: Stock, pool, add_codes):
    await add_codes(*(f"CODE-{number}" for number in range(60)))
    sales = [ReservationId(f"r-{number}") for number in range(50)] * 3
    found = await asyncio.gather(*(stock.reserve(sale, GAME, None) for sale in sales))
    assert None not in found
    assert len(set(zip(sales, found, strict=True))) == len(set(found)) == 50


async def test_an_empty_stock_has_no_code(stock: Stock):
    assert await stock.reserve(ONE, GAME, None) is None


async def test_a_code_that_did_not_leave_is_free_again_and_its_sale_gets_none(stock: Stock, add_codes):
    await add_codes("AAAA")
    code = await stock.reserve(ONE, GAME, None)
    assert await stock.settle(ONE, CodeFate.FREE) is CodeFate.FREE
    assert await stock.reserve(ONE, GAME, None) is None
    assert await stock.reserve(TWO, GAME, None) == code
    # Told again, late: it is nobody's business any more.
    assert await stock.settle(ONE, CodeFate.FREE) is CodeFate.FREE
    assert await stock.settle(ONE, CodeFate.WITHHELD) is CodeFate.FREE
    assert await stock.reserve(TWO, GAME, None) == code


async def test_a_sale_that_was_over_before_it_began_gets_no_code(stock: Stock, add_codes):
    await add_codes("AAAA")
    await stock.settle(ONE, CodeFate.FREE)
    assert await stock.reserve(ONE, GAME, None) is None


async def test_a_code_that_may_have_left_is_never_free_again(stock: Stock, pool, add_codes, opener: Opener):
    await add_codes("AAAA")
    code = await stock.reserve(ONE, GAME, None)
    assert opener.open(await stock.send(ONE, code, FIRST)) == b"AAAA"
    assert await stock.settle(ONE, CodeFate.FREE) is CodeFate.WITHHELD
    assert await stock.reserve(TWO, GAME, None) is None
    assert await states(pool) == {"withheld": 1}


async def test_a_try_that_sent_nothing_takes_its_mark_back(stock: Stock, pool, add_codes):
    await add_codes("AAAA")
    code = await stock.reserve(ONE, GAME, None)
    await stock.send(ONE, code, FIRST)
    await stock.keep(code, FIRST)
    assert await states(pool) == {"reserved": 1}
    assert await stock.settle(ONE, CodeFate.FREE) is CodeFate.FREE


async def test_a_try_does_not_take_back_the_mark_of_one_before(stock: Stock, pool, add_codes):
    await add_codes("AAAA")
    code = await stock.reserve(ONE, GAME, None)
    await stock.send(ONE, code, FIRST)  # and nobody knows what became of it
    await stock.send(ONE, code, SECOND)
    await stock.keep(code, SECOND)
    assert await states(pool) == {"sent": 1}


@pytest.mark.parametrize("other", [FIRST, SECOND])
async def test_a_try_does_not_take_back_the_mark_of_one_since(stock: Stock, pool, add_codes, other: EffectId):
    await add_codes("AAAA")
    code = await stock.reserve(ONE, GAME, None)
    await stock.send(ONE, code, FIRST)  # by a worker that is slow
    await stock.send(ONE, code, other)  # and this one has answered
    await stock.keep(code, FIRST)
    assert await states(pool) == {"sent": 1}
    assert await stock.settle(ONE, CodeFate.FREE) is CodeFate.WITHHELD


@pytest.mark.parametrize("which", ["another sale", "another code", "a sale that is over"])
async def test_only_the_code_of_a_living_sale_is_handed_out(stock: Stock, add_codes, which: str):
    await add_codes("AAAA")
    code = await stock.reserve(ONE, GAME, None)
    sale = TWO if which == "another sale" else ONE
    if which == "a sale that is over":
        await stock.settle(ONE, CodeFate.FREE)
    with pytest.raises(Refused):
        await stock.send(sale, CodeId(code + 1) if which == "another code" else code, FIRST)


async def test_the_end_of_a_sale_is_what_was_told_last(stock: Stock, pool, add_codes):
    await add_codes("AAAA")
    code = await stock.reserve(ONE, GAME, None)
    await stock.send(ONE, code, FIRST)
    for fate in (CodeFate.DELIVERED, CodeFate.DELIVERED, CodeFate.REFUNDED):
        assert await stock.settle(ONE, fate) is fate
    assert await states(pool) == {"refunded": 1}


async def test_the_database_itself_refuses_to_free_what_left(stock: Stock, pool, add_codes):
    await add_codes("AAAA")
    code = await stock.reserve(ONE, GAME, None)
    await stock.send(ONE, code, FIRST)
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("update stock_codes set state = 'free', reservation_id = null")


@pytest.mark.parametrize("seed", range(5))
async def test_no_code_is_sent_for_two_sales_whatever_comes_at_once(stock: Stock, pool, add_codes, seed: int):
    """Workers that overlap, come back late and repeat themselves: everything at once, in any order."""
    dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
    await add_codes(*(f"CODE-{number}" for number in range(8)))
    sales = [ReservationId(f"r-{number}") for number in range(20)]
    sent: dict[CodeId, set[ReservationId]] = {}

    async def live(sale: ReservationId) -> None:
        for attempt in range(6):
            await asyncio.sleep(dice.random() / 100)
            act = dice.choice(["reserve", "send", "send", "keep", "settle"])
            effect = EffectId(f"sale/{sale}/{attempt}")
            code = await stock.reserve(sale, GAME, None)
            if act == "settle":
                await stock.settle(sale, dice.choice(list(CodeFate)))
            elif code is not None and act in ("send", "keep"):
                try:
                    await stock.send(sale, code, effect)
                except Refused:
                    continue
                if act == "keep":
                    await stock.keep(code, effect)
                else:
                    sent.setdefault(code, set()).add(sale)

    await asyncio.gather(*(live(sale) for sale in sales for _ in range(3)))
    assert sent
    assert {len(owners) for owners in sent.values()} == {1}
