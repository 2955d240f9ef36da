from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from bitloot.kafka import partition_of


@given(st.binary(max_size=150), st.integers(1, 50))
def test_a_key_goes_where_all_other_clients_put_it(key: bytes, count: int):
    partitions = list(range(count))

    assert partition_of(key, partitions, partitions) == DefaultPartitioner()(key, partitions, partitions)


def test_without_a_key_any_available_partition_will_do():
    assert {partition_of(None, [0, 1, 2], [1, 2]) for _ in range(100)} == {1, 2}
