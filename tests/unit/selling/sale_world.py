"""Kinguin, the stock and the worker as they might be, in memory: for any order of what happens, repeats included."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bitloot.contracts.base import Record
from bitloot.contracts.events import Failure
from bitloot.contracts.sales import (
    CodeFate,
    CodeHandedOver,
    CodeReserved,
    CodeSettled,
    HandOverCode,
    ReserveCode,
    SaleEffectFailed,
    SaleEvent,
    SaleLookedUp,
    SaleNews,
    SaleNotified,
    SaleStatus,
    SaleTimerFired,
    SettleCode,
    StockCall,
    StockMissing,
)
from bitloot.ids import CodeId, EffectId, EventId, OfferId, ProductId, ReservationId
from fulfillment.selling import codec
from fulfillment.selling.reservation import Sale, decide, pending

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
PRODUCT, OFFER = ProductId("game"), OfferId("offer")
RESERVATION = ReservationId("r-1")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def news(status: SaleStatus | str, seconds: float | None = None, external_id: str | None = None) -> SaleNews:
    return SaleNews(
        status=SaleStatus(status),
        at=None if seconds is None else at(seconds),
        product_id=PRODUCT,
        offer_id=OFFER,
        external_id=external_id,
    )


def told(
    status: SaleStatus | str,
    seconds: float,
    kinguin: float | None = None,
    reservation: ReservationId = RESERVATION,
    external_id: str | None = None,
) -> SaleNotified:
    """Tell a status at our `seconds`, and at Kinguin's `kinguin`, which are the same unless said otherwise."""
    about = news(status, seconds if kinguin is None else kinguin, external_id)
    return SaleNotified(
        event_id=EventId(f"{reservation}/{status}/{about.at}"),
        occurred_at=at(seconds),
        reservation_id=reservation,
        news=about,
    )


def fired(seconds: float, reservation: ReservationId = RESERVATION) -> SaleTimerFired:
    return SaleTimerFired(event_id=EventId(f"timer/{seconds}"), occurred_at=at(seconds), reservation_id=reservation)


def _outcome(kind: type, effect: StockCall, seconds: float, **members: object) -> SaleEvent:
    return kind(
        event_id=EventId(f"{effect.effect_id}/{kind.__name__}"),
        occurred_at=at(seconds),
        reservation_id=effect.reservation_id,
        effect_id=effect.effect_id,
        **members,
    )


def reserved(effect: StockCall, seconds: float, code: int = 7) -> SaleEvent:
    return _outcome(CodeReserved, effect, seconds, code_id=CodeId(code))


def missing(effect: StockCall, seconds: float) -> SaleEvent:
    return _outcome(StockMissing, effect, seconds)


def handed(effect: HandOverCode, seconds: float, *, repeated: bool = False) -> SaleEvent:
    return _outcome(CodeHandedOver, effect, seconds, code_id=effect.code_id, repeated=repeated)


def settled(effect: SettleCode, seconds: float, fate: CodeFate | None = None) -> SaleEvent:
    return _outcome(CodeSettled, effect, seconds, fate=fate or effect.fate)


def looked_up(effect: StockCall, seconds: float, *found: SaleNews) -> SaleEvent:
    return _outcome(SaleLookedUp, effect, seconds, news=found)


def failed(effect: StockCall, seconds: float, failure: Failure, retry_after: float | None = None) -> SaleEvent:
    return _outcome(SaleEffectFailed, effect, seconds, failure=failure, cause="timeout", retry_after=retry_after)


@dataclass
class Code:
    id: CodeId
    owner: ReservationId | None = None
    left: bool = False
    """It may have left us."""


@dataclass
class Reservation:
    """What Kinguin knows of a sale. `sent` are the codes that it was ever shown, `code` is the one that it took."""

    id: ReservationId
    status: SaleStatus = SaleStatus.BUYING
    sent: list[CodeId] = field(default_factory=list)
    code: CodeId | None = None
    history: list[SaleNews] = field(default_factory=list)


