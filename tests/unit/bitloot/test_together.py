"""Questions that come together are asked together, and each gets its own answer."""

import asyncio

import pytest

from bitloot.errors import Cause, Transient
from bitloot.ledger.together import Together


class Oracle:
    """Answers in capitals, when it may; keeps what it was asked at once."""

    def __init__(self, *, is_held=False):
        self.asked = []
        self.may_answer = asyncio.Event()
        if not is_held:
            self.may_answer.set()

    async def __call__(self, questions):
        self.asked.append(dict(questions))
        await self.may_answer.wait()
        if "mistake" in questions.values():
            raise ValueError("no such question")
        if "away" in questions.values():
            raise Transient(Cause.DATABASE_UNAVAILABLE, "away")
        return {key: question.upper() for key, question in questions.items() if question != "unknown"}


async def all_of(oracle, questions, **options):
    """Ask one question, and the others while it is on its way."""
    together = Together(oracle, **options)
    tasks = []
    for key, question in questions:
        tasks.append(asyncio.create_task(together(key, question)))
        await asyncio.sleep(0)
    while not oracle.asked:
        await asyncio.sleep(0)
    oracle.may_answer.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_first_goes_at_once_and_the_others_together():
    oracle = Oracle(is_held=True)
    questions = [(str(number), f"q{number}") for number in range(5)]

    assert await all_of(oracle, questions) == ["Q0", "Q1", "Q2", "Q3", "Q4"]
    assert [list(each) for each in oracle.asked] == [["0"], ["1", "2", "3", "4"]]


async def test_not_more_than_so_many_go_together():
    oracle = Oracle(is_held=True)
    await all_of(oracle, [(str(number), "q") for number in range(6)], most=2)

    assert [len(each) for each in oracle.asked] == [1, 2, 2, 1]


async def test_of_one_key_only_one_question_is_asked_at_a_time():
    oracle = Oracle(is_held=True)

    assert await all_of(oracle, [("a", "1"), ("b", "2"), ("b", "3"), ("a", "4"), ("b", "5")]) == list("12345")
    assert oracle.asked == [{"a": "1"}, {"b": "2", "a": "4"}, {"b": "3"}, {"b": "5"}]


async def test_what_is_not_answered_is_none():
    assert await all_of(Oracle(), [("a", "unknown"), ("b", "q")]) == [None, "Q"]


async def test_a_question_that_cannot_be_asked_costs_no_other_its_answer():
    oracle = Oracle(is_held=True)
    first, *others = await all_of(oracle, [("a", "q"), ("b", "q"), ("c", "mistake"), ("d", "q")])

    assert first == "Q"
    assert [type(each) for each in others] == [str, ValueError, str]
    assert [list(each) for each in oracle.asked] == [["a"], ["b", "c", "d"], ["b"], ["c"], ["d"]]


async def test_whoever_is_away_is_away_for_all_and_asked_once():
    oracle = Oracle(is_held=True)
    _, *others = await all_of(oracle, [("a", "q"), ("b", "away"), ("c", "q")])

    assert [type(each) for each in others] == [Transient, Transient]
    assert len(oracle.asked) == 2
    assert await Together(oracle)("d", "q") == "Q"


async def test_it_goes_on_after_an_error():
    oracle = Oracle()
    together = Together(oracle)
    with pytest.raises(Transient):
        await together("a", "away")
    with pytest.raises(ValueError, match="no such question"):
        await together("a", "mistake")

    assert await together("a", "q") == "Q"


async def test_whoever_gives_up_costs_nobody_anything():
    oracle = Oracle(is_held=True)
    together = Together(oracle)
    first = asyncio.create_task(together("a", "a"))
    while not oracle.asked:
        await asyncio.sleep(0)
    second, third = [asyncio.create_task(together(key, key)) for key in "bc"]
    await asyncio.sleep(0)
    for task in (first, second):  # one that is being asked, and one that waits
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    oracle.may_answer.set()

    assert await third == "C"
    assert oracle.asked == [{"a": "a"}, {"c": "c"}]


async def test_what_comes_in_one_turn_of_the_loop_goes_together():
    oracle = Oracle()
    together = Together(oracle)

    assert await asyncio.gather(*(together(key, key) for key in "abc")) == ["A", "B", "C"]
    assert len(oracle.asked) == 1


async def test_nobody_waits_for_a_loop_that_ends():
    oracle = Oracle(is_held=True)
    together = Together(oracle)
    waiting = [asyncio.create_task(together(key, key)) for key in "abc"]
    while not oracle.asked:
        await asyncio.sleep(0)
    (asking,) = asyncio.all_tasks() - {asyncio.current_task(), *waiting}
    asking.cancel()

    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in done] == 3 * [asyncio.CancelledError]
