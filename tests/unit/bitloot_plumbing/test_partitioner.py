from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from bitloot.kafka import partition_of


@given(st.binary(max_size=150), st.integers(1, 50))
def test_a_key_goes_where_all_other_clients_put_it(key: bytes, count: int):
    partitions = list(range(count))

    assert partition_of(key, count) == DefaultPartitioner()(key, partitions, partitions)
