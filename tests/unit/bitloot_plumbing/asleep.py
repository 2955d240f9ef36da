"""A process whose machine sleeps for an hour in the middle of its work; prints what it does when both wake up.

It moves into a time namespace of Linux in which the clock that counts sleep is an hour ahead, and the others are not.
"""

import asyncio
import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from typing import cast

from bitloot.contracts.base import Record
from bitloot.errors import Cause, Refused
from bitloot.faust_app.guard import Ending, Guard
from bitloot.ledger import Claimed, EffectLedger, settle
from bitloot.ledger.book import Orders
from tests.unit.kinguin.samples import buy

_AHEAD = ("unshare", "--fork", "--kill-child", "--time", "--boottime", "3600", "sh", "-c", "echo there; exec sleep 60")
_CLONE_NEWTIME = 0x80


class Ledger:
    """Grants a claim, and the machine sleeps before anybody hears of it."""

    book = Orders()

    def __init__(self, sleep: Callable[[], None]) -> None:
        self._sleep = sleep

    async def claim(self, *_claim: object) -> Claimed:
        """See `EffectLedger.claim`."""
        self._sleep()
        return Claimed()

    async def finish(self, _effect: object, outcome: Record) -> Record:
        """See `EffectLedger.finish`."""
        return outcome


async def work(sleep: Callable[[], None]) -> None:
    """Hold partitions, and buy something."""
    guard = Guard(7.0)
    guard.tick(0.0)

    async def act() -> Record:
        print("bought")  # noqa: T201
        raise Refused(Cause.OUT_OF_STOCK, "nothing is sold here")

    async def publish(_late: Record) -> None:
        """Nothing is late."""

    ledger = cast("EffectLedger", Ledger(sleep))
    outcome = await settle(ledger, publish, buy(), act, within=timedelta(seconds=30))
    print(getattr(outcome, "cause", outcome))  # noqa: T201
    try:
        guard.check()
    except Ending:
        print("fenced")  # noqa: T201
    else:
        print("writes on")  # noqa: T201


def main() -> None:
    """Do it."""
    if shutil.which(_AHEAD[0]) is None:
        print("not permitted")  # noqa: T201
        return
    with subprocess.Popen(_AHEAD, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as other:
        if other.stdout is None or other.stdout.readline() != b"there\n":
            print("not permitted")  # noqa: T201
            return
        ahead = os.open(f"/proc/{other.pid}/ns/time_for_children", os.O_RDONLY)

        def sleep() -> None:
            before = time.monotonic()
            if ctypes.CDLL(None, use_errno=True).setns(ahead, _CLONE_NEWTIME):
                raise OSError(ctypes.get_errno(), "setns")
            assert time.monotonic() - before < 60  # it does not count sleep, as on a real machine

        try:
            asyncio.run(work(sleep))
        finally:
            os.close(ahead)
            other.kill()


if __name__ == "__main__":
    main()
