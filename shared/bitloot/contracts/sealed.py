"""A product key that only the delivery worker can open."""

from typing import Annotated

from pydantic import StringConstraints

from bitloot.contracts.base import Model

_Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class CodeHashes(Model):
    """Keyed hashes of a code, in hex, by which it is found again: see `bitloot.code_hashes`.

    `key_id` names the key, `whole_hash` is of the whole code and `tail_hash` of its last five characters; a short code
    has none.
    """

    key_id: str
    whole_hash: _Hash
    tail_hash: _Hash | None = None


class SealedCode(Model):
    """A code in a libsodium sealed box.

    `key_id` names the key pair, `box` is base64, `media_type` is the type of the plain content
    (`text/plain`, or `image/png` and the like). `hashes` are of a text only, and where a key for them is set.
    """

    key_id: str
    box: str
    media_type: str = "text/plain"
    hashes: CodeHashes | None = None
