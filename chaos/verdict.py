"""Compares what was asked for with what was done: pure, to the last item."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bitloot.ids import external_id, item_id, order_of
from chaos.driver import Sale
from chaos.facts import Facts, Mail, Purchase, Row

FULFILLED, REVIEW = "fulfilled", "needs_review"
FINAL = frozenset({FULFILLED, REVIEW})
"""Where every paid order must end."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that must not be. `kind` groups, `order` is empty where no single order is meant."""

    kind: str
    order: str
    detail: str


def compare(sales: Sequence[Sale], facts: Facts) -> tuple[Difference, ...]:
    """Return every difference between the shop's orders and the facts; none means that all promises held."""
    purchases: dict[str, list[Purchase]] = defaultdict(list)
    for purchase in facts.purchases:
        purchases[order_of(purchase.external) or ""].append(purchase)
    mails: dict[str, list[Mail]] = defaultdict(list)
    for mail in facts.mails:
        for order in mail.orders or ("",):
            mails[order].append(mail)
    found = list(_whole(facts))
    for sale in sales:
        found += _of_sale(sale, facts, purchases.pop(sale.order, []), mails.pop(sale.order, []))
    found += [Difference("bought for nobody", order, _names(left)) for order, left in purchases.items()]
    found += [Difference("mailed to nobody", order, str([m.id for m in left])) for order, left in mails.items()]
    known = {_object_key(sale.order) for sale in sales}
    found += [Difference("object of nobody", "", key) for key in facts.objects if key not in known]
    return tuple(found)


def _whole(facts: Facts) -> Iterator[Difference]:
    if not facts.ledger_whole:
        yield Difference("no proof", "", "the sandbox restarted or forgot a part of its ledger")
    for reason, count in facts.dead_letters.items():
        yield Difference("dead letters", "", f"{count} x {reason}")


def _of_sale(sale: Sale, facts: Facts, bought: Sequence[Purchase], mailed: Sequence[Mail]) -> Iterator[Difference]:
    for problem in sale.problems:
        yield Difference("refused by the ingress", sale.order, problem)
    if not (sale.accepted and sale.paid):
        detail = f"order accepted: {sale.accepted}, payment accepted: {sale.paid}"
        yield Difference("never accepted", sale.order, detail)
    yield from _never_twice(sale, bought, mailed)
    row = facts.rows.get(sale.order)
    if row is not None:
        yield from _agreed(sale, row, facts)
        yield from _ended(sale, row, facts, bought, mailed)
    elif sale.accepted:
        yield Difference("lost", sale.order, "no row in the read model")


def _never_twice(sale: Sale, bought: Sequence[Purchase], mailed: Sequence[Mail]) -> Iterator[Difference]:
    for item, count in Counter(_item_of(purchase.external) for purchase in bought).items():
        if count > 1:
            both = _names(purchase for purchase in bought if _item_of(purchase.external) == item)
            yield Difference("bought twice", sale.order, f"{item}: {both}")
    if len(mailed) > 1:
        yield Difference("mailed twice", sale.order, str([mail.id for mail in mailed]))


def _ended(
    sale: Sale, row: Row, facts: Facts, bought: Sequence[Purchase], mailed: Sequence[Mail]
) -> Iterator[Difference]:
    if row.status == FULFILLED:
        yield from _fulfilled(sale, row, facts, bought, mailed)
    elif row.status == REVIEW:
        if not row.review:
            yield Difference("review without a cause", sale.order, "")
        if mailed:
            yield Difference("mailed but in review", sale.order, f"{row.review}: {[mail.id for mail in mailed]}")
    elif sale.paid:
        yield Difference("stuck", sale.order, f"{row.status}, items {[status for _, status, _ in row.items]}")


def _agreed(sale: Sale, row: Row, facts: Facts) -> Iterator[Difference]:
    state = facts.states.get(sale.order)
    if state is None:
        yield Difference("Kafka and Postgres differ", sale.order, "no snapshot in Kafka")
    elif (state.status, state.version) != (row.status, row.version):
        detail = f"Kafka {state.status} v{state.version}, Postgres {row.status} v{row.version}"
        yield Difference("Kafka and Postgres differ", sale.order, detail)


def _fulfilled(
    sale: Sale, row: Row, facts: Facts, bought: Sequence[Purchase], mailed: Sequence[Mail]
) -> Iterator[Difference]:
    wanted = {item_id(sale.order, n): line for n, line in enumerate(sale.lines, start=1)}
    sold = {_item_of(p.external): p for p in bought}
    reservations = {item: reservation for item, _, reservation in row.items}
    for item, line in wanted.items():
        purchase = sold.get(item)
        if purchase is None:
            yield Difference("fulfilled without purchase", sale.order, item)
        elif (purchase.product, purchase.quantity, len(purchase.codes)) != (line.product, line.quantity, line.quantity):
            yield Difference("bought something else", sale.order, f"{item}: {purchase.product} x {purchase.quantity}")
        elif reservations.get(item) != purchase.reservation:
            yield Difference("another reservation on record", sale.order, f"{item}: {purchase.reservation}")
    yield from _stored(sale, row, facts, bought)
    quantities = {item: line.quantity for item, line in wanted.items()}
    if dict(row.keys) != quantities:
        yield Difference("key rows differ", sale.order, f"{dict(row.keys)} instead of {quantities}")
    if not mailed:
        yield Difference("fulfilled without mail", sale.order, "")
    elif mailed[0].to != (sale.email,):
        yield Difference("mailed to somebody else", sale.order, str(mailed[0].to))
    if row.mails_accepted != 1:
        yield Difference("mail rows differ", sale.order, f"{row.mails_accepted} accepted")


def _stored(sale: Sale, row: Row, facts: Facts, bought: Sequence[Purchase]) -> Iterator[Difference]:
    key = _object_key(sale.order)
    stored = facts.objects.get(key)
    if stored is None:
        yield Difference("fulfilled without object", sale.order, key)
        return
    if Counter(stored) != Counter(code for purchase in bought for code in purchase.codes):
        yield Difference("other codes stored than sold", sale.order, f"{len(stored)} stored")
    if row.storage_refs != {key}:
        yield Difference("key rows differ", sale.order, f"refer to {sorted(row.storage_refs)}")


def _item_of(external: str) -> str:
    """Return the item whose purchase an external id names, whichever of its purchases."""
    order = order_of(external)
    position = external[37:].split("-", 1)[0]
    if order is None or not position.isdecimal():
        return external
    return external_id(item_id(order, int(position)), 1)


def _object_key(order: str) -> str:
    return f"keys/{order}.json"


def _names(purchases: Iterable[Purchase]) -> str:
    return ", ".join(f"{p.reservation} as {p.external}" for p in purchases)


def causes(sales: Sequence[Sale], rows: Mapping[str, Row]) -> tuple[Counter[str], Counter[str]]:
    """Return how many orders wait for a human by cause, and how many incidents there are by cause."""
    mine = [row for sale in sales if (row := rows.get(sale.order))]
    reviews = Counter(row.review or "?" for row in mine if row.status == REVIEW)
    return reviews, Counter(cause for row in mine for cause in row.incidents)
