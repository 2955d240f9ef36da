"""The health check of an image, beside a server of this test's own."""

import asyncio
import sys

from bitloot import health


async def probe(port: int) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bitloot.probe", env={"HTTP_PORT": str(port)}, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    return process.returncode or 0, complaint.decode()


async def test_it_tells_whether_the_process_is_ready():
    checks, gate = health.Health(), health.Gate("tables are restored")
    checks.register("tables", gate)
    async with health.serve(checks, "127.0.0.1", 0) as port:
        status, complaint = await probe(port)
        assert status == 1
        assert "tables are restored" in complaint
        gate.open()
        assert await probe(port) == (0, "")
    status, complaint = await probe(port)
    assert status == 1
    assert "refused" in complaint
