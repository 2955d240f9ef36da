"""What must hold at the end of every simulation."""

import base64
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bitloot.contracts.base import Record
from bitloot.contracts.codec import decode
from bitloot.contracts.events import MailDelivery, MailKind, Outcome, PaymentStatus
from bitloot.contracts.state import CLOSED, OrderStatus, PaymentVerdict
from bitloot.contracts.topics import DEAD_LETTERS, KINGUIN_NOTICES, ORDER_EVENTS
from bitloot.errors import Cause
from bitloot.ids import OrderId, external_id, order_of, purchase_id
from delivery.mail import Message
from delivery.storing import content, object_key
from fulfillment.order import Order
from fulfillment.purchases import Line, split
from tests.fakes.buyers import opened
from tests.simulation.broker import READ
from tests.simulation.fulfillment_process import POLICIES
from tests.simulation.market import Purchase
from tests.simulation.schedule import VERY_LATE, CallFault, Schedule
from tests.simulation.world import World

_WHEN = re.compile(rb'"(?:occurred_at|updated_at)":"[^"]*"')
ENDS = CLOSED | {OrderStatus.NEEDS_REVIEW}


class Broken(AssertionError):  # noqa: N818 - it names what happened
    """A promise that a simulation broke."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a schedule came to: how each order ended, and how many second purchases were found and told."""

    statuses: tuple[str, ...]
    second_purchases: int
    virtual_seconds: float
    most_calls: int
    most_timers: int


def _must(holds: object, promise: str) -> None:
    if not holds:
        raise Broken(promise)


def check(world: World) -> Result:
    """Check all that must hold at the end. Raises `Broken`."""
    if world.defects:
        raise Broken(f"defect: {world.defects[0]!r}") from world.defects[0]
    _must(not world.watch.breaches, "; ".join(world.watch.breaches[:1]))
    _must(world.at_rest(), "it never comes to rest")
    second_purchases = 0
    statuses = []
    _check_one_story(world)
    _check_dead_letters(world)
    _check_notices(world)
    _must(not world.broker.unhandled(), "a committed record was never handled")
    for order_id in world.order_ids:
        order = world.order(order_id)
        _must(order is not None and order.placed_at is not None, "an accepted order is lost")
        assert order is not None
        _check_last_word(world, order_id)
        _check_heard(world, order)
        second_purchases += _check_purchases(world, order)
        _check_end(world, order)
        _check_delivered(world, order)
        statuses.append(str(order.status))
    return Result(tuple(statuses), second_purchases, world.loop.time(), world.watch.most_calls, world.watch.most_timers)


def _check_last_word(world: World, order_id: OrderId) -> None:
    """The newest version is the last one told, and told in one way: the read model keeps the first telling.

    Only which of two events brought it about may differ, when a crash let a later one be handled first.
    """
    told = world.watch.snapshots[order_id]
    _must(world.watch.last_version[order_id] == max(told), "the last word about an order is not its newest state")
    tellings = {_WHEN.sub(b"", value) for value in told[max(told)]}
    _must(len(tellings) == 1, "the newest state of an order is told in two ways")


def _check_one_story(world: World) -> None:
    """What became of a claimed effect is told in one way only, however often."""
    told: dict[str, Record] = {}
    ids: set[str] = set()
    for record in world.broker.all(ORDER_EVENTS):
        if record.value is None or b'"effect_id"' not in record.value:
            continue
        event = decode(ORDER_EVENTS, record.value)
        ids.add(event.event_id)
        late = event.event_id.endswith("/late")  # of a worker that was given up: see `perform`
        if isinstance(event, Outcome) and event.effect_id in world.ledger and not late:
            _must(told.setdefault(event.effect_id, event) == event, "an effect has two outcomes")
    untold = [event_id for _, event_id in world.watch.late if f"{event_id}/late" not in ids]
    _must(not untold, f"nobody hears of what a given-up worker did: {untold}")


