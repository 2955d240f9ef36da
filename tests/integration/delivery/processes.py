"""Delivery's processes as an orchestrator runs them."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass
class Running:
    """A process, where it answers, and what it wrote so far."""

    process: asyncio.subprocess.Process
    log_file: Path
    url: str = ""

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    async def listening(self) -> None:
        """Wait for the line that tells the port which it found free."""
        async with asyncio.timeout(40):
            while not (found := re.search(r'"(?:http|health)\.listening".*"port": (\d+)', self.log)):
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.05)
        self.url = f"http://127.0.0.1:{found[1]}"

    async def ready(self, seconds: float = 40) -> None:
        """Wait until it says that it is ready."""
        async with httpx.AsyncClient() as client, asyncio.timeout(seconds):
            while not await self._is_ready(client):
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.05)

    async def _is_ready(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(f"{self.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


@asynccontextmanager
async def running(module: str, log_file: Path, **settings: str) -> AsyncIterator[Running]:
    """Run `python -m module` on a free port with these settings, once it is ready, until the block ends."""
    names = {name.upper(): value for name, value in settings.items()}
    environment = {"PATH": os.environ["PATH"], "HTTP_PORT": "0", "LOG_LEVEL": "DEBUG", **names}
    with log_file.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=environment, stdout=output, stderr=output
        )
    try:
        started = Running(process, log_file)
        await started.listening()
        await started.ready()
        yield started
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
