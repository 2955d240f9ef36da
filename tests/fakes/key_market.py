"""A market of keys in memory. It passes the same tests as the adapters."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from bitloot.contracts.effects import BuyKey, FetchCodes, GiveReservation, LookUpPurchase, ReturnKeys
from bitloot.contracts.events import FoundReservation
from bitloot.errors import BitLootError, Cause, Refused
from bitloot.ids import ProductId, ReservationId
from bitloot.sealing import Sealer
from fulfillment.kinguin.ports import Delivered, DeliveredLine, Placed, Undelivered

Step = Literal["reserve", "give", "look_up", "fetch"]


@dataclass
class Reservation:
    id: ReservationId
    external_id: str
    product_id: ProductId
    quantity: int
    given: bool = False
    canceled: bool = False
    codes: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        if self.canceled:
            return "CANCELED"
        return "DELIVERED" if self.codes else "BOUGHT" if self.given else "BUYING"


@dataclass
class _Failure:
    error: BitLootError
    happens: bool


@dataclass
class FakeKeyMarket:
    """Sells whatever is asked for, unless it is told otherwise.

    `fail` makes the next call of a step raise, after the step has happened if `happens`. `deliver` puts codes
    where `fetch` finds them.
    """

    sealer: Sealer
    reservations: dict[ReservationId, Reservation] = field(default_factory=dict)
    sold_out: set[str] = field(default_factory=set)
    can_be_asked: bool = True
    asked: list[Step] = field(default_factory=list)
    _failures: dict[Step, deque[_Failure]] = field(default_factory=dict)

    @property
    def purchases(self) -> list[Reservation]:
        return [each for each in self.reservations.values() if each.given]

    def fail(self, step: Step, error: BitLootError, *, happens: bool = False) -> None:
        self._failures.setdefault(step, deque()).append(_Failure(error, happens))

    def deliver(self, reservation: ReservationId, *codes: str) -> None:
        self.reservations[reservation].codes = codes

    def cancel(self, reservation: ReservationId) -> None:
        self.reservations[reservation].canceled = True

    async def buy(self, call: BuyKey) -> Placed:
        failure = self._begin("reserve")
        (line,) = call.lines
        if line.product_id in self.sold_out:
            raise Refused(Cause.OUT_OF_STOCK, "sold out")
        reservation = Reservation(
            ReservationId(f"r-{len(self.reservations) + 1}"), call.external_id, line.product_id, line.quantity
        )
        self.reservations[reservation.id] = reservation
        if failure is not None:
            raise failure
        try:
            self._give(reservation.id)
        except BitLootError:
            return Placed(reservation.id, given=False, provider_status="BUYING")
        return Placed(reservation.id, given=True, provider_status="BOUGHT")

    async def give(self, call: GiveReservation) -> None:
        self._give(call.reservation_id)

    async def look_up(self, call: LookUpPurchase) -> tuple[FoundReservation, ...]:
        self._begin("look_up")
        if not self.can_be_asked:
            raise Refused(Cause.CANNOT_ASK, "no look-ups here")
        return tuple(
            FoundReservation(
                reservation_id=each.id, given=each.given, canceled=each.canceled, provider_status=each.status
            )
            for each in self.reservations.values()
            if each.external_id == call.external_id
        )

    async def fetch(self, call: FetchCodes) -> Delivered | Undelivered:
        self._begin("fetch")
        codes = self.reservations[call.reservation_id].codes
        (line,) = call.lines
        if len(codes) < line.quantity:
            return Undelivered("NotDelivered")
        if len(codes) > line.quantity or len(set(codes)) < len(codes):
            raise Refused(Cause.BAD_CODES, f"{len(codes)} codes for a quantity of {line.quantity}")
        return Delivered((DeliveredLine(line.item_id, tuple(self.sealer.seal(code) for code in codes)),))

    async def return_keys(self, call: ReturnKeys) -> tuple[str, ...]:
        raise Refused(Cause.REJECTED, f"{call.reservation_id}: nothing is taken back here")

    def _give(self, reservation_id: ReservationId) -> None:
        failure = self._begin("give")
        reservation = self.reservations.get(reservation_id)
        if reservation is None:
            raise Refused(Cause.NOT_FOUND, "no such reservation")
        if reservation.canceled:
            raise Refused(Cause.CANCELED, "the reservation has ended")
        reservation.given = True
        if failure is not None:
            raise failure

    def _begin(self, step: Step) -> BitLootError | None:
        """Raise what was arranged for this step, or return it where the step is to happen first."""
        self.asked.append(step)
        failures = self._failures.get(step)
        if not failures:
            return None
        failure = failures.popleft()
        if failure.happens:
            return failure.error
        raise failure.error
