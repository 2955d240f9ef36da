"""The contracts themselves, linted: topics, models and the examples on disk."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

import bitloot.contracts
from bitloot.contracts.codec import MAX_RECORD_BYTES, decode, encode
from bitloot.contracts.topics import DEAD_LETTERS, TOPICS, Topic
from bitloot.errors import Malformed
from bitloot.ids import is_order_id

EXAMPLES = Path(bitloot.contracts.__file__).parent / "examples"
BY_NAME = {topic.name: topic for topic in TOPICS}
FILES = sorted(EXAMPLES.glob("*/*.json"))


def record_types(topic: Topic) -> set[str]:
    schema = topic.records.json_schema()
    definitions = schema.get("$defs", {}) | {"": schema}
    return {
        d["properties"]["type"]["const"]
        for d in definitions.values()
        if "event_id" in d.get("properties", {}) and "type" in d["properties"]
    }


def example_id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("topic", TOPICS, ids=lambda t: t.name)
def test_every_topic_says_what_it_is_and_who_uses_it(topic):
    assert topic.description.endswith(".")
    assert topic.key
    assert topic.producers
    assert topic.consumers
    assert topic.name.endswith(".v1")


@pytest.mark.parametrize("topic", TOPICS, ids=lambda t: t.name)
def test_every_record_type_has_an_example_and_no_example_is_an_orphan(topic):
    assert {p.stem for p in (EXAMPLES / topic.name).glob("*.json")} == record_types(topic)


def test_there_are_no_examples_of_unknown_topics():
    assert {p.parent.name for p in FILES} == set(BY_NAME)


@pytest.mark.parametrize("path", FILES, ids=example_id)
def test_an_example_comes_back_as_it_was(path):
    record = decode(BY_NAME[path.parent.name], path.read_bytes())
    assert json.loads(encode(record)) == json.loads(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=example_id)
def test_examples_have_no_field_that_the_models_do_not_know(path):
    topic = BY_NAME[path.parent.name]
    record = decode(topic, path.read_bytes())
    strict = type(f"Strict{type(record).__name__}", (type(record),), {"model_config": ConfigDict(extra="forbid")})
    strict.model_validate_json(path.read_bytes())


@pytest.mark.parametrize("path", FILES, ids=example_id)
def test_readers_ignore_fields_of_newer_writers(path):
    value = json.loads(path.read_text()) | {"a_field_of_tomorrow": {"deep": [1]}}
    assert decode(BY_NAME[path.parent.name], json.dumps(value).encode()) == decode(
        BY_NAME[path.parent.name], path.read_bytes()
    )


@pytest.mark.parametrize("path", FILES, ids=example_id)
def test_an_unknown_version_is_refused(path):
    value = json.loads(path.read_text()) | {"schema_version": 2}
    with pytest.raises(Malformed):
        decode(BY_NAME[path.parent.name], json.dumps(value).encode())


@pytest.mark.parametrize("path", [p for p in FILES if "order_id" in p.read_text()], ids=example_id)
def test_order_ids_in_examples_are_real_ones(path):
    value = json.loads(path.read_text())
    assert "order_id" not in value or is_order_id(value["order_id"])


@pytest.mark.parametrize("value", [None, b"", b"null", b"{}", b"[]", b"{", b'{"type":"nope"}', b"\xff\xfe"])
@pytest.mark.parametrize("topic", TOPICS, ids=lambda t: t.name)
def test_what_is_no_record_is_malformed_and_its_content_is_not_told(topic, value):
    with pytest.raises(Malformed) as caught:
        decode(topic, value)
    assert "nope" not in str(caught.value)


def test_a_record_without_key_and_value_can_still_be_put_aside():
    letter = decode(DEAD_LETTERS, (EXAMPLES / DEAD_LETTERS.name / "dead.letter.json").read_bytes())
    bare = letter.model_copy(update={"key": None, "value": None})
    assert decode(DEAD_LETTERS, encode(bare)) == bare


def models(annotation: Any, seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
        seen.add(annotation)
        for field in annotation.model_fields.values():
            models(field.annotation, seen)
    for argument in getattr(annotation, "__args__", ()):
        models(argument, seen)
    return seen


def test_every_model_is_frozen_and_says_what_it_is():
    for topic in TOPICS:
        found = models(topic.records._type, set())
        assert found
        for model in found:
            assert model.model_config.get("frozen"), model
            assert model.__doc__, model


def test_the_largest_record_fits_a_broker_with_default_settings():
    assert MAX_RECORD_BYTES < 1_048_576
