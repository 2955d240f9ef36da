"""How the supervisor is told to stop."""

import asyncio
import os
import signal

import pytest

from embedded.supervise import _cancelled_by


async def told_after_a_failed_group() -> None:
    with _cancelled_by(signal.SIGTERM):
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(60))
                group.create_task(fail())
        except* OSError:
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)


async def fail() -> None:
    raise OSError


async def test_it_hears_a_signal_after_a_start_that_failed_and_was_tried_again():
    task = asyncio.create_task(told_after_a_failed_group())
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await task


async def test_only_the_first_signal_cancels():
    ended = asyncio.Event()

    async def stop_cleanly() -> None:
        with _cancelled_by(signal.SIGTERM):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(60)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                for _ in range(10):
                    await asyncio.sleep(0)
                ended.set()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(stop_cleanly())
    assert ended.is_set()
