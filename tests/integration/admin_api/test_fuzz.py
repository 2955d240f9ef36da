"""Whatever is asked, well formed or not, is answered as the OpenAPI document says, and never with a defect.

A bounded run; `make fuzz-api` asks at least 10,000 times.
"""

import asyncio
import os
import re
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from admin_api.api.routes import ROUTES
from bitloot.contracts import codec
from bitloot.contracts.base import Record
from bitloot.contracts.state import OrderStatus
from bitloot.contracts.topics import Topic
from tests.integration.admin_api.api import TOKEN, NoKafka, serve_api
from tests.unit.admin_api import records

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))
"""How many are tried of each endpoint and phase."""
PHASES = os.environ.get("FUZZ_PHASES", "fuzzing")
"""`coverage` tries each boundary of each parameter: thousands of questions, which `make fuzz-api` asks."""
SECONDS = 300 if EXAMPLES <= 10 else 7200


class Accepting(NoKafka):
    """A broker that takes everything and has nothing: how Kafka is used has tests of its own."""

    async def send(self, topic: Topic, key: str, record: Record) -> None:
        codec.encode(record)

    async def send_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: object = ()) -> None:
        pass

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None:
        return None


@pytest.mark.timeout(SECONDS)  # some two hundred questions, in a process beside this one
async def test_no_question_breaks_the_api_or_its_document(database: str, tmp_path: Path):
    async with serve_api(database, publisher=Accepting(), originals=Accepting()) as api, AsyncExitStack() as stack:
        await api.seed(
            api.ports.topics.state, records.snapshot(1), records.snapshot(2, status=OrderStatus.NEEDS_REVIEW)
        )
        await api.seed(api.ports.topics.webhooks, records.webhook(1))
        await api.seed(api.ports.topics.dead_letters, records.letter(1))
        told = stack.enter_context((tmp_path / "told.txt").open("wb"))
        schema = tmp_path / "openapi.json"
        schema.write_text(await (await api.client.get("/openapi.json")).text())
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            str(schema),
            f"--url={api.client.make_url('')}",
            f"--header=Authorization: Bearer {TOKEN}",
            f"--max-examples={EXAMPLES}",
            f"--phases={PHASES}",
            # What a schema takes may still be refused, as the document says: an id that is nobody's (404), a cursor
            # that was not signed here (400), an order that is closed (409).
            "--exclude-checks=positive_data_acceptance",
            "--generation-database=none",
            "--no-color",
            "--warnings=off",
            "--seed=7",
            stdout=told,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
    text = (tmp_path / "told.txt").read_text()
    assert process.returncode == 0, text[-20_000:]
    tried = re.search(r"(\d+) generated", text)
    assert tried is not None, text
    assert int(tried[1]) > 2 * len(ROUTES)
