"""Turns a call into the event that reports its outcome."""

from typing import assert_never

from bitloot.contracts.effects import BuyKey, FetchCodes, GiveReservation, KinguinCall, LookUpPurchase, ReturnKeys
from bitloot.contracts.events import (
    CodesPending,
    CodesReceived,
    KeysReturned,
    LineCodes,
    PurchasePlaced,
    PurchasesFound,
    ReservationGiven,
)
from bitloot.ids import EventId, outcome_id
from fulfillment.kinguin.clock import Clock
from fulfillment.kinguin.ports import KeyMarket, Undelivered

CallOutcome = PurchasePlaced | ReservationGiven | PurchasesFound | CodesReceived | CodesPending | KeysReturned


async def carry_out(call: KinguinCall, market: KeyMarket, clock: Clock) -> CallOutcome:
    """Ask the market for what the call wants. Raises as `KeyMarket` does."""
    match call:
        case BuyKey():
            return await _buy(call, market, clock)
        case GiveReservation():
            return await _give(call, market, clock)
        case LookUpPurchase():
            return await _look_up(call, market, clock)
        case FetchCodes():
            return await _fetch(call, market, clock)
        case ReturnKeys():
            return await _return(call, market, clock)
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(call)


async def _buy(call: BuyKey, market: KeyMarket, clock: Clock) -> PurchasePlaced:
    placed = await market.buy(call)
    return PurchasePlaced(
        event_id=_event_id(call, "purchase.placed"),
        occurred_at=clock(),
        order_id=call.order_id,
        effect_id=call.effect_id,
        purchase_id=call.purchase_id,
        reservation_id=placed.reservation_id,
        given=placed.given,
        provider_status=placed.provider_status,
    )


async def _give(call: GiveReservation, market: KeyMarket, clock: Clock) -> ReservationGiven:
    await market.give(call)
    return ReservationGiven(
        event_id=_event_id(call, "reservation.given"),
        occurred_at=clock(),
        order_id=call.order_id,
        effect_id=call.effect_id,
        purchase_id=call.purchase_id,
        reservation_id=call.reservation_id,
    )


async def _look_up(call: LookUpPurchase, market: KeyMarket, clock: Clock) -> PurchasesFound:
    reservations = await market.look_up(call)
    return PurchasesFound(
        event_id=_event_id(call, "purchases.found"),
        occurred_at=clock(),
        order_id=call.order_id,
        effect_id=call.effect_id,
        purchase_id=call.purchase_id,
        reservations=reservations,
    )


async def _fetch(call: FetchCodes, market: KeyMarket, clock: Clock) -> CodesReceived | CodesPending:
    fetched = await market.fetch(call)
    if isinstance(fetched, Undelivered):
        return CodesPending(
            event_id=_event_id(call, "codes.pending"),
            occurred_at=clock(),
            order_id=call.order_id,
            effect_id=call.effect_id,
            purchase_id=call.purchase_id,
            reservation_id=call.reservation_id,
            provider_status=fetched.provider_status,
            expected_at=fetched.ask_again_at,
        )
    return CodesReceived(
        event_id=_event_id(call, "codes.received"),
        occurred_at=clock(),
        order_id=call.order_id,
        effect_id=call.effect_id,
        purchase_id=call.purchase_id,
        reservation_id=call.reservation_id,
        lines=tuple(LineCodes(item_id=line.item_id, codes=line.codes) for line in fetched.lines),
        never=fetched.never,
    )


async def _return(call: ReturnKeys, market: KeyMarket, clock: Clock) -> KeysReturned:
    statuses = await market.return_keys(call)
    return KeysReturned(
        event_id=_event_id(call, "keys.returned"),
        occurred_at=clock(),
        order_id=call.order_id,
        effect_id=call.effect_id,
        purchase_id=call.purchase_id,
        reservation_id=call.reservation_id,
        statuses=statuses,
    )


def _event_id(call: KinguinCall, outcome: str) -> EventId:
    return outcome_id(call.effect_id, outcome)
