"""Where things lie in the checkout."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
"""The root of the repository: the package is only ever installed editable."""

KAFKA_FILES = CHECKOUT / "deploy" / "local" / "kafka"
"""pom.xml and log4j2.properties of the embedded broker."""

RUN_DIR = CHECKOUT / ".run"
"""Everything that one run of the stack leaves: stack.json, logs, data."""


def cache_dir() -> Path:
    """Return where to keep what is fetched once: `$BITLOOT_CACHE`, else `.cache` of the checkout."""
    configured = os.environ.get("BITLOOT_CACHE")
    return Path(configured).absolute() if configured else CHECKOUT / ".cache"
