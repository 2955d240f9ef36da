"""The public state of an order: what the read model and the order page are made from. Never a code."""

from bitloot.contracts.state import ItemState, ItemStatus, OrderSnapshot
from bitloot.ids import EventId
from fulfillment.order.state import Item, Order, Purchase


def snapshot(order: Order) -> OrderSnapshot:
    """Return the record for `orders.state.v1`; the same order always gives the same record.

    The order must have been changed by at least one event (version 1 or above).
    """
    if order.updated_at is None:
        raise ValueError(f"nothing was heard of order {order.order_id} yet")
    placed = order.placed_at is not None
    offer = order.offers[-1] if order.offers else None
    return OrderSnapshot(
        event_id=EventId(f"{order.order_id}/state/{order.version}"),
        occurred_at=order.updated_at,
        order_id=order.order_id,
        version=order.version,
        status=order.status,
        email=order.email if placed else None,
        currency=order.currency if placed else None,
        total=order.total if placed else None,
        request_hash=order.request_hash if placed else None,
        pay_url=offer.pay_url if offer else None,
        invoice_id=offer.invoice_id if offer else None,
        pay_currency=order.pay_currency,
        payment_instructions=offer,
        items=items_of(order),
        payments=order.payments,
        reservations=order.reservations,
        keys=order.keys,
        object_key=order.object_key,
        owed=order.owed,
        message_id=order.message_id if order.mailed_at else None,
        mails=order.mails,
        link_generation=order.generation,
        review=order.review,
        incidents=order.incidents,
        actions=order.answers,
        placed_at=order.placed_at,
        paid_at=order.paid_at,
        purchased_at=order.purchased_at,
        received_at=order.received_at,
        stored_at=order.stored_at,
        mailed_at=order.mailed_at,
        revealed_at=order.revealed_at,
        closed_at=order.closed_at,
        updated_at=order.updated_at,
    )


def items_of(order: Order) -> tuple[ItemState, ...]:
    """Return the order's items, and how far each came."""
    return tuple(_item(item, order.purchases) for item in order.items)


_ATTENTION = (ItemStatus.FAILED, ItemStatus.CANCELED, *ItemStatus)
"""What an item shows first of several purchases: what went wrong, then what came least far."""


def _item(item: Item, purchases: tuple[Purchase, ...]) -> ItemState:
    made = [each for each in purchases if any(part.item_id == item.item_id for part in each.parts)]
    return ItemState(
        item_id=item.item_id,
        position=item.position,
        product_id=item.product_id,
        title=item.title,
        quantity=item.quantity,
        unit_price=item.unit_price,
        status=min((each.status for each in made), key=_ATTENTION.index, default=ItemStatus.WAITING),
        reservation_id=next((each.reservation_id for each in made if each.reservation_id), None),
        expected_at=max((each.expected_at for each in made if each.expected_at), default=None),
    )
