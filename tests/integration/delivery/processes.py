"""Delivery's processes as an orchestrator runs them."""

import asyncio
import os
import signal
import socket
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
    url: str
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    async def ready(self, seconds: float = 40) -> None:
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
    """Run `python -m module` on a free port with these settings until the block ends."""
    port = _free_port()
    names = {name.upper(): value for name, value in settings.items()}
    environment = {"PATH": os.environ["PATH"], "HTTP_PORT": str(port), "LOG_LEVEL": "DEBUG", **names}
    with log_file.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=environment, stdout=output, stderr=output
        )
    try:
        yield Running(process, f"http://127.0.0.1:{port}", log_file)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
