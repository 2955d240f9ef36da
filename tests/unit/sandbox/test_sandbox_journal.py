from dataclasses import dataclass

import pytest

from sandbox.journal import Journal, uuids

FIRST = "0b0c3ff8-2f5b-4d2e-9a53-5c1f0d1d6a01"
SECOND = "0b0c3ff8-2f5b-4d2e-9a53-5c1f0d1d6a02"


@dataclass(frozen=True)
class Note:
    name: str
    order_ids: tuple[str, ...]


@pytest.fixture
def journal():
    return Journal(3)


def names(notes):
    return [note.name for note in notes]


def test_an_order_finds_its_external_ids_and_no_others(journal):
    journal.append(Note("a", (FIRST,)))
    journal.append(Note("b", (SECOND,)))
    journal.append(Note("c", (f"{FIRST}-item-2",)))
    assert names(journal.find(FIRST)) == ["a", "c"]
    assert names(journal.find(FIRST.upper())) == ["a", "c"]
    assert names(journal.find(f"{FIRST}-item-2")) == ["c"]
    assert names(journal.find()) == ["a", "b", "c"]


def test_ids_that_are_no_uuids_are_found_by_their_start(journal):
    journal.append(Note("a", ("order-1-a",)))
    journal.append(Note("b", ("order-2",)))
    assert names(journal.find("order-1")) == ["a"]


def test_the_oldest_makes_room_and_is_counted(journal):
    for name in "abcd":
        journal.append(Note(name, (FIRST, f"{FIRST}-{name}", SECOND) if name == "a" else (FIRST,)))
    assert names(journal.find(FIRST)) == ["b", "c", "d"]
    assert journal.find(SECOND) == []
    assert journal.totals() == {"kept": 3, "dropped": 1}


def test_clearing_forgets_records_and_counts(journal):
    journal.append(Note("a", (FIRST,)))
    journal.clear()
    assert journal.find(FIRST) == []
    assert journal.totals() == {"kept": 0, "dropped": 0}


def test_uuids_are_found_in_prose():
    assert list(uuids(f"https://s3/keys/{FIRST.upper()}.json?x={SECOND}")) == [FIRST, SECOND]
