"""Compares what was asked for with what was done: pure, to the last item."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bitloot.crash_points import CrashPoint, Hit
from bitloot.ids import item_id, order_of
from chaos.facts import Facts, Mail, Purchase, Row, State
from chaos.plan import Dialect
from chaos.sales import Fate, Sale

FULFILLED, REVIEW, UNPAID = "fulfilled", "needs_review", "awaiting_payment"
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
    for what, where in facts.leaks:
        yield Difference("plain code outside of S3", "", f"{what} in {where}")
    yield from _dead_letters(facts)


def _dead_letters(facts: Facts) -> Iterator[Difference]:
    """Bad records have become dead letters, each of each of its consumers, and nothing else has."""
    there = {(letter.consumer, letter.place): letter for letter in facts.letters}
    if len(there) != len(facts.letters):
        yield Difference("dead letter twice", "", f"{len(facts.letters)} rows for {len(there)} records")
    for key, letter in there.items():
        if key not in facts.litter:
            yield Difference("dead letter of a good record", "", f"{letter.consumer}, {letter.place}: {letter.reason}")
    for consumer, place in facts.litter - there.keys():
        yield Difference("bad record without dead letter", "", f"{consumer}, {place}")


def _of_sale(sale: Sale, facts: Facts, bought: Sequence[Purchase], mailed: Sequence[Mail]) -> Iterator[Difference]:
    for problem in sale.problems:
        yield Difference("refused by the ingress", sale.order, problem)
    if not (sale.accepted and (sale.paid or sale.fate is Fate.UNPAID)):
        detail = f"order accepted: {sale.accepted}, payment accepted: {sale.paid}"
        yield Difference("never accepted", sale.order, detail)
    notices = Counter(mail.kind for mail in mailed if mail.kind != "keys")
    yield from (Difference("told twice", sale.order, kind) for kind, count in notices.items() if count > 1)
    mailed = [mail for mail in mailed if mail.kind == "keys"]
    yield from _never_twice(sale, bought, mailed)
    row = facts.rows.get(sale.order)
    if row is not None:
        yield from _agreed(sale, row, facts)
        yield from _stored(sale, row, facts, bought)
        yield from _nothing_for_nothing(sale, row, bought, mailed)
        yield from _ended(sale, row, bought, mailed)
    elif sale.accepted:
        yield Difference("lost", sale.order, "no row in the read model")


def _never_twice(sale: Sale, bought: Sequence[Purchase], mailed: Sequence[Mail]) -> Iterator[Difference]:
    # Each line fits into one purchase, so its keys come from one reservation only, in both dialects.
    for product, purchases in _by_product(bought).items():
        if len({(purchase.reservation, purchase.external) for purchase in purchases}) > 1:
            yield Difference("bought twice", sale.order, f"{product}: {_names(purchases)}")
    if len(mailed) > 1:
        yield Difference("mailed twice", sale.order, str([mail.id for mail in mailed]))


def _nothing_for_nothing(
    sale: Sale, row: Row, bought: Sequence[Purchase], mailed: Sequence[Mail]
) -> Iterator[Difference]:
    """Check that who did not pay, or wants what is sold out, has got nothing."""
    if sale.fate is not Fate.PLAIN and row.status == FULFILLED:
        yield Difference("delivered for nothing", sale.order, sale.fate)
    if sale.fate is not Fate.PLAIN and mailed:
        yield Difference("mailed for nothing", sale.order, f"{sale.fate}: {[mail.id for mail in mailed]}")
    if sale.fate in {Fate.UNDERPAID, Fate.UNPAID} and bought:
        yield Difference("bought for nothing", sale.order, f"{sale.fate}: {_names(bought)}")


def _ended(sale: Sale, row: Row, bought: Sequence[Purchase], mailed: Sequence[Mail]) -> Iterator[Difference]:
    if sale.fate is Fate.UNPAID:
        if row.status != UNPAID:
            yield Difference("a forgery counted", sale.order, row.status)
    elif row.status == FULFILLED:
        yield from _fulfilled(sale, row, bought, mailed)
    elif row.status == REVIEW:
        if not row.review:
            yield Difference("review without a cause", sale.order, "")
        if mailed and sale.fate is Fate.PLAIN:
            yield Difference("mailed but in review", sale.order, f"{row.review}: {[mail.id for mail in mailed]}")
    elif sale.paid:
        yield Difference("stuck", sale.order, f"{row.status}, items {[status for _, status, _ in row.items]}")


def _agreed(sale: Sale, row: Row, facts: Facts) -> Iterator[Difference]:
    """Compare the snapshot in Kafka, the agent's table and Postgres, item by item."""
    known = State(row.status, row.version, {item: status for item, status, _ in row.items})
    for name, states in (("Kafka", facts.states), ("table", facts.tables)):
        state = states.get(sale.order)
        if state is None:
            yield Difference(f"{name} and Postgres differ", sale.order, f"nothing in the {name}")
        elif state != known:
            yield Difference(f"{name} and Postgres differ", sale.order, f"{state} and {known}")


