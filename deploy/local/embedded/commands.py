"""What the command line does: up, down, status, exec."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from embedded.environment import environment
from embedded.errors import ServerFailed, StackConflict
from embedded.jars import java, kafka_jars, kafka_version
from embedded.paths import CHECKOUT, RUN_DIR
from embedded.report import Display, follow, step
from embedded.rundir import RunDir
from embedded.services import SERVICES, parse_workers

EXIT_NOT_UP = 3  # as systemctl status has it
_STOP_SECONDS = 60.0


def fetch(console: Console) -> None:
    """Fetch what the stack needs and the cache lacks; check for Java. Raises MissingTool or FetchFailed."""
    java()
    display = Display(console)
    with display.live(), step(display, f"Kafka {kafka_version()} in the cache"):
        kafka_jars()


def up(run: RunDir, console: Console) -> bool:
    """Start the stack under a detached supervisor; return once it is ready.

    Returns False when it was up already. Raises EmbeddedError when it does not come up.
    """
    parse_workers(os.environ.get("WORKERS", ""))  # a mistake should be told here and not in a log
    with run.starting():
        if run.is_held():
            _wait_until_ready(run)
            return False
        fetch(console)
        if orphans := run.reap():
            console.print(f"ended {orphans} processes that an earlier run had left")
        run.fresh()
        started = time.monotonic()
        _start(run, console)
        console.print(f"BitLoot is up ({time.monotonic() - started:.1f} s).")
        return True


def _start(run: RunDir, console: Console) -> None:
    """Start the supervisor and show what it does until all is ready. Raises ServerFailed when it is not."""
    reader, supervisor = _detach(run)
    try:
        failure = follow(reader, Display(console))
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
        raise
    if failure is not None:
        supervisor.wait()
        raise ServerFailed(failure)


def _detach(run: RunDir) -> tuple[int, subprocess.Popen[bytes]]:
    """Start the supervisor in a session of its own; return the reading end of its report."""
    reader, writer = os.pipe()
    with (run.log_dir / "supervisor.log").open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "embedded", "supervise", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    return reader, supervisor


def _wait_until_ready(run: RunDir) -> None:
    """Wait for a stack whose starter went away before it was ready. Raises StackConflict when it does not get ready."""
    deadline = time.monotonic() + _STOP_SECONDS
    while run.stack() is None:
        if not run.is_held() or time.monotonic() > deadline:
            raise StackConflict("another command was starting or stopping the stack; it is not up")
        time.sleep(0.1)


def down(run: RunDir, console: Console) -> None:
    """Stop the stack, if one is up, and what a killed supervisor may have left."""
    if not run.is_held():
        orphans = run.reap()
        console.print(f"BitLoot was not up{f'; ended {orphans} processes of an earlier run' if orphans else ''}.")
        return
    started = time.monotonic()
    run.end_supervisor(_STOP_SECONDS)
    run.reap()
    console.print(f"BitLoot is down ({time.monotonic() - started:.1f} s).")


def status(run: RunDir, console: Console) -> int:
    """Print what runs; return 0 when the stack is up, else 3."""
    facts = run.stack()
    if facts is None or not run.is_held():
        console.print("BitLoot is not up.")
        return EXIT_NOT_UP
    print_facts(facts, console)
    return 0


def print_facts(facts: dict[str, Any], console: Console) -> None:
    """Print where everything is."""
    for title, fact in (
        ("ingress", facts["ingress_url"]),
        ("admin API", f"{facts['admin_url']}/docs"),
        ("order page", f"{facts['delivery_url']}/o/..."),
        ("sandbox", facts["sandbox_url"]),
        ("Kafka", facts["kafka"]),
        ("PostgreSQL", facts["postgres"]),
        ("S3", f"{facts['s3_endpoint']}/{facts['s3_bucket']}"),
        ("logs", facts["log_dir"]),
    ):
        console.print(f"  {title:<12}{fact}", soft_wrap=True)
    for name, pids in facts["pids"].items():
        console.print(f"  {name:<12}pid {', '.join(map(str, pids))}")


def execute(run: RunDir, service: str | None, command: Sequence[str]) -> None:
    """Become `command`, with the settings of the running stack in its environment: all, or one service's.

    Raises StackConflict when no stack is up.
    """
    if not run.is_held() or not run.environment_file.exists():
        raise StackConflict("BitLoot is not up; start it with: make up")
    everything = json.loads(run.environment_file.read_text())
    needs = next((known.needs for known in SERVICES if known.name == service), frozenset(everything))
    os.execvpe(command[0], list(command), environment(everything, needs, os.environ))  # noqa: S606 - the point


def run_dir() -> RunDir:
    """Return `$BITLOOT_RUN_DIR`, else `.run` of the checkout."""
    configured = os.environ.get("BITLOOT_RUN_DIR")
    return RunDir(Path(configured).absolute() if configured else RUN_DIR)
