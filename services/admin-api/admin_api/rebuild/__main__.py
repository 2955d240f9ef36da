"""`python -m admin_api.rebuild`: rebuild the read model from Kafka while everything runs."""

import argparse
import asyncio
import sys

import asyncpg
from aiokafka.errors import KafkaError

from admin_api.migrations import MigrationError
from admin_api.rebuild.report import Lines, table
from admin_api.rebuild.run import Impossible, rebuild
from admin_api.settings import RebuildSettings
from bitloot import log
from bitloot.cluster import LogLost
from bitloot.errors import BitLootError

EXIT_EQUAL, EXIT_DIFFERED, EXIT_FAILED = 0, 1, 2


def main() -> int:
    """Rebuild; return 0 when nothing differed, 1 when something did and was put right, 2 when it failed."""
    parser = argparse.ArgumentParser(prog="python -m admin_api.rebuild", description=__doc__)
    parser.add_argument("--drop-surplus", action="store_true", help="delete rows that Kafka knows nothing of")
    arguments = parser.parse_args()
    settings = RebuildSettings.load()
    log.configure("rebuild", settings.service_instance, settings.log_level)
    lines = Lines(sys.stdout)
    try:
        found = asyncio.run(rebuild(settings, lines.progress, drop_surplus=arguments.drop_surplus))
    except (Impossible, LogLost, MigrationError, BitLootError) as error:
        return _failed(str(error))
    except (OSError, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return _failed(type(error).__name__)
    sys.stdout.write(table(found))
    if all(each.equal for each in found.tables):
        return EXIT_EQUAL
    sys.stdout.write("The read model was not what Kafka says. It is now.\n")
    return EXIT_DIFFERED


def _failed(reason: str) -> int:
    sys.stderr.write(f"The rebuild failed: {reason}\n")
    return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
