"""The detached process behind `up`: starts the stack, keeps it up, stops it when told to."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from embedded.errors import EmbeddedError
from embedded.report import PipeReport
from embedded.rundir import RunDir
from embedded.services import parse_workers
from embedded.stack import stack


def supervise(run: RunDir, descriptor: int) -> None:
    """Be the supervisor: start the stack, tell the pipe, keep it up until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    report = PipeReport(descriptor)
    try:
        with run.held():
            asyncio.run(_supervise(run, report))
    except EmbeddedError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 - its message is all there is to know
        report.failed(str(error))
    except Exception:
        logging.getLogger(__name__).exception("the supervisor itself failed")
        report.failed(f"the supervisor itself failed; see {run.log_dir / 'supervisor.log'}")
        raise


async def _supervise(run: RunDir, report: PipeReport) -> None:
    given = dict(os.environ)
    try:
        with _cancelled_by(signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            async with stack(run, workers=parse_workers(given.get("WORKERS", "")), given=given, report=report):
                report.ready()
                await asyncio.Event().wait()
    except asyncio.CancelledError:
        report.failed("stopped before it was ready")


@contextmanager
def _cancelled_by(*signals: signal.Signals) -> Iterator[None]:
    """Have a signal cancel the current task.

    Once: an impatient second one must not cut the clean stop short. The task itself cannot tell that: a group of tasks
    that failed and was tried again may have left it counted as being cancelled.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    is_asked = False

    def cancel() -> None:
        nonlocal is_asked
        if task is not None and not is_asked:
            is_asked = True
            task.cancel()

    for signum in signals:
        loop.add_signal_handler(signum, cancel)
    try:
        yield
    finally:
        for signum in signals:
            loop.remove_signal_handler(signum)
