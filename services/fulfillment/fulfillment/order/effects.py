"""The effects that the entries of the outbox stand for."""

from typing import Any

from bitloot.contracts.effects import (
    BuyKey,
    CheckPayment,
    CreatePayment,
    Effect,
    FetchCodes,
    FindPayments,
    GiveReservation,
    ItemKeys,
    LookUpPurchase,
    MailItem,
    PurchaseLine,
    ReturnKeys,
    SendMail,
    StoreKeys,
)
from bitloot.contracts.events import MailKind, OrderEvent
from bitloot.contracts.sealed import SealedCode
from bitloot.contracts.state import PaymentVerdict
from bitloot.ids import ItemId, ReservationId
from fulfillment.order.mails import notice_of
from fulfillment.order.outbox import effect_id_of
from fulfillment.order.policy import PAYMENTS, Kind
from fulfillment.order.state import Order, Owed, Purchase, purchase_of


def pending(state: Order) -> tuple[Effect, ...]:
    """Return all effects that were asked for and whose outcome has not come back."""
    return tuple(effect_of(state, owed) for owed in state.outbox if owed.emissions)


def pending_count(state: Order) -> int:
    """Return how many effects `pending` has, without making them."""
    return sum(owed.emissions > 0 for owed in state.outbox)


def sent_by(state: Order, event: OrderEvent) -> tuple[Effect, ...]:
    """Return those of the pending effects that were sent because of `event`.

    After a crash the events whose outputs may be lost are handled again, and change nothing where the state
    was stored: this is what each of them has to send once more.
    """
    return tuple(effect_of(state, owed) for owed in state.outbox if owed.sent_at == event.occurred_at)


def effect_of(order: Order, owed: Owed) -> Effect:
    """Return the effect that an entry of the outbox stands for: always the same for the same entry."""
    identity = effect_id_of(order.order_id, owed)
    about: dict[str, Any] = {
        "event_id": identity,
        "effect_id": identity,
        "order_id": order.order_id,
        "occurred_at": owed.since,
        "attempt": owed.attempt,
    }
    if owed.kind in PAYMENTS:
        return _payment_effect(order, owed, about)
    if owed.purchase_id is not None:
        purchase = purchase_of(order, owed.purchase_id)
        return _purchase_effect(order, purchase, owed.kind, about | {"purchase_id": purchase.purchase_id})
    if owed.kind is Kind.STORE:
        keys = tuple(ItemKeys(item_id=i.item_id, title=i.title, codes=_codes(order, i.item_id)) for i in order.items)
        return StoreKeys(**about, items=keys)
    about["items"] = tuple(MailItem(title=i.title, quantity=i.quantity) for i in order.items)
    about["link_generation"] = order.generation
    pictures = tuple(key.storage_ref for key in order.keys if key.storage_ref != order.object_key)
    if owed.kind is Kind.NOTICE:
        mail = notice_of(order, owed)
        told = {"message_id": mail.message_id, "kind": mail.kind, "email": mail.recipient, "about": mail.about}
        if mail.kind is not MailKind.KEYS:
            return SendMail(**about, **told, object_key="")
        return SendMail(**about, **told, object_key=order.object_key or "", pictures=pictures)
    return SendMail(
        **about,
        message_id=order.message_id,
        email=order.email,
        object_key=order.object_key or "",
        pictures=pictures,
    )


def _payment_effect(order: Order, owed: Owed, about: dict[str, Any]) -> Effect:
    if owed.kind is Kind.PAY:
        placed_at = order.placed_at or owed.since  # only a placed order is to be paid
        coin = order.pay_currency
        return CreatePayment(
            **about, amount=order.total, currency=order.currency, pay_currency=coin, placed_at=placed_at
        )
    if owed.payment_id is None:
        # A question that has been owed since before questions named their invoice is about the newest one.
        invoices = [offer.invoice_id for offer in order.offers if offer.invoice_id is not None]
        return FindPayments(**about, invoice_id=owed.invoice_id or invoices[-1])
    known = next((p for p in order.payments if p.payment_id == owed.payment_id), None)
    return CheckPayment(
        **about,
        payment_id=owed.payment_id,
        known_status=known.status if known else None,
        urgent=known is not None and known.verdict is PaymentVerdict.CHECKING,
    )


def _purchase_effect(order: Order, purchase: Purchase, kind: Kind, about: dict[str, Any]) -> Effect:
    reservation = purchase.reservation_id or ReservationId("")  # never empty for the kinds that use it
    match kind:
        case Kind.BUY:
            return BuyKey(
                **about,
                external_id=purchase.external_id,
                lines=_lines(order, purchase),
                currency=order.currency,
            )
        case Kind.GIVE:
            return GiveReservation(**about, reservation_id=reservation)
        case Kind.LOOK_UP:
            return LookUpPurchase(**about, external_id=purchase.external_id)
        case Kind.RETURN:
            return ReturnKeys(**about, reservation_id=reservation)
        case _:
            return FetchCodes(
                **about,
                reservation_id=reservation,
                external_id=purchase.external_id,
                lines=_lines(order, purchase),
                currency=order.currency,
            )


def _lines(order: Order, purchase: Purchase) -> tuple[PurchaseLine, ...]:
    items = {item.item_id: item for item in order.items}
    return tuple(
        PurchaseLine(
            item_id=part.item_id,
            product_id=items[part.item_id].product_id,
            quantity=part.quantity,
            unit_price=items[part.item_id].unit_price,
            offer_id=items[part.item_id].offer_id,
        )
        for part in purchase.parts
    )


def _codes(order: Order, item_id: ItemId) -> tuple[SealedCode, ...]:
    """Return the codes of an item, in the order of the purchases."""
    parts = (part for purchase in order.purchases for part in purchase.parts)
    return tuple(code for part in parts if part.item_id == item_id for code in part.codes)
