"""Every record reaches its agent, in order; nothing is committed that is not done."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bitloot.faust_app.progress import Progress


def test_the_head_moves_over_what_is_done():
    progress = Progress(5)
    assert [progress.deliver(offset) for offset in (5, 6, 9)] == [True, True, True]  # 7 and 8 never were
    assert (progress.advance(set()), progress.expected) == (5, 10)
    assert progress.advance({6}) == 5
    assert progress.advance({5, 6}) == 7
    assert progress.advance({9}) == 10


def test_what_comes_twice_is_handed_over_once():
    progress = Progress(5)
    assert progress.deliver(5)
    assert not progress.deliver(5)
    assert not progress.deliver(4)


@given(st.integers(0, 5))
def test_a_rewind_asks_again_for_all_that_is_not_done(done):
    progress = Progress(0)
    for offset in range(5):
        progress.deliver(offset)
    progress.advance(set(range(done)))
    progress.rewind()
    assert progress.expected == progress.head == done
    assert progress.deliver(done)


class Partition(RuleBasedStateMachine):
    """A partition with gaps in its offsets; queues that are cleared; an agent that takes its time."""

    def __init__(self):
        super().__init__()
        self.offsets = [0, 1, 2, 4, 5, 9, 10, 11]
        self.progress = Progress(0)
        self.position = 0  # of the fetcher
        self.queue = []
        self.done = []
        self.acked = set()

    @rule(count=st.integers(1, 4))
    def fetch(self, count):
        self.position = self.progress.expected  # as `_align` does
        for offset in [each for each in self.offsets if each >= self.position][:count]:
            if self.progress.deliver(offset):
                self.queue.append(offset)

    @precondition(lambda self: self.queue)
    @rule()
    def handle(self):
        offset = self.queue.pop(0)
        self.done.append(offset)
        self.acked.add(offset)

    @rule(lost=st.booleans())
    def resume(self, lost):
        """The queue is cleared; a record may have been taken from it and skipped."""
        if lost and self.queue:
            self.queue.pop(0)
        self.queue.clear()
        self.progress.advance(self.acked)
        self.progress.rewind()

    @invariant()
    def nothing_is_committed_that_is_not_done(self):
        head = self.progress.advance(self.acked)
        assert {offset for offset in self.offsets if offset < head} <= set(self.done)

    def teardown(self):
        self.resume(lost=False)
        for _ in self.offsets:
            self.fetch(1)
            if self.queue:
                self.handle()
        assert self.progress.advance(self.acked) == 12
        assert list(dict.fromkeys(self.done)) == self.offsets  # in order, whatever came twice


TestPartition = Partition.TestCase
