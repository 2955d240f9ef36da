"""Faust's assignor, with standbys: workers come, die and come back, and each partition has one owner and one copy.

Reports of uneven or failing assignments (faust#93, #401) are why this is checked, and not taken from its documentation.
"""

from dataclasses import dataclass, field
from math import ceil

from faust.assignor.client_assignment import CopartitionedAssignment
from faust.assignor.copartitioned_assignor import CopartitionedAssignor
from hypothesis import given
from hypothesis import strategies as st

TOPICS = frozenset({"events", "changelog"})


@dataclass
class Group:
    """The members of a group, each with what it was last told, as it says when it joins again."""

    partitions: int
    members: dict[str, CopartitionedAssignment] = field(default_factory=dict)
    started: int = 0

    def start(self) -> None:
        self.started += 1
        self.members[f"worker-{self.started}"] = CopartitionedAssignment(topics=set(TOPICS))

    def share_out(self) -> None:
        assignor = CopartitionedAssignor(TOPICS, self.members, self.partitions, replicas=1)
        self.members = dict(assignor.get_assignment())

    def owners(self, partition: int, *, active: bool) -> list[str]:
        return [name for name, each in self.members.items() if each.partition_assigned(partition, active)]


def check(group: Group) -> None:
    for partition in range(group.partitions):
        active, standby = (group.owners(partition, active=active) for active in (True, False))
        assert len(active) == 1
        assert len(standby) == (1 if len(group.members) > 1 else 0)
        assert active != standby
    fair = ceil(group.partitions / len(group.members))
    assert all(len(each.actives) <= fair for each in group.members.values())


@st.composite
def histories(draw):
    """What happens between two assignments: which member ends (or none), how many begin; some keep an old answer."""
    steps = st.tuples(st.integers(0, 4), st.integers(0, 2), st.booleans())
    return draw(st.integers(1, 13)), draw(st.lists(steps, min_size=1, max_size=12))


@given(histories())
def test_every_partition_has_one_owner_and_one_copy(history):
    partitions, steps = history
    group = Group(partitions)
    group.start()
    group.share_out()
    for ending, starting, stale in steps:
        before = {
            name: CopartitionedAssignment(set(each.actives), set(each.standbys), set(TOPICS))
            for name, each in group.members.items()
        }
        names = sorted(group.members)
        if ending < len(names) and len(names) + starting > 1:
            del group.members[names[ending]]
        for _ in range(starting):
            group.start()
        group.share_out()
        check(group)
        if stale and names[0] in group.members:
            # It slept through this assignment, and tells of the one before when it joins again.
            group.members[names[0]] = before[names[0]]
            group.share_out()
            check(group)


@given(st.integers(1, 13), st.data())
def test_a_copy_takes_over_when_one_of_two_dies(partitions, data):
    group = Group(partitions)
    group.start()
    group.start()
    group.share_out()
    dead = data.draw(st.sampled_from(sorted(group.members)))
    lost = set(group.members.pop(dead).actives)
    (survivor,) = group.members.values()
    assert lost <= survivor.standbys
    group.share_out()
    assert survivor.actives == set(range(partitions))
    assert not survivor.standbys
