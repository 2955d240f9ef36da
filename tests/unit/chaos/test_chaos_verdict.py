"""The verdict finds every kind of difference, and finds none where all promises held."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bitloot.crash_points import CrashPoint, Hit
from bitloot.ids import item_id, order_id
from chaos.facts import Facts, Letter, Mail, Place, Purchase, Row, State
from chaos.sales import Fate, Line, Sale
from chaos.verdict import LONG_ENOUGH, causes, compare, crash_points_reached

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
ITEMS = {ONE: "stored", TWO: "stored"}
BAD = Place("orders.events.v1", 3, 77)
MAIL = Mail("m1", ("buyer@example.com",), (ORDER,))


def facts(**changes) -> Facts:
    found = Facts(
        purchases=(FIRST, SECOND),
        mails=(MAIL,),
        rows={ORDER: row()},
        states={ORDER: State("fulfilled", 9, ITEMS)},
        tables={ORDER: State("fulfilled", 9, ITEMS)},
        objects={KEY: ("C", "A", "B")},
    )
    return replace(found, **changes)


def in_state(status: str, **changes) -> dict:
    state = {ORDER: State(status, 9, ITEMS)}
    return {"rows": {ORDER: row(status=status, **changes)}, "states": state, "tables": state}


IN_REVIEW = {"mails": (), **in_state("needs_review", review="purchased_twice")}


def kinds(sales, found) -> list[str]:
    return [difference.kind for difference in compare(sales, found)]


def test_nothing_differs_where_all_is_well():
    assert kinds([sale()], facts()) == []


def moved(found: Facts, version: int, *places: str) -> Facts:
    """Return facts in which an order is further in some places."""
    return replace(found, **{p: {ORDER: replace(getattr(found, p)[ORDER], version=version)} for p in places})


def test_an_order_that_moved_while_it_was_read_counts_as_it_stood_in_another_reading():
    still, reading = facts(), moved(facts(), 11, "states", "tables")
    assert reading.moving == {ORDER}
    assert "Kafka and Postgres differ" in kinds([sale()], reading)
    assert kinds([sale()], reading.settled(still)) == []
    assert kinds([sale()], moved(reading, 11, "rows").settled(reading)) == []


def test_an_order_that_stays_behind_differs_in_every_reading():
    reading = moved(facts(), 11, "states", "tables")
    nowhere = replace(facts(), rows={}, states={})
    assert kinds([sale()], moved(reading, 13, "states", "tables").settled(reading)) != []
    assert nowhere.settled(nowhere).moving == {ORDER}


def test_other_contents_of_one_version_are_no_movement():
    found = facts(tables={ORDER: State("needs_review", 9, ITEMS)})
    assert found.moving == set()
    assert kinds([sale()], found.settled(facts())) == ["table and Postgres differ"]


def test_a_mail_without_keys_is_no_delivery():
    told = Mail("m2", ("buyer@example.com",), (ORDER,), "review")
    refused = in_state("needs_review", review="out_of_stock", keys={}, storage_refs=frozenset())
    found = facts(purchases=(), mails=(told,), objects={}, **refused)
    assert kinds([sale(fate=Fate.SOLD_OUT)], found) == []


def test_an_order_may_wait_for_a_human_with_a_cause():
    waits = in_state("needs_review", review="unknown_outcome", keys={})
    found = facts(purchases=(FIRST,), mails=(), objects={}, **waits)
    assert kinds([sale()], found) == []
    assert causes([sale()], found.rows)[0] == {"unknown_outcome": 1}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("bought twice", {**IN_REVIEW, "purchases": (FIRST, SECOND, replace(FIRST, reservation="r3"))}),
        ("bought twice", {**IN_REVIEW, "purchases": (FIRST, SECOND, replace(FIRST, external=f"{ONE}-p2"))}),
        ("mailed twice", {"mails": (MAIL, replace(MAIL, id="m2"))}),
        ("told twice", {"mails": (MAIL, replace(MAIL, id="m2", kind="review"), replace(MAIL, id="m3", kind="review"))}),
        ("lost", {"rows": {}}),
        ("Kafka and Postgres differ", {"states": {}}),
        ("Kafka and Postgres differ", {"states": {ORDER: State("fulfilled", 10, ITEMS)}}),
        ("Kafka and Postgres differ", {"states": {ORDER: State("delivering", 9, ITEMS)}}),
        ("Kafka and Postgres differ", {"states": {ORDER: State("fulfilled", 9, {**ITEMS, TWO: "bought"})}}),
        ("table and Postgres differ", {"tables": {}}),
        ("table and Postgres differ", {"tables": {ORDER: State("fulfilled", 10, ITEMS)}}),
        ("table and Postgres differ", {"tables": {ORDER: State("fulfilled", 9, {ONE: "stored"})}}),
        ("bought something else", {"purchases": (replace(FIRST, quantity=2), SECOND)}),
        ("bought something else", {"purchases": (FIRST, SECOND, Purchase("r1", ONE, "z", 1, ()))}),
        ("another reservation on record", {"purchases": (replace(FIRST, reservation="z"), SECOND)}),
        ("other codes stored than sold", {"objects": {KEY: ("A", "B", "B")}}),
        ("fulfilled without object", {"objects": {}}),
        ("fulfilled without mail", {"mails": ()}),
        ("mailed to somebody else", {"mails": (replace(MAIL, to=("else@example.com",)),)}),
        ("mail rows differ", {"rows": {ORDER: row(mails_accepted=0)}}),
        ("key rows differ", {"rows": {ORDER: row(keys={ONE: 2, TWO: 1})}}),
        ("key rows differ", {"rows": {ORDER: row(storage_refs=frozenset({"keys/else.json"}))}}),
        ("stuck", in_state("delivering")),
        ("stuck", in_state("awaiting_payment")),
        ("review without a cause", {"mails": (), **in_state("needs_review")}),
        ("mailed but in review", in_state("needs_review", review="stuck")),
        ("bought for nobody", {"purchases": (FIRST, SECOND, Purchase("r9", item_id(STRANGER, 1), "a", 1, ()))}),
        ("mailed to nobody", {"mails": (MAIL, Mail("m9", ("x@example.com",), ()))}),
        ("object of nobody", {"objects": {KEY: ("A", "B", "C"), "keys/else.json": ()}}),
        ("dead letter of a good record", {"letters": (Letter("sink", BAD, "bad_record"),)}),
        ("bad record without dead letter", {"litter": frozenset({("sink", BAD)})}),
        (
            "dead letter twice",
            {"letters": (Letter("sink", BAD, "bad_record"),) * 2, "litter": frozenset({("sink", BAD)})},
        ),
        ("plain code outside of S3", {"leaks": (("1234", "postgres public.orders"),)}),
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


def test_bad_records_that_became_dead_letters_are_as_it_should_be():
    found = facts(letters=(Letter("sink", BAD, "bad_record"),), litter=frozenset({("sink", BAD)}))
    assert kinds([sale()], found) == []


def test_an_order_in_review_may_have_stored_what_was_sold_but_nothing_else():
    waits = {"mails": (), **in_state("needs_review", review="stuck")}
    assert kinds([sale()], facts(**waits)) == []
    assert kinds([sale()], facts(objects={KEY: ("A",)}, **waits)) == ["key rows differ"]
    assert kinds([sale()], facts(objects={KEY: ("A", "B", "Z")}, **waits)) == ["other codes stored than sold"]
    assert kinds([sale()], facts(objects={}, **waits)) == ["key rows differ"]


NOTHING = {"purchases": (), "mails": (), "objects": {}}


@pytest.mark.parametrize(
    ("fate", "paid", "status"),
    [
        (Fate.SOLD_OUT, True, "needs_review"),
        (Fate.UNDERPAID, True, "needs_review"),
        (Fate.UNPAID, False, "awaiting_payment"),
    ],
)
def test_who_must_get_nothing_is_refused_and_nothing_differs(fate, paid, status):
    refused = in_state(status, keys={}, storage_refs=frozenset(), review="why" if paid else None)
    assert kinds([sale(fate=fate, paid=paid)], facts(**NOTHING, **refused)) == []


@pytest.mark.parametrize("fate", [Fate.SOLD_OUT, Fate.UNDERPAID, Fate.UNPAID])
def test_whoever_gets_something_for_nothing_is_found(fate):
    found = kinds([sale(fate=fate, paid=fate is not Fate.UNPAID)], facts())
    assert {"delivered for nothing", "mailed for nothing"} <= set(found)
    assert ("bought for nothing" in found) is (fate is not Fate.SOLD_OUT)
    assert ("a forgery counted" in found) is (fate is Fate.UNPAID)


def test_an_underpaid_order_that_waits_for_ever_is_stuck():
    waits = in_state("awaiting_payment", keys={}, storage_refs=frozenset())
    assert kinds([sale(fate=Fate.UNDERPAID)], facts(**NOTHING, **waits)) == ["stuck"]


def test_a_long_run_must_come_to_every_crash_point_and_a_short_one_need_not():
    hits = [Hit(point, "kinguin", "kinguin-1", 1, datetime.now(UTC)) for point in CrashPoint]
    assert crash_points_reached(hits, LONG_ENOUGH, "reservations") == ()
    (missing,) = crash_points_reached(hits[1:], LONG_ENOUGH, "reservations")
    assert missing.detail == hits[0].point
    assert crash_points_reached([], LONG_ENOUGH - 1, "reservations") == ()


def test_what_no_event_of_the_buyer_api_comes_by_need_not_be_reached_there():
    hits = [Hit(p, "kinguin", "kinguin-1", 1, datetime.now(UTC)) for p in CrashPoint if p is not CrashPoint.ROUTER_SENT]
    assert crash_points_reached(hits, LONG_ENOUGH, "esa") == ()
    assert [each.detail for each in crash_points_reached(hits[1:], LONG_ENOUGH, "esa")] == [hits[0].point]
    assert [each.detail for each in crash_points_reached(hits, LONG_ENOUGH, "reservations")] == [CrashPoint.ROUTER_SENT]