class SaleWorld:
    """A shop day. Every event may come late, twice and out of order; every effect may be carried out again.

    The stock here trusts `decide` alone: it frees what it is told to free. So a mistake of `decide` shows.
    """

    def __init__(self, seed: int, sales: int, codes: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.now = 0.0
        self.codes = [Code(CodeId(number)) for number in range(1, codes + 1)]
        self.kinguin = {
            ReservationId(f"r-{number}"): Reservation(ReservationId(f"r-{number}")) for number in range(sales)
        }
        self.tables: dict[ReservationId, bytes] = {}
        self.events: list[SaleEvent] = []
        self.calls: list[StockCall] = []
        self.ledger: dict[EffectId, SaleEvent] = {}
        self.over: set[ReservationId] = set()
        for each in self.kinguin.values():
            self._tell(each, SaleStatus.BUYING)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
        self.settle()

    def step(self) -> None:
        self.now += self.dice.random() * 4
        (act,) = self.dice.choices([self._customer, self._deliver, self._work, self._tick], weights=[1, 6, 5, 2])
        act()

    def settle(self) -> None:
        """Let customers end, and all that is owed be done."""
        for each in self.kinguin.values():
            if each.status is SaleStatus.BUYING:
                self._move(each, SaleStatus.CANCELED)
        for tick in range(110):
            self.now += 30 if tick < 50 else 600  # an empty stock is tried for twenty minutes, then Kinguin is asked
            for each in self.kinguin.values():  # nobody hands over a code within 15 minutes
                if each.status in (SaleStatus.BOUGHT, SaleStatus.OUT_OF_STOCK) and self.now > self._paid(each) + 900:
                    self._move(each, SaleStatus.CANCELED)
            while self.events or self.calls:
                self._deliver(fair=True)
                self._work(fair=True)
            self._tick()

    def sale(self, reservation: ReservationId) -> Sale:
        return codec.sale_from_bytes(self.tables[reservation])

    def heard_of(self) -> list[Reservation]:
        """Return the sales of which not every notification was lost."""
        return [each for each in self.kinguin.values() if each.id in self.tables]

    # --- what happens ---

    def _paid(self, each: Reservation) -> float:
        first = next(n.at for n in each.history if n.status is SaleStatus.BOUGHT)
        return (first - START).total_seconds()

    def _customer(self) -> None:
        each = self.dice.choice(list(self.kinguin.values()))
        match each.status:
            case SaleStatus.BUYING:
                self._move(each, self.dice.choice([SaleStatus.BOUGHT, SaleStatus.BOUGHT, SaleStatus.CANCELED]))
                if each.status is SaleStatus.BOUGHT:
                    self._move(each, SaleStatus.OUT_OF_STOCK)
            case SaleStatus.OUT_OF_STOCK if each.code is None and self.dice.random() < 0.1:
                self._move(each, self.dice.choice([SaleStatus.CANCELED, SaleStatus.REVERSED]))
            case SaleStatus.OUT_OF_STOCK if each.code is not None:
                self._move(each, SaleStatus.DELIVERED)
            case SaleStatus.DELIVERED if self.dice.random() < 0.4:
                self._move(each, self.dice.choice([SaleStatus.RETURNED, SaleStatus.REFUNDED, SaleStatus.REVERSED]))

    def _move(self, each: Reservation, status: SaleStatus) -> None:
        each.status = status
        self.now += 0.001
        self._tell(each, status)

    def _tell(self, each: Reservation, status: SaleStatus) -> None:
        external = f"code-{each.code}" if status is SaleStatus.DELIVERED else None
        about = news(status, self.now, external)
        each.history.append(about)
        if self.dice.random() < 0.1:
            return  # lost
        event = told(status, self.now, reservation=each.id, external_id=external)
        self.events += [event] * self.dice.choice([1, 1, 2, 3])

    def _tick(self) -> None:
        for reservation in self.tables:
            wake_at = self.sale(reservation).wake_at
            if wake_at is not None and wake_at <= at(self.now):
                self.events.append(fired(self.now, reservation))

    def _deliver(self, *, fair: bool = False) -> None:
        """Hand any event to its sale, and maybe keep it for another time."""
        if not self.events:
            return
        event = self.events[self.dice.randrange(len(self.events))]
        if fair or self.dice.random() < 0.7:
            self.events.remove(event)
        stored = self.tables.get(event.reservation_id)
        before = Sale(event.reservation_id) if stored is None else codec.sale_from_bytes(stored)
        after, effects = decide(before, event)
        assert set(effects) <= set(pending(after))
        self.tables[event.reservation_id] = codec.sale_to_bytes(after)
        if fair or self.dice.random() < 0.9:  # else it dies before they are sent, and the event comes again
            self.calls += effects
        else:
            self.events.append(event)

    def _work(self, *, fair: bool = False) -> None:
        """Carry any call out, and maybe keep it for another time: the first of each sale, as a partition has them."""
        if not self.calls:
            return
        call = self.dice.choice(self.calls)
        call = next(each for each in self.calls if each.reservation_id == call.reservation_id)
        if fair or self.dice.random() < 0.8:
            self.calls.remove(call)
        if isinstance(call, HandOverCode):
            outcome = self.ledger.get(call.effect_id) or self._hand_over(call, fair=fair)
            self.ledger[call.effect_id] = outcome
        elif isinstance(call, ReserveCode):
            outcome = self._reserve(call)
        elif isinstance(call, SettleCode):
            outcome = self._settle(call)
        else:
            outcome = looked_up(call, self.now, *self.kinguin[call.reservation_id].history)
        self.events.append(outcome)

    def _owned(self, call: StockCall) -> Code | None:
        return next((code for code in self.codes if code.owner == call.reservation_id), None)

    def _reserve(self, call: ReserveCode) -> SaleEvent:
        code = self._owned(call)
        if code is None and call.reservation_id not in self.over:
            code = next((code for code in self.codes if code.owner is None), None)
        if code is None:
            return missing(call, self.now)
        code.owner = call.reservation_id
        return reserved(call, self.now, code.id)

    def _settle(self, call: SettleCode) -> SaleEvent:
        code = self._owned(call)
        self.over.add(call.reservation_id)
        if call.fate is CodeFate.FREE and code is not None:
            code.owner = None
        return settled(call, self.now)

    def _hand_over(self, call: HandOverCode, *, fair: bool) -> SaleEvent:
        code = self._owned(call)
        assert code is not None, "a code that the sale does not have"
        assert code.id == call.code_id
        fate = "well" if fair else self.dice.choice(["well", "lost before", "lost after", "away"])
        if fate == "away":
            return failed(call, self.now, Failure.TRANSIENT)
        each = self.kinguin[call.reservation_id]
        if fate != "lost before":
            each.sent.append(code.id)
            code.left = True
        if fate.startswith("lost"):
            if fate == "lost after":
                self._take(each, code)
            return failed(call, self.now, Failure.UNKNOWN)
        if each.code is not None and each.status is SaleStatus.OUT_OF_STOCK:
            return handed(call, self.now, repeated=True)
        if self._take(each, code):
            return handed(call, self.now)
        return failed(call, self.now, Failure.REFUSED)

    def _take(self, each: Reservation, code: Code) -> bool:
        if each.status is not SaleStatus.OUT_OF_STOCK or each.code is not None:
            return False
        each.code = code.id
        return True


def follow(*events: SaleEvent, sale: Sale | None = None) -> tuple[Sale, tuple[Record, ...]]:
    """Return the sale after all events, and the effects of the last one."""
    sale, effects = sale or Sale(events[0].reservation_id), ()
    for event in events:
        sale, effects = decide(sale, event)
    return sale, effects


def only(sale: Sale) -> StockCall:
    """Return the one effect under way."""
    (effect,) = pending(sale)
    return effect
