import asyncio

import pytest

from admin_api.sink.ahead import OneAhead


class Work:
    """Waits until it is let go on, and tells what became of it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go_on = asyncio.Event()
        self.became = "not started"
        self._error = error

    async def run(self) -> None:
        self.became = "started"
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.became = "canceled"
            raise
        if self._error is not None:
            raise self._error
        self.became = "done"


async def started(work: Work) -> None:
    async with asyncio.timeout(10):
        while work.became == "not started":
            await asyncio.sleep(0)


async def test_its_owner_goes_on_and_leaving_waits():
    work = Work()
    async with OneAhead() as ahead:
        await ahead.begin(work.run())
        await started(work)
        work.go_on.set()

    assert work.became == "done"


async def test_nothing_is_started_before_the_last_one_has_ended():
    first, second = Work(), Work()
    async with OneAhead() as ahead:
        await ahead.begin(first.run())
        beginning = asyncio.create_task(ahead.begin(second.run()))
        await started(first)
        assert second.became == "not started"
        first.go_on.set()
        await beginning
        assert first.became == "done"
        second.go_on.set()
        await ahead.settle()
        assert second.became == "done"


async def test_after_a_failure_nothing_is_started():
    failing, after = Work(ValueError("no")), Work()
    failing.go_on.set()

    async def owner() -> None:
        async with OneAhead() as ahead:
            await ahead.begin(failing.run())
            await ahead.begin(after.run())

    with pytest.raises(ValueError, match="no"):
        await owner()
    assert after.became == "not started"


async def test_a_failure_is_told_when_leaving():
    failing = Work(ValueError("no"))
    failing.go_on.set()
    with pytest.raises(ValueError, match="no"):
        async with OneAhead() as ahead:
            await ahead.begin(failing.run())


async def test_an_exception_of_the_owner_cancels_it():
    work = Work()

    async def owner() -> None:
        async with OneAhead() as ahead:
            await ahead.begin(work.run())
            await started(work)
            raise KeyError

    with pytest.raises(KeyError):
        await owner()
    assert work.became == "canceled"
