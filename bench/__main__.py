"""`make bench`: measure, print, and write docs/benchmarks.md."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from bench import ingress, journey, report
from embedded.ports import free_port

CHECKOUT = Path(__file__).resolve().parent.parent
ROUNDS = 5
REQUESTS = 3000
ORDERS = 600
"""For the highest rate; the waits are measured with as many again, at half that rate."""


@contextmanager
def _stack(run_dir: Path) -> Iterator[Mapping[str, Any]]:
    """Run the whole system, as `make up` does, in a directory of its own."""
    env = os.environ | {"BITLOOT_RUN_DIR": str(run_dir)}
    subprocess.run([sys.executable, "-m", "embedded", "up"], env=env, check=True, cwd=CHECKOUT)
    try:
        yield json.loads((run_dir / "stack.json").read_text())
    finally:
        subprocess.run([sys.executable, "-m", "embedded", "down"], env=env, check=True, cwd=CHECKOUT)


@contextmanager
def _echo(port: int) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "bench.echo", str(port)], cwd=CHECKOUT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def _answers(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(20):
        while True:
            try:
                await client.post(url)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


async def _measure(stack: Mapping[str, Any], run_dir: Path, echo_url: str) -> report.Results:
    secret = SecretStr(json.loads((run_dir / "environment.json").read_text())["NOWPAYMENTS_IPN_SECRET"])
    await _answers(echo_url)
    await journey.run(stack, "warm-up", orders=50, per_second=None)
    fastest = await journey.run(stack, "fastest", orders=ORDERS, per_second=None)
    half = await journey.run(stack, "half", orders=ORDERS, per_second=fastest.per_second / 2)
    # Last, because the orders agent is busy for a while with what these leave behind.
    rounds = await ingress.measure(stack["ingress_url"], echo_url, secret, rounds=ROUNDS, requests=REQUESTS)
    return report.Results(rounds=tuple(rounds), fastest=fastest, half=half)


def main() -> None:
    """Measure on a fresh stack and write the report."""
    with tempfile.TemporaryDirectory(prefix="bitloot-bench-") as directory:
        run_dir = Path(directory) / "run"
        with _stack(run_dir) as stack, _echo(free_port()) as echo_url:
            results = asyncio.run(_measure(stack, run_dir, echo_url))
    text = report.markdown(results)
    (CHECKOUT / "docs" / "benchmarks.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