def _check_dead_letters(world: World) -> None:
    """What could not be decoded is a dead letter, whole, and nothing else is."""
    letters = {
        (d.topic, d.partition, d.offset): d
        for d in (decode(DEAD_LETTERS, r.value) for r in world.broker.all(DEAD_LETTERS))
    }
    junk = world.outside.junk
    for records in world.broker.log.values():
        for record in records:
            spoiled = (record.topic, record.value) in junk
            letter = letters.get((record.topic, record.partition, record.offset))
            _must(
                letter is not None or not spoiled or record.topic not in READ, "a record that nobody can read is gone"
            )
            lonely = letter is not None and letter.reason == Cause.UNKNOWN_RESERVATION
            _must(
                letter is None or spoiled or lonely,
                f"a good record became a dead letter: {letter.error if letter else ''}",
            )


def _check_notices(world: World) -> None:
    """Each notification that named no order has come to an order, or is a dead letter."""
    told = {
        decode(ORDER_EVENTS, r.value).event_id
        for r in world.broker.all(ORDER_EVENTS)
        if b"kinguin.notified" in (r.value or b"")
    }
    letters = (decode(DEAD_LETTERS, r.value).value or "" for r in world.broker.all(DEAD_LETTERS))
    aside = b"".join(base64.b64decode(value) for value in letters)
    for topic, _, record in world.outside.accepted:
        if topic is KINGUIN_NOTICES and record.event_id not in told:
            _must(f'"{record.event_id}"'.encode() in aside, "a notice came to no order and is no dead letter")


def _check_heard(world: World, order: Order) -> None:
    """Every accepted event has left its mark."""
    plan = world.plan_of(order.order_id)
    if plan.lost and not order.offers:
        # Nobody was ever told how to pay: what was made and then lost on its way to us has no payer. A human looks.
        _must(order.status is OrderStatus.NEEDS_REVIEW or order.closed, "an order without a way to pay is forgotten")
        return
    told = Counter(n.payment for n in plan.payments)
    _must({str(p.payment_id) for p in order.payments} == {f"{order.order_id}/{n}" for n in told}, "a payment is lost")
    for payment in order.payments:
        heard = {n.status for n in plan.payments if f"{order.order_id}/{n.payment}" == payment.payment_id}
        if PaymentStatus.FINISHED in heard:
            _must(payment.status in {PaymentStatus.FINISHED, PaymentStatus.REFUNDED}, "a finished payment is lost")
    accepted = any(p.verdict is PaymentVerdict.ACCEPTED for p in order.payments)
    _must(accepted == (order.paid_at is not None), "a payment was accepted and the order is not paid")


def _check_purchases(world: World, order: Order) -> int:
    """At most one purchase for each item, or a human knows of the second one."""
    given: dict[str, list[str]] = {}
    for purchase in world.kinguin.purchases.values():
        if order_of(purchase.external_id) == order.order_id and purchase.bought:
            given.setdefault(purchase.external_id, []).append(purchase.id)
            anew = "-p" in purchase.external_id or purchase.external_id not in _first_ids(order)
            _must(not anew or order.actions, "bought anew, and nobody asked for it")
    double = {external: ids for external, ids in given.items() if len(ids) > 1}
    known = any(incident.cause == "second_purchase" for incident in order.incidents)
    for external, ids in double.items():
        _must(_very_late(world.schedule), f"bought twice: {external}")
        names = world.plan_of(external).names_order or world.schedule.dialect == "esa"
        told = all(world.kinguin.purchases[each].told for each in ids) and names
        _must(known or not told, f"nobody hears of a second purchase: {external}")
    return len(double)


def _first_ids(order: Order) -> set[str]:
    """Return the external ids of the purchases that a payment leads to."""
    lines = (Line(i.item_id, i.product_id, i.quantity, i.unit_price, order.currency) for i in order.items)
    count = len(split(lines, POLICIES["esa"].limits))
    return {external_id(purchase_id(order.order_id, n), 1) for n in range(1, max(count, len(order.items)) + 1)}


