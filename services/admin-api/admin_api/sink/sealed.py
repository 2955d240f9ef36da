"""Keeps what is sealed out of Postgres: it stays in Kafka."""

import re

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from bitloot.personal import VERSION

_BOX = re.compile(
    # A member of a sealed code, also inside quoted JSON.
    r"""(\\*"(?:box|whole_hash|tail_hash)\\*"\s*:\s*\\*")
        [\w+/=-]*                   # its base64 or its digits, which may be cut off at the end""",
    re.VERBOSE,
)

# Without any of these a text has nothing to be masked, or JSON as we write it nothing to be counted: both is so of
# nearly all, and looking for a word is many times faster than what follows.
_NO_CODES = (('{"codes":[]', '{"codes":0'), (',"codes":[]', ',"codes":0'))
_SEALED = f'"{VERSION}'
# Begins with what is looked for, which is found fast. Within a text a quote has a backslash; what names a member stays.
_SEALED_TEXT = re.compile(rf'{_SEALED}(?<!\\{_SEALED})[^"\\]*(?:\\.[^"\\]*)*"(?!:)')


def counted_json(text: str) -> str:
    """Return JSON, as pydantic writes it, with what `counted` replaces replaced."""
    if '"codes":[' in text:
        # Most lists of codes are empty. Behind a brace or a comma no quote is within a text: there it has a backslash.
        for empty, none in _NO_CODES:
            text = text.replace(empty, none)
    if '"box":' in text or '"codes":[' in text:
        return to_json(counted(from_json(text))).decode()
    return _SEALED_TEXT.sub('"[sealed]"', text) if _SEALED in text else text


def counted(value: JsonValue) -> JsonValue:
    """Return a record's JSON with each list of codes replaced by its length, and all else that is sealed by a mark."""
    # Not by `match`: what asks for a mapping asks `Mapping`, which takes longer than all else here.
    if isinstance(value, dict):
        if isinstance(value.get("box"), str):
            return "[sealed]"
        return {
            name: len(part) if name == "codes" and isinstance(part, list) else counted(part)
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [counted(part) for part in value]
    if isinstance(value, str) and value.startswith(VERSION):
        return "[sealed]"
    return value


def masked(text: str) -> str:
    """Return a text, JSON or not, whole or cut, with what sealed boxes hold replaced by a mark."""
    if '"box' in text or '"whole_hash' in text or '"tail_hash' in text:
        return _BOX.sub(r"\1[sealed]", text)
    return text
