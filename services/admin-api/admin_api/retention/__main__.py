"""`python -m admin_api.retention`: delete what has been kept long enough; with `--page`, print docs/retention.md."""

import argparse
import asyncio
import sys

from admin_api.retention.cleaning import clean
from admin_api.retention.table import page
from bitloot.errors import Transient
from bitloot.ledger import open_pool
from bitloot.settings import PostgresSettings


async def _clean(dsn: str) -> dict[str, int]:
    async with open_pool(dsn, max_size=1) as pool:
        return await clean(pool)


def main() -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m admin_api.retention", description=__doc__)
    parser.add_argument("--page", action="store_true", help="print docs/retention.md instead")
    if parser.parse_args().page:
        sys.stdout.write(page())
        return 0
    settings = PostgresSettings.load()
    try:
        deleted = asyncio.run(_clean(settings.database_url.get_secret_value()))
    except Transient as error:
        sys.stderr.write(f"Nothing more can be deleted now: {error.detail}.\n")
        return 1
    for name, count in deleted.items():
        sys.stdout.write(f"{name}: {count}\n")
    sys.stdout.write("Done.\n" if deleted else "Nothing was due.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
