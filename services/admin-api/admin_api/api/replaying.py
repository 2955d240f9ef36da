"""Sends a record that was put aside to its topic again, byte for byte, marked as what it is."""

import base64
from collections.abc import Mapping

import asyncpg

from admin_api import replay_headers
from admin_api.api.ports import OpenOriginals, Ports, Publisher
from bitloot.contracts import codec
from bitloot.contracts.dead_letters import DeadLetter
from bitloot.contracts.topics import Topic
from bitloot.errors import Malformed

GONE = "Kafka no longer has the original record."


class Unsendable(Exception):  # noqa: N818 - it says what the record is
    """The record cannot be sent again, ever; the sentence says why."""


def destination(letter: Mapping[str, object] | asyncpg.Record, replayable: Mapping[str, Topic]) -> Topic:
    """Return the topic to which a letter's record may be sent; needs its `topic` and `value_cut`.

    Raises `Unsendable`.
    """
    if letter["topic"] is None:
        raise Unsendable("The dead letter is no longer in the read model.")
    if letter["value_cut"]:
        raise Unsendable("The record was too large to be kept whole: it cannot be sent again from here.")
    topic = replayable.get(str(letter["topic"]))
    if topic is None:
        raise Unsendable("Records of this topic are not sent again.")
    return topic


async def original(letter: asyncpg.Record, ports: Ports, originals: OpenOriginals) -> tuple[Topic, DeadLetter]:
    """Return a letter with its record as it was, and where the record belongs. Raises `Unsendable`, `Transient`."""
    topic = destination(letter, ports.replayable)
    letters = ports.topics.dead_letters
    value = await originals.read(letters.name, letter["kafka_partition"], letter["kafka_offset"])
    if value is None:
        raise Unsendable(GONE)
    try:
        found: DeadLetter = codec.decode(letters, value)
    except Malformed:
        raise Unsendable("The dead letter itself is damaged.") from None
    return topic, found


async def send_again(publisher: Publisher, topic: Topic, letter: DeadLetter, action: str) -> None:
    """Send the record. Should it fail again, its new dead letter names this one and the action. Raises `Transient`."""
    # First, as a dead letter keeps so many headers only.
    texts = {replay_headers.OF: letter.event_id, replay_headers.ACTION: action}
    headers = [(name, text.encode()) for name, text in (texts | _others(letter, texts)).items()]
    await publisher.send_raw(topic.name, _bytes(letter.key), _bytes(letter.value), headers)


def _others(letter: DeadLetter, texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in letter.headers.items() if name not in texts}


def _bytes(encoded: str | None) -> bytes | None:
    return None if encoded is None else base64.b64decode(encoded)
