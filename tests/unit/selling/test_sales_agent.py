"""The agent around the sales, over a table in memory."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from bitloot.contracts.codec import encode
from bitloot.contracts.sales import CodeFate, HandOverCode, ReserveCode, SaleEvent, SettleCode
from bitloot.contracts.topics import STOCK_CALLS
from bitloot.errors import Malformed
from fulfillment.due import DueIndex
from fulfillment.selling import codec
from fulfillment.selling.agent import SalesAgent, of_sales
from tests.unit.fulfillment.agent_rig import MemoryTable, Stream
from tests.unit.selling.sale_world import RESERVATION, START, at, fired, handed, reserved, settled, told

KEY = RESERVATION.encode()


class Rig:
    def __init__(self, table: MemoryTable | None = None) -> None:
        self.table = table if table is not None else MemoryTable()
        self.sent: list = []
        self.letters: list = []
        self.due: DueIndex[str] = DueIndex()
        self.now = START
        self.agent = SalesAgent(self.table, self, self, self.due, clock=lambda: self.now)

    def post(self, topic, key, record) -> None:
        self.sent.append((topic, key, record))

    async def send(self, message, error) -> None:
        self.letters.append((message, error))

    def tell(self, *events: SaleEvent, key: bytes = KEY) -> None:
        records = [
            SimpleNamespace(topic="kinguin.sales.v1", partition=0, offset=1, key=key, value=encode(e), headers={})
            for e in events
        ]
        asyncio.run(self.agent.run(Stream(records)))

    @property
    def last(self):
        return self.sent[-1][2]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_sale_goes_its_way(rig: Rig):
    rig.tell(told("BUYING", 0))
    assert [(topic, key, type(record)) for topic, key, record in rig.sent] == [(STOCK_CALLS, "r-1", ReserveCode)]
    rig.tell(reserved(rig.last, 1), told("BOUGHT", 2))
    assert isinstance(rig.last, HandOverCode)
    rig.tell(handed(rig.last, 3), told("DELIVERED", 4))
    assert isinstance(rig.last, SettleCode)
    rig.tell(settled(rig.last, 5))
    assert codec.sale_from_bytes(rig.table[KEY]).fate is CodeFate.DELIVERED
    assert len(rig.sent) == 3


def test_a_replay_after_a_crash_sends_what_was_owed_and_writes_the_changelog_again(rig: Rig):
    event = told("BUYING", 0)
    rig.tell(event)
    heir = Rig(rig.table)
    heir.tell(event)
    assert [record for _, _, record in heir.sent] == [record for _, _, record in rig.sent]
    assert len(rig.table.changelog) == 2
    assert rig.table.restored() == rig.table


def test_a_timer_is_as_far_away_as_the_event_says_whatever_our_clock(rig: Rig):
    rig.now = START + timedelta(days=1)
    rig.tell(told("BUYING", 0))
    sale = codec.sale_from_bytes(rig.table[KEY])
    assert rig.due.due(rig.now + timedelta(minutes=4), 9) == []
    assert rig.due.due(rig.now + timedelta(minutes=6), 9) == [("r-1", sale.wake_at)]


def test_the_timers_are_found_again_in_the_table(rig: Rig):
    rig.tell(told("BUYING", 0))
    source = of_sales(rig.table, rig.due)
    wake_at = codec.sale_from_bytes(rig.table[KEY]).wake_at
    assert source.times(rig.table[KEY], START) == (wake_at, wake_at)
    assert source.event("r-1", at(9)).occurred_at == at(9)


def test_a_sale_that_is_over_for_long_leaves_the_table(rig: Rig):
    rig.tell(told("CANCELED", 0))
    rig.tell(settled(rig.last, 1), fired(61 * 24 * 3600))
    assert KEY not in rig.table
    assert len(rig.due) == 0
    # What comes after that gets no code: the stock knows the sale.
    rig.tell(told("REFUNDED", 62 * 24 * 3600))
    assert isinstance(rig.last, SettleCode)


@pytest.mark.parametrize("late", [fired(61 * 24 * 3600), fired(62 * 24 * 3600)], ids=["repeated", "fired twice"])
def test_what_says_nothing_of_a_sale_that_has_left_brings_no_row_back(rig: Rig, late: SaleEvent):
    """A crash repeats the timer that let it go, and a slow agent gets two: an empty row would stay for ever."""
    rig.tell(told("CANCELED", 0))
    outcome = settled(rig.last, 1)
    rig.tell(outcome, fired(61 * 24 * 3600))
    rig.table.changelog.pop()  # the disk was ahead of the changelog
    rig.due.set("r-1", at(3))
    rig.tell(late, outcome)
    assert rig.table == {}
    assert rig.table.restored() == {}
    assert len(rig.due) == 0
    assert rig.letters == []


def test_a_record_under_another_key_is_put_aside(rig: Rig):
    rig.tell(told("BUYING", 0), key=b"another")
    ((_, error),) = rig.letters
    assert isinstance(error, Malformed)
    assert rig.sent == []


def test_a_sale_that_cannot_be_read_does_not_storm(rig: Rig):
    rig.tell(told("BUYING", 0))
    rig.table[KEY] = b"\x00" * 8 + b"{}"
    rig.tell(fired(400))
    assert len(rig.letters) == 1
    assert len(rig.due) == 0