def _codes_by_item(order: Order, bought: Sequence[Purchase]) -> list[str]:
    """Return the codes as they must be stored: items in order, and of each what its purchases have for it."""
    codes: dict[str, list[str]] = {item.item_id: [] for item in order.items}
    for ours, theirs in zip(order.purchases, bought, strict=True):
        left = list(theirs.codes)
        products = {item.item_id: item.product_id for item in order.items}
        quantities = dict(theirs.lines) or {products[part.item_id]: part.quantity for part in ours.parts}
        shares: dict[str, list[str]] = {}
        for product, quantity in quantities.items():
            shares[product], left = left[:quantity], left[quantity:]
        for part in ours.parts:
            codes[part.item_id] += shares[products[part.item_id]][: part.quantity]
    return [code for item in order.items for code in codes[item.item_id]]


def _very_late(schedule: Schedule) -> bool:
    """Tell whether Kinguin acts on a request long after it was given up, which no caller can prevent."""
    return any(isinstance(f, CallFault) and f.how == "late" and f.seconds >= VERY_LATE for f in schedule.faults)


def _check_end(world: World, order: Order) -> None:
    _must(order.status in ENDS, f"an order stays {order.status}")
    if order.status is OrderStatus.NEEDS_REVIEW:
        _must(order.review is not None and order.review.cause, "an order waits for a human without a reason")
        _must(order.review is None or order.review.cause != "stuck", "an order was stuck")
    harmless = world.plan_of(order.order_id).supply in {"whole", "parts", "mended"}
    calm = not world.schedule.faults and harmless and order.paid_at is not None and not order.refunded
    _must(not calm or order.status is OrderStatus.FULFILLED, f"nothing failed, and a paid order ends {order.status}")


def _check_delivered(world: World, order: Order) -> None:
    """One mail, and exactly the codes that were sold for exactly these items."""
    mails = [m for m in world.mailbox.received if m.order_id == order.order_id]
    body = world.objects.get(object_key(order.order_id))
    notices = [m for m in mails if "/notice/" in m.id]
    mails = [m for m in mails if m not in notices]
    _must(len(mails) <= order.mail_number, f"{len(mails)} mails were sent")
    _check_wishes(world, order, mails, notices)
    _must(len({m.id for m in notices}) == len(notices) <= order.notice_number, "a notice was sent twice")
    _must(len(order.mails) == len({m.message_id for m in order.mails}), "a mail is listed twice")
    _must(all(o.notice is None for o in order.outbox), "a notice is never sent")
    if body is not None:
        bought = [world.kinguin.purchases[str(each.reservation_id)] for each in order.purchases]
        codes = _codes_by_item(order, bought)
        _must(all(p.given_at is not None for p in bought), "codes are stored that were never bought")
        _must(not any(p.returned for p in bought), "codes are stored that went back to Kinguin")
        _must(body == content(codes), "the stored codes are not the ones bought")
        _must(len(set(codes)) == sum(item.quantity for item in order.items), "a code is sold twice, or too few are")
    if order.status is OrderStatus.FULFILLED:
        _must(mails, "fulfilled, and no mail was sent")
        _must(body is not None, "fulfilled, and no codes are stored")
        _must(len(order.keys) == sum(item.quantity for item in order.items), "fulfilled, and keys are missing")


def _check_wishes(world: World, order: Order, mails: Sequence[Message], notices: Sequence[Message]) -> None:
    """A mail more for a wish at the most, and the last word goes to the address that counts."""
    wishes = world.outside.clicks[order.order_id]
    asked = [m for m in notices if m.kind in {MailKind.KEYS, MailKind.PAGE}]
    _must(len(asked) <= wishes, f"{len(asked)} mails for {wishes} wishes")
    _must(len(mails) <= 1 + wishes, f"{len(mails)} mails with keys for {wishes} wishes")
    told = {m.recipient for m in (*mails, *asked)}
    tried = {opened(order.order_id, m.recipient) for m in order.mails if m.delivery is MailDelivery.FAILED}
    reached = opened(order.order_id, order.email) in told | tried
    _must(reached or order.status is not OrderStatus.FULFILLED, "the buyer's newest address was never written to")
