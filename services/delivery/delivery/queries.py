"""The SQL of `queries.sql` by name."""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def _load() -> Mapping[str, str]:
    _, *parts = _NAME.split(files("delivery").joinpath("queries.sql").read_text())
    return dict(zip(parts[::2], (query.strip() for query in parts[1::2]), strict=True))


QUERIES: Final = _load()
