"""`python -m admin_api.rebuild`: rebuild the read model from Kafka while everything runs."""

import asyncio
import sys

import asyncpg
from aiokafka.errors import KafkaError

from admin_api.migrations import MigrationError
from admin_api.rebuild.report import Lines, table
from admin_api.rebuild.run import Impossible, rebuild
from admin_api.settings import RebuildSettings
from bitloot import log
from bitloot.errors import BitLootError

EXIT_EQUAL, EXIT_DIFFERED, EXIT_FAILED = 0, 1, 2


def main() -> int:
    """Rebuild; return 0 when nothing differed, 1 when something did and was put right, 2 when it failed."""
    settings = RebuildSettings.load()
    log.configure("rebuild", settings.service_instance, settings.log_level)
    lines = Lines(sys.stdout)
    try:
        found = asyncio.run(rebuild(settings, lines.progress))
    except (Impossible, MigrationError, BitLootError) as error:
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
