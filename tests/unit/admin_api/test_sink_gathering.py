"""How long the sink lets records come together."""

import pytest

from admin_api.sink.loop import gather_seconds


@pytest.mark.parametrize(
    ("taken", "waiting", "seconds"),
    [
        (1, 0, 0.05),  # somebody works by himself, and wants to see it
        (19, 180, 0.05),
        (20, 0, 0.2),
        (199, 199, 0.2),
        (200, 0, 0.0),
        (1, 200, 0.0),  # a backlog, of which a poll brought little
    ],
)
def test_it_waits_the_longer_the_more_there_is_and_not_at_all_for_a_backlog(taken, waiting, seconds):
    assert gather_seconds(taken, lambda: waiting) == seconds
