"""One whole system for all end-to-end tests of a run, started and stopped as a person would."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedded.spans import Receiver, receiving

_UP_SECONDS = 110


@pytest.fixture(scope="session")
def spans():
    """What the processes of the stack export, as an OpenTelemetry collector gets it."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def stack(tmp_path_factory, spans: Receiver):
    """The facts of a running stack, as `.run/stack.json` has them."""
    tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with _running(tmp_path_factory.mktemp("stack"), **tracing) as facts:
        yield facts


@pytest.fixture(scope="module")
def esa_stack(tmp_path_factory):
    """The facts of one that speaks the buyer API with Kinguin."""
    with _running(tmp_path_factory.mktemp("esa-stack"), KINGUIN_DIALECT="esa") as facts:
        yield facts


@contextmanager
def _running(directory: Path, **settings: str) -> Iterator[dict]:
    run_dir = directory / "run"
    env = os.environ | {"BITLOOT_RUN_DIR": str(run_dir)} | settings

    def embedded(action: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "embedded", action], env=env, capture_output=True, text=True, timeout=_UP_SECONDS
        )

    started = embedded("up")
    try:
        assert started.returncode == 0, f"{started.stdout}\n{started.stderr}"
        yield json.loads((run_dir / "stack.json").read_text())
    finally:
        embedded("down")
