"""A real Chromium, driven over its DevTools protocol."""

import asyncio
import base64
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

SHOWN = os.environ.get("ORDER_PAGE_PICTURES")
"""A folder for pictures of the pages and mails, for people to look at."""

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


class Tab:
    """One page. `complaints` holds what the browser wrote to its console, violations of the policy included."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = json.loads((await self._socket.receive()).data)
            if message.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}:
                self.complaints.append(json.dumps(message["params"]))
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])

    async def js(self, code: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    async def wait(self, condition: str, seconds: float = 20) -> None:
        """Wait until a condition in JavaScript is true."""
        async with asyncio.timeout(seconds):
            while not await self.js(condition):
                await asyncio.sleep(0.05)

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")


async def picture(tab: Tab, name: str) -> None:
    """Leave a picture, when somebody asked for pictures."""
    if SHOWN:
        shot = await tab.call("Page.captureScreenshot", captureBeyondViewport=True)
        await asyncio.to_thread(Path(SHOWN, f"{name}.png").write_bytes, base64.b64decode(shot["data"]))


async def scheme(tab: Tab, name: str) -> None:
    await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])


async def width(tab: Tab, pixels: int) -> None:
    await tab.call(
        "Emulation.setDeviceMetricsOverride", width=pixels, height=900, deviceScaleFactor=1, mobile=pixels < 600
    )


@asynccontextmanager
async def browser_tab() -> AsyncIterator[Tab]:
    """Start a browser of our own and end it, whatever happens."""
    assert CHROMIUM is not None
    profile = Path(tempfile.mkdtemp(prefix="bitloot-browser-"))
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *_FLAGS,
        f"--user-data-dir={profile}",
        "about:blank",
        env=os.environ | {"TMPDIR": str(profile)},  # it leaves things there
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        port = await _debugging_port(process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                address = next(each for each in await answer.json() if each["type"] == "page")
            async with session.ws_connect(address["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                yield tab
    finally:
        process.terminate()
        await process.communicate()
        shutil.rmtree(profile, ignore_errors=True)


async def _debugging_port(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(40):
        while line := (await process.stderr.readline()).decode(errors="replace"):
            if found := re.search(r"ws://127\.0\.0\.1:(\d+)/", line):
                return found[1]
    raise AssertionError("the browser ended")
