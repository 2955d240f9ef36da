"""What a worker's disk remembers of Kafka."""

import pytest
from aiokafka import TopicPartition

from bitloot.cluster import Cluster, LogLost
from bitloot.faust_app.witness import DiskWitness

CLUSTER = Cluster("one", {"events": "a", "changelog": "b"})
FIRST, SECOND = TopicPartition("events", 0), TopicPartition("events", 1)


async def test_it_remembers_across_processes(tmp_path):
    await DiskWitness(tmp_path / "new").confirm(CLUSTER)
    await DiskWitness(tmp_path / "new").confirm(CLUSTER)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (Cluster("two", CLUSTER.topic_ids), "cluster two, not one"),
        (Cluster("one", {"events": "a", "changelog": "c"}), "changelog was deleted and made anew"),
    ],
)
async def test_another_log_is_not_taken_for_ours(tmp_path, now, why):
    await DiskWitness(tmp_path).confirm(CLUSTER)
    for _ in range(2):  # and stays refused
        with pytest.raises(LogLost, match=why):
            await DiskWitness(tmp_path).confirm(now)


async def test_new_topics_are_learned(tmp_path):
    await DiskWitness(tmp_path).confirm(Cluster("one", {"events": "a"}))
    await DiskWitness(tmp_path).confirm(CLUSTER)
    with pytest.raises(LogLost):
        await DiskWitness(tmp_path).confirm(Cluster("one", {"changelog": "c"}))


async def test_it_knows_what_the_group_has_begun(tmp_path):
    witness = DiskWitness(tmp_path)
    await witness.confirm(CLUSTER)
    await witness.begin("group", CLUSTER, [FIRST])
    assert await DiskWitness(tmp_path).begun("group", CLUSTER, [FIRST, SECOND]) == {FIRST}
    assert await witness.begun("another", CLUSTER, [FIRST]) == set()
    assert await witness.begun("group", Cluster("one", {"events": "z"}), [FIRST]) == set()
    await witness.confirm(CLUSTER)  # which forgets nothing
    assert await witness.begun("group", CLUSTER, [FIRST]) == {FIRST}
