"""Records to bytes and back, in one place."""

from typing import Any

from pydantic import ValidationError

from bitloot.contracts.base import Record
from bitloot.contracts.topics import Topic
from bitloot.errors import Cause, Malformed

MAX_RECORD_BYTES = 900_000
"""Under the 1 MB that a broker takes by default, with room for headers and batch overhead."""


def encode(record: Record) -> bytes:
    """Return a record as JSON bytes; fields at None are left out."""
    return record.model_dump_json(exclude_none=True).encode()


def decode(topic: Topic, value: bytes | None) -> Any:
    """Return the record that `value` holds on `topic`.

    Raises `Malformed` when it is empty, not JSON, of an unknown type or version, or breaks the model.
    The message names fields and rules, never the values.
    """
    if not value:
        raise Malformed(Cause.BAD_RECORD, "the record is empty")
    try:
        return topic.records.validate_json(value)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in each['loc']) or 'record'}: {each['type']}"
            for each in error.errors(include_input=False, include_url=False, include_context=False)[:5]
        )
        raise Malformed(Cause.BAD_RECORD, problems) from None
