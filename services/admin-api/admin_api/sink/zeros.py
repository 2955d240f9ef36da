"""The character zero, which JSON can spell and no text in Postgres can hold."""

import re

_SPELLED = rb"\u0000"
_BACKSLASH = ord("\\")  # one byte is looked for many times faster than six
# Behind an odd number of backslashes it is the character; behind an even number it is six others.
_ZERO = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def without_zeros(text: bytes) -> bytes:
    """Return JSON with each character zero replaced by the one that stands for what could not be shown."""
    return _ZERO.sub(rb"\1\\ufffd", text) if _BACKSLASH in text and _SPELLED in text else text
