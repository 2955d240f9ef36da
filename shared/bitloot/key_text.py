"""Keys as they are written in settings: `<key id>:<base64 of 32 bytes>`."""

import base64
import binascii
import re
import sys
from collections.abc import Callable, Mapping, Sequence

_KEY = re.compile(r"([A-Za-z0-9._-]{1,64}):([A-Za-z0-9+/]{43}=)", re.ASCII)


def write_key(key_id: str, raw: bytes) -> str:
    """Return a key as a setting. Raises ValueError when the id cannot be written."""
    text = f"{key_id}:{base64.b64encode(raw).decode()}"
    read_key(text)
    return text


def read_key(text: str) -> tuple[str, bytes]:
    """Return the id and the 32 bytes. Raises ValueError, without quoting it, for what is not written so."""
    form = _KEY.fullmatch(text.strip())
    if form is None:
        raise ValueError("it is not written as <key id>:<base64 of 32 bytes>")
    try:
        return form[1], base64.b64decode(form[2], validate=True)
    except binascii.Error:
        raise ValueError("it is not written as <key id>:<base64 of 32 bytes>") from None


def generate(module: str, arguments: Sequence[str], make: Callable[[str | None], Mapping[str, str]]) -> int:
    """Be the command `python -m MODULE generate [key id]`: print what `make` makes, as settings; return the code."""
    if not arguments or arguments[0] != "generate" or len(arguments) > 2:
        sys.stderr.write(f"usage: python -m {module} generate [key id]\n")
        return 2
    try:
        made = make(*arguments[1:] or (None,))
    except ValueError:
        sys.stderr.write("A key id has 1 to 64 letters, digits, dots, dashes or underscores.\n")
        return 2
    for name, value in made.items():
        sys.stdout.write(f"{name}={value}\n")
    return 0
