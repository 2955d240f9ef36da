"""The `reservations` dialect: reserve, give, ask for what was delivered."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from bitloot import log
from bitloot.contracts.events import FoundReservation
from bitloot.errors import Cause, Refused, Transient, Unknown
from bitloot.ids import ReservationId
from bitloot.sealing import Sealer
from fulfillment.kinguin.answers import (
    Standing,
    bad,
    check_echo,
    check_whole,
    document,
    refusal,
    reservation_id,
    shown_status,
    standing_of,
)
from fulfillment.kinguin.codes import read_codes
from fulfillment.kinguin.gateway import Gateway, describe, kind_of
from fulfillment.kinguin.ports import Delivered, DeliveredLine, Placed, Undelivered
from fulfillment.kinguin.telemetry import measured
from fulfillment.kinguin.wire import Answer, Json, Unreadable
from fulfillment.purchases import Line, Purchase

_BOUGHT: Final = frozenset({Standing.GIVEN, Standing.DELIVERED})
_CANNOT_BE_ASKED: Final = frozenset({404, 405})
# 404 and 409 are how Kinguin says "not delivered yet" of a purchase that it has.
_NOT_YET: Final = frozenset({202, 204, 404, 409, 425})

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Reserved:
    id: ReservationId
    standing: Standing
    provider_status: str


class Reservations:
    """A `PurchaseMarket` over Kinguin's reservations API: a purchase is one reservation, and so has one line."""

    def __init__(self, gateway: Gateway, sealer: Sealer) -> None:
        self._gateway = gateway
        self._sealer = sealer

    async def buy(self, purchase: Purchase) -> Placed:
        """See `PurchaseMarket.buy`."""
        reserved = await self._reserve(purchase.external_id, _line(purchase))
        if reserved.standing in _BOUGHT:
            return Placed(reserved.id, given=True, provider_status=reserved.provider_status)
        try:
            status = await self._give(reserved.id)
        except (Transient, Refused, Unknown) as error:
            # Whatever went wrong, the reservation stands, and the order asks to give it as an effect of its own.
            _log.warning("kinguin.not_given", reservation_id=reserved.id, cause=error.cause, detail=error.detail)
            return Placed(reserved.id, given=False, provider_status=reserved.provider_status)
        return Placed(reserved.id, given=True, provider_status=status)

    async def give(self, reservation_id: ReservationId) -> None:
        """See `PurchaseMarket.give`."""
        await self._give(reservation_id)

    async def look_up(self, external_id: str) -> tuple[FoundReservation, ...]:
        """See `PurchaseMarket.look_up`."""
        with measured("lookup"):
            answer = await self._gateway.call("GET", "/reservations", params={"orderId": external_id})
            if answer.status in _CANNOT_BE_ASKED and answer.document is not Unreadable.BODY:
                raise Refused(Cause.CANNOT_ASK, describe(answer))
            if answer.status >= 400:
                raise refusal(answer)
            return _found(answer, external_id)

    async def fetch(self, purchase: Purchase, reservation_id: ReservationId) -> Delivered | Undelivered:
        """See `PurchaseMarket.fetch`."""
        line = _line(purchase)
        with measured("delivered"):
            answer = await self._gateway.call("GET", f"{_path(reservation_id)}/delivered")
            if _is_not_yet(answer):
                return Undelivered(shown_status(_member(answer, "status")) or kind_of(answer))
            if answer.status >= 400:
                raise refusal(answer)
            members = document(answer)
            check_echo(answer, members, {"reservationId": reservation_id, "orderId": purchase.external_id})
            _refuse_ended(answer, standing_of(members.get("status")))
            codes = read_codes(members, line.quantity)
            if codes is None:
                return Undelivered(shown_status(members.get("status")))
            sealed = tuple(self._sealer.seal(code.content, code.media_type) for code in codes)
            return Delivered((DeliveredLine(line.item_id, sealed),))

    async def return_keys(self, reservation_id: ReservationId) -> tuple[str, ...]:
        """See `PurchaseMarket.return_keys`: this API has no such request."""
        raise Refused(Cause.REJECTED, f"reservation {reservation_id}: this API takes no keys back")

    async def _reserve(self, external_id: str, line: Line) -> _Reserved:
        with measured("reserve"):
            wanted: dict[str, Json] = {
                "orderId": external_id,
                "productId": line.product_id,
                "quantity": line.quantity,
            }
            answer = await self._gateway.call("POST", "/reservations", body=wanted)
            if answer.status >= 400:
                # The product was on sale in the shop: where the market does not find it, no offer is left.
                raise refusal(answer, not_found=Cause.OUT_OF_STOCK)
            members = document(answer)
            told = members.get("reservationId")
            reservation = reservation_id(members.get("id") if told is None else told)
            if reservation is None:
                raise bad(answer, "it names no reservation")
            check_echo(answer, members, {name: str(value) for name, value in wanted.items()})
            status = members.get("status")
            return _Reserved(reservation, standing_of(status), shown_status(status))

    async def _give(self, reservation: ReservationId) -> str:
        """Return the status that the answer tells, if it tells one."""
        with measured("give"):
            answer = await self._gateway.call("POST", f"{_path(reservation)}/give")
            if answer.status >= 400:
                standing = _standing_told(answer)
                _refuse_ended(answer, standing)
                if not _is_given_already(answer, standing):
                    raise refusal(answer)
                return shown_status(_member(answer, "status"))
            if answer.document is None:
                return ""  # a success that has nothing to tell
            members = document(answer)
            check_echo(answer, members, {"reservationId": reservation})
            _refuse_ended(answer, standing_of(members.get("status")))
            if members.get("status") is not None and standing_of(members["status"]) not in _BOUGHT:
                raise bad(answer, "its status is not one of a purchase")
            return shown_status(members.get("status"))


