"""No record can carry a mail address that is not sealed."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bitloot.contracts
from bitloot.contracts.codec import decode
from bitloot.contracts.topics import TOPICS
from bitloot.errors import Malformed

EXAMPLES = Path(bitloot.contracts.__file__).parent / "examples"
BY_NAME = {topic.name: topic for topic in TOPICS}
ADDRESS = "jane.doe.with.a.long.name@example.com"


def sealed_within(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield where sealed texts are: a list or object, and the place in it."""
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, part in places:
        if isinstance(part, str) and part.startswith("p1:"):
            yield value, place
        yield from sealed_within(part)


CARRIERS = {
    path: count
    for path in sorted(EXAMPLES.glob("*/*.json"))
    if (count := len(list(sealed_within(json.loads(path.read_text())))))
}


def test_the_records_that_carry_an_address_are_these():
    assert {path.stem: count for path, count in CARRIERS.items()} == {
        "email.changed": 1,
        "order.placed": 1,
        "order.state": 2,
        "send_mail": 1,
    }


@pytest.mark.parametrize("path", CARRIERS, ids=lambda path: path.stem)
@pytest.mark.parametrize("text", [ADDRESS, "", "p1:", f"p1:{ADDRESS}", f"p1:{'A' * 40}\n", f"p2:{'A' * 40}"])
def test_a_plain_address_is_refused_by_every_record(path, text):
    record = json.loads(path.read_text())
    for number in range(CARRIERS[path]):
        changed = copy.deepcopy(record)
        holder, place = list(sealed_within(changed))[number]
        holder[place] = text
        with pytest.raises(Malformed) as refused:
            decode(BY_NAME[path.parent.name], json.dumps(changed).encode())
        assert "jane" not in str(refused.value)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_whatever_is_called_an_address_is_sealed(topic):
    schema = topic.records.json_schema()
    for model in (schema, *schema.get("$defs", {}).values()):
        for name in {"email", "recipient"} & model.get("properties", {}).keys():
            field = model["properties"][name]
            kinds = field.get("anyOf", [field])
            assert all(kind.get("pattern", "").startswith("^p1:") or kind == {"type": "null"} for kind in kinds), name
