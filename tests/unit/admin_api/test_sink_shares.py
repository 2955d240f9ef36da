from aiokafka.structs import TopicPartition

from admin_api.sink.shares import Taken, take
from tests.unit.admin_api import records


class Fetched:
    """What was fetched, given as aiokafka does: one partition after the other. Tells how long it may have waited."""

    def __init__(self, counts: dict[tuple[str, int], int]) -> None:
        self.waits: list[int] = []
        self.left: Taken = {
            TopicPartition(*where): [
                records.taken(*where[:1], b"k", b"v", partition=where[1], offset=n) for n in range(count)
            ]
            for where, count in counts.items()
        }

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> Taken:
        self.waits.append(timeout_ms)
        found: Taken = {}
        for each in self.left:
            if (not partitions or each in partitions) and self.left[each] and max_records > 0:
                found[each], self.left[each] = self.left[each][:max_records], self.left[each][max_records:]
                max_records -= len(found[each])
        return found


async def taken(fetched: Fetched) -> dict[tuple[str, int], list[int]]:
    found = await take(fetched.getmany, list(fetched.left), wait_ms=500, most=400)
    return {tuple(each): [record.offset for record in of] for each, of in found.items()}


async def test_few_records_are_taken_at_once():
    fetched = Fetched({("a", 0): 30, ("b", 0): 40})

    assert await taken(fetched) == {("a", 0): [*range(30)], ("b", 0): [*range(40)]}
    assert fetched.waits == [500]


async def test_where_many_wait_each_topic_has_its_share_and_what_is_left_is_filled_up():
    fetched = Fetched({("a", 0): 60, ("a", 1): 400, ("b", 0): 1000, ("c", 0): 20})

    first = await taken(fetched)
    assert {each: len(of) for each, of in first.items()} == {("a", 0): 60, ("a", 1): 220, ("b", 0): 100, ("c", 0): 20}
    assert fetched.waits[0] == 500
    assert set(fetched.waits[1:]) == {0}


async def test_a_partition_is_taken_in_order_and_nothing_twice():
    fetched = Fetched({("a", 0): 900, ("a", 1): 5, ("b", 0): 700})

    all_of: dict[tuple[str, int], list[int]] = {each: [] for each in map(tuple, fetched.left)}
    while any(fetched.left.values()):
        for each, offsets in (await taken(fetched)).items():
            all_of[each] += offsets
    assert all_of == {("a", 0): [*range(900)], ("a", 1): [*range(5)], ("b", 0): [*range(700)]}


async def test_the_records_of_one_topic_alone_are_all_that_may_be_taken():
    fetched = Fetched({("a", 0): 900, ("b", 0): 0})

    assert {each: len(of) for each, of in (await taken(fetched)).items()} == {("a", 0): 400}
