"""A profile as text."""

from bench.profile import summary

_STACKS = """\
run (asyncio/runners.py:118);handle (agents.py:5);step (step.py:7) 40
run (asyncio/runners.py:118);handle (agents.py:9);step (step.py:9) 20
run (asyncio/runners.py:118);handle (agents.py:6) 20
run (asyncio/runners.py:118);send (kafka.py:1);write (streams.py:1) 19
run (asyncio/runners.py:118);seldom (kafka.py:1) 1
_run_once (asyncio/base_events.py:1);EpollSelector.select (selectors.py:468) 50
"""


def test_a_flame_graph_shows_who_called_what_by_its_share():
    lines = list(summary(_STACKS.splitlines()))
    flames = [(float(line[:5]), line[37:]) for line in lines[1:] if "%" not in line and "█" in line]
    assert flames == [
        (100.0, "run (asyncio/runners.py)"),
        (80.0, "  handle (agents.py)"),
        (60.0, "    step (step.py)"),
        (19.0, "  write (streams.py)"),  # `send` only calls it, and what is seldom is left out
    ]


def test_waiting_threads_are_no_work():
    assert next(summary(_STACKS.splitlines())).startswith("100 samples")


def test_each_function_is_told_with_its_own_share():
    table = [line for line in summary(_STACKS.splitlines()) if "█" not in line]
    assert " 80.0  20.0  handle (agents.py)" in table
