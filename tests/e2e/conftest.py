"""One whole system for all end-to-end tests of a run, started and stopped as a person would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_UP_SECONDS = 110


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """The facts of a running stack, as `.run/stack.json` has them."""
    run_dir: Path = tmp_path_factory.mktemp("stack") / "run"
    env = os.environ | {"BITLOOT_RUN_DIR": str(run_dir)}

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
