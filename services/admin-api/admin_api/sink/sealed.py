"""Keeps what is sealed out of Postgres: it stays in Kafka."""

import re

from pydantic import JsonValue

from bitloot.personal import VERSION

_BOX = re.compile(
    # A member of a sealed code, also inside quoted JSON.
    r"""(\\*"(?:box|whole_hash|tail_hash)\\*"\s*:\s*\\*")
        [\w+/=-]*                   # its base64 or its digits, which may be cut off at the end""",
    re.VERBOSE,
)


def counted(value: JsonValue) -> JsonValue:
    """Return a record's JSON with each list of codes replaced by its length, and all else that is sealed by a mark."""
    match value:
        case {"box": str()}:
            return "[sealed]"
        case dict():
            return {
                name: len(part) if name == "codes" and isinstance(part, list) else counted(part)
                for name, part in value.items()
            }
        case list():
            return [counted(part) for part in value]
        case str() if value.startswith(VERSION):
            return "[sealed]"
        case _:
            return value


def masked(text: str) -> str:
    """Return a text, JSON or not, whole or cut, with what sealed boxes hold replaced by a mark."""
    return _BOX.sub(r"\1[sealed]", text)
