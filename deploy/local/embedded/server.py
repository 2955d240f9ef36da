"""What Kafka, PostgreSQL and S3 have in common: prepare, start, wait for a handshake, stop, kill, restart."""

import abc
import asyncio
import signal
from pathlib import Path
from typing import ClassVar

from embedded.child import POLL_SECONDS, Child
from embedded.ports import free_ports, is_free

# Ports are chosen free but bound later: somebody else may have been faster.
_PORT_ATTEMPTS = 3


class Server(abc.ABC):
    """One server process with its data directory and log file.

    Connection facts (`ports` and what subclasses make of them) are settled once `start` has returned and stay
    the same over `stop`, `kill` and `restart`; so does the data.
    """

    name: ClassVar[str]
    port_count: ClassVar[int]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL
    grace_seconds: ClassVar[float] = 10.0

    def __init__(self, run_dir: Path, *, log_dir: Path | None = None) -> None:
        self.run_dir = run_dir.absolute()
        self.data_dir = self.run_dir / self.name
        self.log_file = (log_dir or self.run_dir).absolute() / f"{self.name}.log"
        self.ports: tuple[int, ...] = free_ports(self.port_count)
        self._child: Child | None = None
        self._prepared = False
        self._was_ready = False

    @property
    def pid(self) -> int:
        """Process id of the running server. Raises RuntimeError when it does not run."""
        if self._child is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._child.pid

    @property
    def running(self) -> bool:
        """True while the process lives, ready or not."""
        return self._child is not None and self._child.exit_code is None

    async def start(self, timeout_seconds: float = 60.0) -> None:
        """Start the server and return once it answers its own protocol.

        Raises ServerFailed with the log's end.
        """
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        if not self._prepared:
            await self._prepare()
            self._prepared = True
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if not self._was_ready and not all(map(is_free, self.ports)):
                self.ports = free_ports(self.port_count)  # or we would take the other server for ours
            child = self._child = self._spawn()
            try:
                async with asyncio.timeout(timeout_seconds):
                    ready = await self._until_ready(child)
            except TimeoutError:
                await self.kill()
                raise child.failure(f"was not ready after {timeout_seconds:.0f} s") from None
            except BaseException:
                await self.kill()
                raise
            if ready:
                self._was_ready = True
                return
            port_taken = "address already in use" in child.output().lower()
            if self._was_ready or not port_taken or attempt == _PORT_ATTEMPTS:
                raise child.failure(f"ended at its start with exit code {child.exit_code}")
            self.ports = free_ports(self.port_count)

    async def stop(self) -> None:
        """Stop the server in an orderly way; kill it when that takes too long.

        Does nothing when it does not run.
        """
        if self._child is not None:
            await self._child.stop(self.grace_seconds)

    async def kill(self) -> None:
        """End the server as a crash would, with SIGKILL. Does nothing when it does not run."""
        if self._child is not None:
            await self._child.kill()

    async def restart(self) -> None:
        """Stop and start again, on the same ports and data."""
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Return the exit code once the process has ended, for whoever supervises it."""
        if self._child is None:
            raise RuntimeError(f"{self.name} has not been started")
        return await self._child.wait()

    def respawn(self) -> None:
        """Start again after an end that nobody asked for, without waiting for the handshake."""
        self._child = self._spawn()

    async def alive(self) -> bool:
        """Tell whether it deserves to go on: a server is judged by its process alone."""
        return True

    def _spawn(self) -> Child:
        return Child(
            self.name,
            self._command(),
            log_file=self.log_file,
            env=self._environment(),
            cwd=self.data_dir,
            user=self._user(),
            stop_signal=self.stop_signal,
            death_signal=self.death_signal,
        )

    async def _until_ready(self, child: Child) -> bool:
        """Wait for the first handshake; False when the process ended before it."""
        while child.exit_code is None:
            if await self._accepts() and await self._handshake():
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _accepts(self) -> bool:
        """Tell whether anyone listens at all: cheaper and quieter than a handshake that must fail."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.ports[0])
        except OSError:
            return False
        writer.close()
        return True

    @abc.abstractmethod
    async def _prepare(self) -> None:
        """Create the data directory and all that the first start needs."""

    @abc.abstractmethod
    def _command(self) -> list[str]:
        """Return the command line of the server, for the current ports."""

    @abc.abstractmethod
    async def _handshake(self) -> bool:
        """Speak the server's protocol once; False when it is not ready yet."""

    def _environment(self) -> dict[str, str] | None:
        """Return the environment of the process; None means ours."""
        return None

    def _user(self) -> str | None:
        """Return the user to run as; None means ours."""
        return None
