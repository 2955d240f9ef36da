"""One child process: in a session of its own, its output in a file, not outliving its parent."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from embedded.errors import ServerFailed

_LAUNCH = Path(__file__).with_name("launch.py")
# Fast enough not to be felt in a start, slow enough to cost nothing with a dozen children.
POLL_SECONDS = 0.02
_TAIL_BYTES = 4_000


class Child:
    """A running process.

    It belongs to no event loop, and may outlive the one it was started in. `death_signal` reaches the process when
    we die, however we die (Linux only).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_file: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self._stop_signal = stop_signal
        log_file.parent.mkdir(parents=True, exist_ok=True)
        launch = [
            sys.executable,
            "-I",
            "-S",
            str(_LAUNCH),
            str(os.getpid()),
            str(int(death_signal)),
            user or "-",
        ]
        with log_file.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*launch, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id; it stays the same when the launcher becomes the command."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._process.poll()

    async def wait(self) -> int:
        """Return the exit code once the process has ended."""
        if self.exit_code is None and hasattr(os, "pidfd_open"):
            await self._told_of_end()
        while (code := self.exit_code) is None:  # noqa: ASYNC110 - elsewhere nobody tells
            await asyncio.sleep(POLL_SECONDS)
        return code

    async def _told_of_end(self) -> None:
        """Wait for the kernel's word, which costs nothing meanwhile (Linux only)."""
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return  # an old kernel, or a sandbox that forbids it
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def stop(self, grace_seconds: float = 10.0) -> int:
        """Ask it to end, wait at most `grace_seconds`, then kill its whole group. Returns the exit code."""
        if self.exit_code is None:
            self._process.send_signal(self._stop_signal)
        try:
            async with asyncio.timeout(grace_seconds):
                code = await self.wait()
        except TimeoutError:
            code = await self.kill()
        self._kill_group()  # what it may have left behind
        return code

    async def kill(self) -> int:
        """SIGKILL to the process and its group, as a crash would end it. Returns the exit code."""
        self._kill_group()
        return await self.wait()

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # nothing left; macOS says EPERM of a group of zombies

    def output(self) -> str:
        """Return the last lines that this process wrote, at most 4 kB of them."""
        with self.log_file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - _TAIL_BYTES))
            return log.read().decode(errors="replace")

    def failure(self, what: str) -> ServerFailed:
        """Build the error that tells `what` happened, with the end of the log."""
        lines = self.output().strip().splitlines()[-15:]
        said = "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"
        return ServerFailed(f"{self.name} {what}. The end of {self.log_file}:\n{said}")
