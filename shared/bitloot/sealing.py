"""Sealed codes: anyone with the public key can close a box, only the delivery worker can open it.

libsodium sealed boxes (X25519, XSalsa20-Poly1305). A key id travels with each box, so keys can be rotated:
seal with the new public key, keep the old private key until nothing sealed with it is left. Keys are written
`<key id>:<base64 of 32 bytes>`. New ones: `python -m bitloot.sealing generate [key id]`.
"""

import base64
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from pydantic import AfterValidator, SecretStr
from pydantic_settings import NoDecode

from bitloot.code_hashes import CodeHasher
from bitloot.contracts.sealed import CodeHashes, SealedCode
from bitloot.errors import Cause, Malformed
from bitloot.key_text import generate, read_key, write_key
from bitloot.settings import Secrets

__all__ = ["KeyPair", "Opener", "SealedCode", "Sealer", "SealingPrivateKeys", "SealingPublicKey", "generate_key_pair"]


class KeyPair(NamedTuple):
    """Both halves as settings; the private one goes to the delivery worker only."""

    public: str
    private: SecretStr


class Sealer:
    """Closes boxes for the holder of one private key."""

    def __init__(self, public_key: str, hasher: CodeHasher | None = None) -> None:
        """Take a key as `<key id>:<base64>`. Raises ValueError, without quoting it, when it is malformed.

        With a hasher each text is sealed with the hashes that it is found by.
        """
        self.key_id, raw = read_key(public_key)
        self._hasher = hasher
        self._box = SealedBox(PublicKey(raw))

    def seal(self, plain: str | bytes | SecretStr, media_type: str = "text/plain") -> SealedCode:
        """Seal a code; text as UTF-8. The same code gives another box each time."""
        if isinstance(plain, SecretStr):
            plain = plain.get_secret_value()
        raw = plain.encode() if isinstance(plain, str) else plain
        box = base64.b64encode(self._box.encrypt(raw)).decode()
        return SealedCode(key_id=self.key_id, box=box, media_type=media_type, hashes=self._hashes(raw, media_type))

    def _hashes(self, raw: bytes, media_type: str) -> CodeHashes | None:
        if self._hasher is None or media_type != "text/plain":
            return None  # nobody pastes a picture
        return self._hasher.of(raw.decode(errors="replace"))


class Opener:
    """Opens boxes sealed for any of its keys."""

    def __init__(self, private_keys: Iterable[SecretStr]) -> None:
        """Take keys as `<key id>:<base64>`. Raises ValueError, without quoting, for none, bad or equal ids."""
        self._boxes: dict[str, SealedBox[PrivateKey]] = {}
        self._public: dict[str, bytes] = {}
        for each in private_keys:
            key_id, raw = read_key(each.get_secret_value())
            if key_id in self._boxes:
                raise ValueError("two keys have the same id")
            private = PrivateKey(raw)
            self._boxes[key_id] = SealedBox(private)
            self._public[key_id] = bytes(private.public_key)
        if not self._boxes:
            raise ValueError("there is no key")

    @property
    def public_keys(self) -> tuple[str, ...]:
        """The other halves, as settings: what they seal opens here. They are no secrets."""
        return tuple(write_key(key_id, raw) for key_id, raw in self._public.items())

    def open(self, sealed: SealedCode) -> bytes:
        """Return the plain content. Raises `Malformed` for an unknown key id or a box that does not open."""
        box = self._boxes.get(sealed.key_id)
        if box is None:
            raise Malformed(Cause.UNKNOWN_KEY_ID, "sealed with a key that is not held here")
        try:
            return box.decrypt(base64.b64decode(sealed.box, validate=True))
        except (CryptoError, ValueError, TypeError):
            # No cause is chained: the message says all, and frames of a failed opening are nobody's business.
            raise Malformed(Cause.BROKEN_BOX, "the sealed box does not open") from None


def generate_key_pair(key_id: str | None = None) -> KeyPair:
    """Make a key pair; without an id, one that tells the day and is not used twice by accident."""
    private = PrivateKey.generate()
    public = bytes(private.public_key)
    key_id = key_id or f"k{datetime.now(UTC):%Y%m%d}-{public[:2].hex()}"
    return KeyPair(write_key(key_id, public), SecretStr(write_key(key_id, bytes(private))))


def _check_public(value: str) -> str:
    Sealer(value)
    return value


def _check_private(values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    Opener(values)
    return values


SealingPublicKey = Annotated[str, AfterValidator(_check_public)]
"""A setting for `Sealer`."""

SealingPrivateKeys = Annotated[Secrets, NoDecode, AfterValidator(_check_private)]
"""A setting for `Opener`: comma-separated."""


def main(arguments: Sequence[str]) -> int:
    """Print a new key pair as settings."""
    return generate("bitloot.sealing", arguments, _settings)


def _settings(key_id: str | None) -> dict[str, str]:
    pair = generate_key_pair(key_id)
    return {"SEALING_PUBLIC_KEY": pair.public, "SEALING_PRIVATE_KEYS": pair.private.get_secret_value()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