def _fulfilled(sale: Sale, row: Row, bought: Sequence[Purchase], mailed: Sequence[Mail]) -> Iterator[Difference]:
    wanted = {item_id(sale.order, n): line for n, line in enumerate(sale.lines, start=1)}
    sold = _by_product(bought)
    reservations = {item: reservation for item, _, reservation in row.items}
    for item, line in wanted.items():
        purchases = sold.pop(line.product, [])
        quantity, codes = sum(p.quantity for p in purchases), sum(len(p.codes) for p in purchases)
        if not purchases:
            yield Difference("fulfilled without purchase", sale.order, item)
        elif (quantity, codes) != (line.quantity, line.quantity):
            yield Difference("bought something else", sale.order, f"{item}: {line.product} x {quantity}")
        elif reservations.get(item) != purchases[0].reservation:
            yield Difference("another reservation on record", sale.order, f"{item}: {purchases[0].reservation}")
    for product, purchases in sold.items():
        yield Difference("bought something else", sale.order, f"{product}: {_names(purchases)}")
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
    """Compare the object with what was sold, all of it where the order is fulfilled, and with the rows about it."""
    key = _object_key(sale.order)
    stored = facts.objects.get(key)
    if stored is None:
        if row.status == FULFILLED:
            yield Difference("fulfilled without object", sale.order, key)
        elif row.keys:
            yield Difference("key rows differ", sale.order, f"{dict(row.keys)}, but there is no object")
        return
    codes, sold = Counter(stored), Counter(code for purchase in bought for code in purchase.codes)
    if codes - sold or (row.status == FULFILLED and codes != sold):
        yield Difference("other codes stored than sold", sale.order, f"{len(stored)} stored, {sold.total()} sold")
    if row.keys and (row.storage_refs != {key} or sum(row.keys.values()) != len(stored)):
        detail = f"{sum(row.keys.values())} rows for {len(stored)} codes, in {sorted(row.storage_refs)}"
        yield Difference("key rows differ", sale.order, detail)


def _by_product(bought: Iterable[Purchase]) -> dict[str, list[Purchase]]:
    found: dict[str, list[Purchase]] = defaultdict(list)
    for purchase in bought:
        found[purchase.product].append(purchase)
    return dict(found)


def _object_key(order: str) -> str:
    return f"keys/{order}.json"


def _names(purchases: Iterable[Purchase]) -> str:
    return ", ".join(f"{p.reservation} as {p.external}" for p in purchases)


def causes(sales: Sequence[Sale], rows: Mapping[str, Row]) -> tuple[Counter[str], Counter[str]]:
    """Return how many orders wait for a human by cause, and how many incidents there are by cause."""
    mine = [row for sale in sales if (row := rows.get(sale.order))]
    reviews = Counter(row.review or "?" for row in mine if row.status == REVIEW)
    return reviews, Counter(cause for row in mine for cause in row.incidents)


LONG_ENOUGH = 300
"""Within so many seconds of chaos somebody comes to every crash point."""


_ELSEWHERE: Mapping[Dialect, frozenset[CrashPoint]] = {
    "reservations": frozenset(),
    # There every notification names its order, and the router has none to forward.
    "esa": frozenset({CrashPoint.ROUTER_SENT}),
}
"""Crash points on no way that is taken when Kinguin is spoken to like that."""


def crash_points_reached(crashes: Sequence[Hit], seconds: float, dialect: Dialect) -> tuple[Difference, ...]:
    """Return a difference for each crash point at which nobody died in a run that was long enough."""
    if seconds < LONG_ENOUGH:
        return ()
    missing = set(CrashPoint) - _ELSEWHERE[dialect] - {hit.point for hit in crashes}
    return tuple(Difference("crash point never reached", "", point) for point in sorted(missing))
