"""No consumer can use a record that chaos puts on its topic; otherwise the count of dead letters would prove nothing."""

import pytest

from bitloot.contracts.codec import MAX_RECORD_BYTES, decode
from bitloot.contracts.topics import DEAD_LETTERS
from bitloot.contracts.topics import TOPICS as ALL
from bitloot.errors import Malformed
from chaos.litter import TOPICS, values


@pytest.mark.parametrize("name", sorted(values()))
@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_it_is_malformed_on_every_topic_and_small_enough_to_be_sent(topic, name):
    with pytest.raises(Malformed):
        decode(topic, values()[name])
    assert len(values()[name]) <= MAX_RECORD_BYTES


def test_every_topic_with_consumers_is_littered_but_that_of_the_dead_letters():
    assert {topic.name for topic in ALL if topic.consumers} - {DEAD_LETTERS.name} == {topic.name for topic in TOPICS}
