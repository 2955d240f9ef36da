"""What must be there before a Faust process begins."""

import os
import subprocess
import sys

_START = """
import asyncio
from pathlib import Path
from bitloot import faust_app
from bitloot.settings import KafkaSettings

async def main():
    settings = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1")
    faust_app.create_app(settings, app_id="app", datadir=Path("."), partitions=1, outputs=None)

asyncio.run(main())
"""


def test_without_the_compiled_stream_iterator_nothing_starts(tmp_path):
    """The pure-Python one acknowledges events that it skips: they would be lost."""

    def start(**environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", _START]
        return subprocess.run(command, env=os.environ | environment, cwd=tmp_path, capture_output=True, text=True)

    assert start().returncode == 0
    refused = start(NO_CYTHON="1")
    assert refused.returncode != 0
    assert "CompiledIteratorMissing" in refused.stderr
