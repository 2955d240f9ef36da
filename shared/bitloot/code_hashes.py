"""Keyed hashes by which a code is found again without opening anything.

Made where a code is sealed, of the whole code and of its last five characters, under a key that only those processes
and the admin API have (`docs/adr/0031`). HMAC-SHA-256, cut to 128 bits. Keys are written `<key id>:<base64 of 32
bytes>`; the first one makes hashes, all of them find. New ones: `python -m bitloot.code_hashes generate [key id]`.
"""

import hashlib
import hmac
import secrets
import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import NoDecode

from bitloot.contracts.sealed import CodeHashes
from bitloot.key_text import generate, read_key, write_key
from bitloot.settings import Secrets, Settings

TAIL = 5
"""So many last characters find a code too."""
_SHORTEST_WITH_TAIL = 10
"""Of a shorter code the last five would be more than half. A code of other signs than letters and digits has no end:
typed alone, or after a letter, those signs would be read as separators."""
_HASH_BYTES = 16
_WHOLE, _TAIL = b"bitloot code\0", b"bitloot code's end\0"


class CodeHasher:
    """Makes hashes with its first key, and those to look for with each of its keys."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        """Take keys as `<key id>:<base64>`. Raises ValueError, without quoting, for none, bad or equal ones."""
        read = [read_key(each.get_secret_value()) for each in keys]
        self._keys = dict(read)
        if not read or len(self._keys) != len(read):
            raise ValueError("two keys have the same id" if read else "there is no key")
        self._current = read[0][0]

    def of(self, code: str) -> CodeHashes:
        """Return the hashes of a code. The same code gives the same ones, however it is written."""
        text = plain(code)
        key = self._keys[self._current]
        return CodeHashes(
            key_id=self._current,
            whole_hash=_hash(key, _WHOLE, text),
            tail_hash=_hash(key, _TAIL, text[-TAIL:]) if text.isalnum() and len(text) >= _SHORTEST_WITH_TAIL else None,
        )

    def wholes(self, code: str) -> list[bytes]:
        """Return what a whole code is stored under, with each key."""
        return [bytes.fromhex(_hash(key, _WHOLE, plain(code))) for key in self._keys.values()]

    def tails(self, code: str) -> list[bytes]:
        """Return what codes that end as this one are stored under, with each key."""
        return [bytes.fromhex(_hash(key, _TAIL, plain(code)[-TAIL:])) for key in self._keys.values()]


def plain(code: str) -> str:
    """Return what of a code counts: letters in upper case, and digits. A code of other signs counts as it is."""
    text = unicodedata.normalize("NFKC", code).strip().upper()
    return "".join(letter for letter in text if letter.isalnum()) or text


def _hash(key: bytes, domain: bytes, text: str) -> str:
    return hmac.digest(key, domain + text.encode("utf-8", "surrogatepass"), hashlib.sha256)[:_HASH_BYTES].hex()


def generate_key(key_id: str | None = None) -> SecretStr:
    """Make a key; without an id, one that tells the day and is not used twice by accident."""
    key_id = key_id or f"h{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}"
    return SecretStr(write_key(key_id, secrets.token_bytes(32)))


def _check(values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    CodeHasher(values)
    return values


def hasher(keys: Sequence[SecretStr] | None) -> CodeHasher | None:
    """Return what makes hashes with the keys of a setting, or None where none is set."""
    return None if keys is None else CodeHasher(keys)


CodeHashKeys = Annotated[Secrets, NoDecode, AfterValidator(_check)]
"""A setting for `CodeHasher`: comma-separated, the one that makes hashes first."""


class CodeHashSettings(Settings):
    """What whoever seals codes for buyers has."""

    code_hash_keys: CodeHashKeys | None = Field(
        None,
        description="the key to make hashes with by which the desk finds a code, as id:base64, or nothing for no such "
        "search; a comma and previous ones may follow; see `python -m bitloot.code_hashes`",
    )


def main(arguments: Sequence[str]) -> int:
    """Print a new key as a setting."""
    return generate("bitloot.code_hashes", arguments, _settings)


def _settings(key_id: str | None) -> dict[str, str]:
    return {"CODE_HASH_KEYS": generate_key(key_id).get_secret_value()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
