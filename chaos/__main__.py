"""`make chaos`: start a stack, break it for a while, let it heal, compare to the last item."""

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaos.faults import crash_directory
from chaos.plan import Dialect
from chaos.report import figures, table
from chaos.run import Wish, run

CHECKOUT = Path(__file__).resolve().parent.parent
WORKERS = "fulfillment=2,kinguin=2,delivery=2"


def _tell(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S.%f}"[:-3], text, flush=True)


@contextmanager
def _stack(run_dir: Path, workers: str) -> Iterator[Mapping[str, Any]]:
    """Run the whole system, as `make up` does, in a directory of its own, with its crash points watched."""
    crashes = crash_directory(run_dir)
    crashes.mkdir(parents=True)
    env = os.environ | {"BITLOOT_RUN_DIR": str(run_dir), "WORKERS": workers, "CRASH_POINTS": str(crashes)}
    subprocess.run([sys.executable, "-m", "embedded", "up"], env=env, check=True, cwd=CHECKOUT)
    try:
        yield json.loads((run_dir / "stack.json").read_text())
    finally:
        subprocess.run([sys.executable, "-m", "embedded", "down"], env=env, check=True, cwd=CHECKOUT)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--duration", type=float, default=300, metavar="SECONDS", help="how long to break it (300)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="of all that goes wrong")  # noqa: S311
    parser.add_argument("--rate", type=float, default=2, help="orders per second (2)")
    parser.add_argument("--patience", type=float, default=600, help="seconds to settle after the healing (600)")
    parser.add_argument("--workers", default=WORKERS, help=f"how many of a kind ({WORKERS})")
    parser.add_argument(
        "--report", type=Path, metavar="DIRECTORY", help="where to write report.md and figures.json too"
    )
    parser.add_argument("--keep", action="store_true", help="keep the logs and data of a clean run too")
    return parser.parse_args()


def main() -> int:
    """Run once; return 0 when nothing differs."""
    arguments = _arguments()
    run_dir = Path(tempfile.mkdtemp(prefix="bitloot-chaos-")) / "run"
    dialect: Dialect = "esa" if os.environ.get("KINGUIN_DIALECT") == "esa" else "reservations"
    wish = Wish(arguments.seed, arguments.duration, arguments.rate, arguments.patience, dialect)
    _tell(f"seed {wish.seed}, {wish.seconds:.0f} s, Kinguin's API {dialect}, in {run_dir}")
    with _stack(run_dir, arguments.workers) as stack:
        shown = asyncio.run(run(wish, run_dir, stack, _tell))
    text = table(shown)
    print(text)
    for directory in filter(None, (run_dir, arguments.report)):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "report.md").write_text(text + "\n")
        (directory / "figures.json").write_text(json.dumps(figures(shown), indent=1) + "\n")
    if not shown.clean:
        print(f"Logs, data and evidence: {run_dir}")
        return 1
    if not arguments.keep:
        shutil.rmtree(run_dir.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
