"""SQL files: queries by name."""

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def named_queries(package: str, file: str = "queries.sql") -> dict[str, str]:
    """Return the queries of a package's SQL file; each starts with `-- name: its_name`."""
    _, *parts = _NAME.split(files(package).joinpath(file).read_text(encoding="utf-8"))
    return {name: query.strip() for name, query in zip(parts[::2], parts[1::2], strict=True)}
