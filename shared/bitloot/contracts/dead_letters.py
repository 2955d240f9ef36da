"""What could not be decoded or handled: `dead-letters.v1`."""

from typing import Literal

from pydantic import Field

from bitloot.contracts.base import Record


class DeadLetter(Record):
    """A record that its consumer gave up on, with all that is needed to see why and to replay it.

    `key` and `value` are base64 of the original bytes; a value above 512 KiB is cut (`value_cut`), its
    whole length and SHA-256 stand beside it and the original is still at `topic`/`partition`/`offset`.
    """

    type: Literal["dead.letter"] = "dead.letter"
    consumer: str
    topic: str
    partition: int
    offset: int
    key: str | None = None
    value: str | None = None
    value_length: int
    value_sha256: str
    value_cut: bool = False
    headers: dict[str, str] = Field(default_factory=dict)
    reason: str
    error: str
    stack: str = ""