def _line(purchase: Purchase) -> Line:
    if len(purchase.lines) != 1:
        raise Refused(Cause.REJECTED, f"a reservation holds one product, not {len(purchase.lines)} lines")
    return purchase.lines[0]


def _path(reservation: ReservationId) -> str:
    return f"/reservations/{quote(reservation, safe='')}"


def _member(answer: Answer, name: str) -> Json:
    return answer.document.get(name) if isinstance(answer.document, dict) else None


def _standing_told(answer: Answer) -> Standing:
    """Return how far a reservation is by a refusal: its status tells, or the word after an "already"."""
    standing = standing_of(_member(answer, "status"))
    _, already, word = kind_of(answer).lower().rpartition("already")
    return standing_of(word) if already and standing is Standing.UNKNOWN else standing


def _is_given_already(answer: Answer, standing: Standing) -> bool:
    """Tell whether a refusal to give says that it was given before."""
    if standing is not Standing.UNKNOWN:
        return standing in _BOUGHT
    if answer.document is Unreadable.BODY:  # something in between, which knows of no reservation
        return False
    return "already" in kind_of(answer).lower() or (answer.status == 409 and not kind_of(answer))


def _is_not_yet(answer: Answer) -> bool:
    if answer.status not in _NOT_YET or answer.document is Unreadable.BODY:
        return False
    if answer.status < 300:
        return answer.document is None
    _refuse_ended(answer, standing_of(_member(answer, "status")))
    error = refusal(answer)
    return not (isinstance(error, Refused) and error.cause in {Cause.CANCELED, Cause.REFUNDED})


def _refuse_ended(answer: Answer, standing: Standing) -> None:
    match standing:
        case Standing.CANCELED:
            raise Refused(Cause.CANCELED, f"{describe(answer)}: the purchase was canceled")
        case Standing.REFUNDED:
            raise Refused(Cause.REFUNDED, f"{describe(answer)}: the purchase was refunded or reversed")
        case _:
            return


def _found(answer: Answer, external_id: str) -> tuple[FoundReservation, ...]:
    members = document(answer)
    items = members.get("items")
    if not isinstance(items, list):
        raise bad(answer, "it has no list of items")
    check_whole(answer, members.get("total"), len(items))
    found: dict[ReservationId, FoundReservation] = {}
    others_of_ours = False  # longer external ids: the market may look up by how an id begins
    for item in items:
        told = item.get("orderId") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(told, str):
            # It might be ours: to leave it out could buy a second time.
            raise bad(answer, "an item does not tell its order")
        if told != external_id:
            others_of_ours |= told.startswith(external_id)
            continue
        reservation = _found_one(answer, item)
        if found.setdefault(reservation.reservation_id, reservation) != reservation:
            raise bad(answer, "a reservation is there twice and differs")
    if items and not found and not others_of_ours:
        # It answers another question: whether there is a purchase of ours nobody has said.
        raise bad(answer, "it shows other orders only")
    return tuple(found.values())


def _found_one(answer: Answer, item: dict[str, Json]) -> FoundReservation:
    told = item.get("reservationId")
    reservation = reservation_id(item.get("id") if told is None else told)
    standing = standing_of(item.get("status"))
    if reservation is None:
        raise bad(answer, "an item names no reservation")
    if standing is Standing.UNKNOWN:
        raise bad(answer, "an item's status is none that we know")
    return FoundReservation(
        reservation_id=reservation,
        # A refunded one has been bought: it is no reason to buy again, a human must decide.
        given=standing in _BOUGHT | {Standing.REFUNDED},
        canceled=standing is Standing.CANCELED,
        provider_status=shown_status(item.get("status")),
    )
