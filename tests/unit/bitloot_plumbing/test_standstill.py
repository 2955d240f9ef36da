"""A partition that stands still is named, whatever the others do."""

from bitloot.standstill import Standstill


def test_only_what_stands_still_is_named():
    standstill: Standstill[tuple[str, int]] = Standstill()
    for now, moving in ((0, 1), (40, 2), (80, 3), (120, 4)):
        standstill.note({("topic", 0): 7, ("topic", 1): moving}, now)
    assert standstill.complaint(120, 100) == "topic/0 has stood still at offset 7 for 120 s"
    assert standstill.complaint(120, 130) is None


def test_what_has_caught_up_or_gone_is_forgotten():
    standstill: Standstill[tuple[str, int]] = Standstill()
    standstill.note({("topic", 0): 7}, 0)
    standstill.note({}, 50)
    standstill.note({("topic", 0): 7}, 100)
    assert standstill.complaint(150, 100) is None
