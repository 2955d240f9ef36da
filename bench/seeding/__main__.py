"""`make seed-read-model N=10000000`: fill an empty read model. Needs `DATABASE_URL`."""

import argparse
import asyncio
import os
import sys
import time

from admin_api.migrations import migrate
from bench.seeding.fill import NotEmpty, fill


def main() -> int:
    """Fill the database and tell how far that is."""
    parser = argparse.ArgumentParser(prog="bench.seeding", description=__doc__)
    parser.add_argument("logs", type=int, help="how many notifications; a tenth as many orders")
    parser.add_argument("--beside-others", action="store_true", help="fill a database that is not empty")
    arguments = parser.parse_args()
    dsn = os.environ.get("DATABASE_URL")
    if dsn is None:
        print("DATABASE_URL is not set.", file=sys.stderr)
        return 2
    if arguments.logs < 1:
        print("It takes one notification at least.", file=sys.stderr)
        return 2
    started = time.monotonic()
    try:
        asyncio.run(_run(dsn, arguments.logs, beside_others=arguments.beside_others, started=started))
    except NotEmpty as error:
        print(
            f"The database is not empty, and nothing was written: {error} have rows. "
            "Made-up orders beside real ones are hard to tell apart; --beside-others writes them all the same.",
            file=sys.stderr,
        )
        return 1
    return 0


async def _run(dsn: str, logs: int, *, beside_others: bool, started: float) -> None:
    def told(progress: str) -> None:
        print(f"{time.monotonic() - started:7.0f} s  {progress}", flush=True)

    await migrate(dsn)
    orders = await fill(dsn, logs, beside_others=beside_others, told=told)
    told(f"done: {orders:,} orders with all that belongs to them")


if __name__ == "__main__":
    sys.exit(main())
