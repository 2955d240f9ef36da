"""What the last release wrote, kept: `python -m tests.contract.baseline` takes the code of now for a release.

Records of every type, the schemas of every topic, and rows of the orders agent's table. The tests beside this file
compare the code of now with them; docs/adr/0028 says what may differ. Run it when a release is made, never to make
a red test green, unless nothing is installed that has written the old form.
"""

import json
from pathlib import Path
from typing import Any

import bitloot.contracts
from bitloot.contracts.topics import TOPICS
from fulfillment.codec import order_to_bytes
from tests.unit.fulfillment.order_world import World, bought_world, paid_world

DIRECTORY = Path(__file__).parent / "baseline"
EXAMPLES = Path(bitloot.contracts.__file__).parent / "examples"


def schemas() -> dict[str, Any]:
    return {topic.name: topic.records.json_schema() for topic in TOPICS}


def examples() -> dict[str, Any]:
    """Return every example record by topic and type."""
    return {
        f"{path.parent.name}/{path.stem}": json.loads(path.read_text()) for path in sorted(EXAMPLES.glob("*/*.json"))
    }


def rows() -> dict[str, str]:
    """Return rows of the table of orders, in hex, at some stations of an order's way."""
    done, effects = paid_world(2)
    done.settle(effects)
    stations: dict[str, World] = {"paid": paid_world(1, 2)[0], "bought": bought_world()[0], "settled": done}
    return {name: order_to_bytes(world.order).hex() for name, world in stations.items()}


def write() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    for name, content in (("schemas", schemas()), ("examples", examples()), ("rows", rows())):
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (DIRECTORY / f"{name}.json").write_text(text, encoding="utf-8")


def read(name: str) -> dict[str, Any]:
    return json.loads((DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))


def breaks(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what in a topic's schema breaks those who still read or write the form before."""
    old, new = ({**schema.get("$defs", {}), "record": schema} for schema in (before, now))
    found = [f"{name} is gone" for name in old.keys() - new.keys()]
    for name in sorted(old.keys() & new.keys()):
        found += [f"{name}.{each}" for each in _breaks_of(old[name], new[name])]
    return sorted(found)


def _breaks_of(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before, now = old.get("properties", {}), new.get("properties", {})
    found = [f"{name} is gone" for name in before.keys() - now.keys()]
    found += [f"{name} is required now" for name in set(new.get("required", ())) - set(old.get("required", ()))]
    found += [f"{name} takes less" for name in before.keys() & now.keys() if not _takes(now[name], before[name])]
    if not set(old.get("enum", ())) <= set(new.get("enum", ())):
        found.append("a value is gone")
    return found


_TALK = frozenset({"title", "description", "default", "examples"})


def _takes(now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Tell whether whatever was written as `before` can be read as `now`: equal, or one of more alternatives."""
    alternatives = [_plain(each) for each in now.get("anyOf", [now])]
    return all(_plain(each) in alternatives for each in before.get("anyOf", [before]))


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in _TALK}


if __name__ == "__main__":
    write()
