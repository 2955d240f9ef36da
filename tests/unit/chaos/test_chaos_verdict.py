"""The verdict finds every kind of difference, and finds none where all promises held."""

from dataclasses import replace

import pytest

from bitloot.ids import item_id, order_id
from chaos.driver import Line, Sale
from chaos.facts import Facts, Mail, Purchase, Row, State
from chaos.verdict import causes, compare

ORDER = order_id("chaos")
STRANGER = order_id("stranger")
ONE, TWO = item_id(ORDER, 1), item_id(ORDER, 2)
KEY = f"keys/{ORDER}.json"


def sale(**changes) -> Sale:
    made = Sale(ORDER, "chaos", "buyer@example.com", (Line("a", 1), Line("b", 2)), accepted=True, paid=True)
    return replace(made, **changes)


def row(**changes) -> Row:
    made = Row(
        status="fulfilled",
        version=9,
        review=None,
        review_detail=None,
        incidents=(),
        items=((ONE, "stored", "r1"), (TWO, "stored", "r2")),
        keys={ONE: 1, TWO: 2},
        storage_refs=frozenset({KEY}),
        mails_accepted=1,
    )
    return replace(made, **changes)


FIRST = Purchase("r1", ONE, "a", 1, ("A",))
SECOND = Purchase("r2", TWO, "b", 2, ("B", "C"))
MAIL = Mail("m1", ("buyer@example.com",), (ORDER,))


def facts(**changes) -> Facts:
    found = Facts(
        purchases=(FIRST, SECOND),
        mails=(MAIL,),
        rows={ORDER: row()},
        states={ORDER: State("fulfilled", 9)},
        objects={KEY: ("C", "A", "B")},
    )
    return replace(found, **changes)


def in_state(status: str, **changes) -> dict:
    return {"rows": {ORDER: row(status=status, **changes)}, "states": {ORDER: State(status, 9)}}


IN_REVIEW = {"mails": (), **in_state("needs_review", review="purchased_twice")}


def kinds(sales, found) -> list[str]:
    return [difference.kind for difference in compare(sales, found)]


def test_nothing_differs_where_all_is_well():
    assert kinds([sale()], facts()) == []


def test_an_order_may_wait_for_a_human_with_a_cause():
    found = facts(purchases=(FIRST,), mails=(), objects={}, **in_state("needs_review", review="unknown_outcome"))
    assert kinds([sale()], found) == []
    assert causes([sale()], found.rows)[0] == {"unknown_outcome": 1}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("bought twice", {**IN_REVIEW, "purchases": (FIRST, replace(FIRST, reservation="r3"))}),
        ("bought twice", {**IN_REVIEW, "purchases": (FIRST, replace(FIRST, external=f"{ONE}-p2"))}),
        ("mailed twice", {"mails": (MAIL, replace(MAIL, id="m2"))}),
        ("lost", {"rows": {}}),
        ("Kafka and Postgres differ", {"states": {}}),
        ("Kafka and Postgres differ", {"states": {ORDER: State("fulfilled", 10)}}),
        ("Kafka and Postgres differ", {"states": {ORDER: State("delivering", 9)}}),
        ("bought something else", {"purchases": (replace(FIRST, product="z"), SECOND)}),
        ("another reservation on record", {"purchases": (replace(FIRST, reservation="z"), SECOND)}),
        ("other codes stored than sold", {"objects": {KEY: ("A", "B", "B")}}),
        ("fulfilled without object", {"objects": {}}),
        ("fulfilled without mail", {"mails": ()}),
        ("mailed to somebody else", {"mails": (replace(MAIL, to=("else@example.com",)),)}),
        ("mail rows differ", {"rows": {ORDER: row(mails_accepted=0)}}),
        ("key rows differ", {"rows": {ORDER: row(keys={ONE: 1, TWO: 1})}}),
        ("key rows differ", {"rows": {ORDER: row(storage_refs=frozenset({"keys/else.json"}))}}),
        ("stuck", in_state("delivering")),
        ("stuck", in_state("awaiting_payment")),
        ("review without a cause", {"mails": (), **in_state("needs_review")}),
        ("mailed but in review", in_state("needs_review", review="stuck")),
        ("bought for nobody", {"purchases": (FIRST, SECOND, Purchase("r9", item_id(STRANGER, 1), "a", 1, ()))}),
        ("mailed to nobody", {"mails": (MAIL, Mail("m9", ("x@example.com",), ()))}),
        ("object of nobody", {"objects": {KEY: ("A", "B", "C"), "keys/else.json": ()}}),
        ("dead letters", {"dead_letters": {"orders: malformed": 1}}),
        ("no proof", {"ledger_whole": False}),
    ],
)
def test_each_difference_is_found_and_nothing_else(kind, changes):
    assert kinds([sale()], facts(**changes)) == [kind]


def test_a_fulfilled_order_needs_every_purchase():
    assert "fulfilled without purchase" in kinds([sale()], facts(purchases=(SECOND,)))


def test_what_the_shop_saw_counts_too():
    assert kinds([sale(paid=False)], facts()) == ["never accepted"]
    assert kinds([sale(problems=["POST /orders answered 500"])], facts()) == ["refused by the ingress"]


def test_an_order_that_nobody_accepted_is_not_lost():
    nothing = facts(purchases=(), mails=(), rows={}, states={}, objects={})
    assert kinds([sale(accepted=False, paid=False)], nothing) == ["never accepted"]
