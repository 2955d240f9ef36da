"""What a run leaves on disk, and how a later command tells whether that run still lives.

A supervisor holds a lock on `.run/lock` as long as it lives: the kernel drops it with the process, so
unlike a process id it cannot lie. Process ids are recorded with their start times, and nothing is signaled
unless both agree.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from embedded.errors import StackConflict
from embedded.files import write_whole
from embedded.processes import children, identity, lives, living


@dataclass(frozen=True, slots=True)
class RunDir:
    """The directory of one stack."""

    path: Path

    @property
    def stack_file(self) -> Path:
        """The facts of the stack, for people and scripts; there from ready until stopped."""
        return self.path / "stack.json"

    @property
    def environment_file(self) -> Path:
        """Every setting of the run, secrets included, for `exec`."""
        return self.path / "environment.json"

    @property
    def log_dir(self) -> Path:
        """One log file for each process."""
        return self.path / "logs"

    @property
    def data_dir(self) -> Path:
        """Where the servers and tables keep their data, until the next run."""
        return self.path / "data"

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def _supervisor_file(self) -> Path:
        return self.path / "supervisor.json"

    @property
    def _processes_file(self) -> Path:
        return self.path / "processes.json"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Be this directory's supervisor. Raises StackConflict when another process is."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self._lock_file.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackConflict(f"another stack is up in {self.path}") from None
            write_whole(self._supervisor_file, json.dumps(identity(os.getpid())))
            try:
                yield
            finally:
                self._supervisor_file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Be the only one who starts a stack here; waits for another who does."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "starting.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def is_held(self) -> bool:
        """Tell whether a supervisor lives, be it starting, ready or stopping."""
        if not self._lock_file.exists():
            return False
        with self._lock_file.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def supervisor(self) -> psutil.Process | None:
        """Return the process that holds the directory, or None."""
        if not self.is_held():
            return None
        recorded = _read(self._supervisor_file)
        return living(recorded) if recorded else None

    def stack(self) -> dict[str, Any] | None:
        """Return the facts of the stack, or None when it is not ready."""
        facts: dict[str, Any] | None = _read(self.stack_file)
        return facts

    def publish(self, facts: Mapping[str, object]) -> None:
        """Write stack.json."""
        write_whole(self.stack_file, json.dumps(facts, indent=2) + "\n")

    def record(self, pids: Sequence[int]) -> None:
        """Note the processes of the run, so that `reap` finds them should we be killed."""
        identities = []
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess):  # gone already; the next record knows its successor
                identities.append(identity(pid))
        write_whole(self._processes_file, json.dumps(identities))

    def clear(self) -> None:
        """Forget the run: what would make a reader believe that it is up."""
        for path in (self.stack_file, self.environment_file, self._processes_file):
            path.unlink(missing_ok=True)

    def fresh(self) -> None:
        """Remove data and logs of the last run: its secrets are gone, so nobody could read the data anyway."""
        for path in (self.data_dir, self.log_dir):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)

    def reap(self) -> int:
        """Kill what a killed supervisor left running; return how many processes that were.

        Call only when not held.
        """
        recorded = _read(self._processes_file) or []
        orphans = [process for known in recorded if (process := living(known))]
        for orphan in orphans:
            for process in (*children(orphan), orphan):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        psutil.wait_procs(orphans, timeout=10)
        self.clear()
        return len(orphans)

    def end_supervisor(self, grace_seconds: float) -> None:
        """Have the supervisor stop its stack, wait for that, and kill it when it takes too long."""
        supervisor = self.supervisor()
        if supervisor is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                supervisor.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while self.is_held():
            if time.monotonic() > deadline:
                if supervisor is None:
                    raise StackConflict(f"{self._lock_file} is held by a process that did not record itself")
                supervisor.kill()
                deadline += grace_seconds
            time.sleep(0.02)
        while supervisor is not None and lives(supervisor):  # its very last steps
            time.sleep(0.02)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
