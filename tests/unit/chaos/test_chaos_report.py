"""The report has every figure, in Markdown and as JSON, and says whether all promises held."""

import json
from dataclasses import replace
from datetime import UTC, datetime

from bitloot.crash_points import CrashPoint, Hit
from chaos.facts import Facts, Row
from chaos.report import Run, figures, table
from chaos.sales import Fate, sales
from chaos.takeover import Circumstances, Takeover
from chaos.verdict import Difference

ROW = Row("fulfilled", 1, None, None, (), (), {}, frozenset(), 1)


def run(**changes) -> Run:
    wanted = sales(1, 3)
    facts = Facts((), (), {sale.order: ROW for sale in wanted}, {}, {}, {})
    shown = Run(
        seed=1,
        seconds=300,
        sales=wanted,
        facts=facts,
        answers={"201": 3},
        payments={"200": 3},
        forged={"401": 9},
        litter={"empty": 1},
        deeds={"kill kinguin": 2},
        hits={"kinguin error": 4},
        crashes=[Hit(CrashPoint.LEDGER_ACTED, "kinguin", "kinguin-1", 1, datetime.now(UTC))],
        waits=[1.0, 2.0, 3.0],
        takeovers=[Takeover("kinguin", Circumstances.KILLED, 11.0), Takeover("kinguin", Circumstances.KILLED, 13.0)],
        settled=9.0,
        still=True,
        differences=(),
    )
    return replace(shown, **changes)


def test_figures_are_json_and_count_what_happened():
    told = json.loads(json.dumps(figures(run())))
    assert told["clean"] is True
    assert told["orders"]["by_status"] == {"fulfilled": 3}
    assert told["crash_points"]["ledger.acted"] == 1
    assert set(told["crash_points"]) == {point.value for point in CrashPoint}
    (takeover,) = told["takeovers"]
    assert (takeover["service"], takeover["times"], takeover["p50"], takeover["max"]) == ("kinguin", 2, 12.0, 13.0)


def test_a_difference_and_an_unrest_are_not_clean():
    difference = Difference("lost", "o1", "no row")
    assert figures(run(differences=(difference,)))["differences"] == {"lost": 1}
    assert not run(differences=(difference,)).clean
    assert not run(still=False).clean
    assert "o1 no row" in table(run(differences=(difference,)))


def test_the_table_names_each_crash_point_and_takeover():
    text = table(run())
    assert all(f"`{point}`" in text for point in CrashPoint)
    assert "| kinguin | killed | 2 | 12.0 | 12.8 | 13.0 |" in text
    assert "**0 differences**" in text


def test_plain_orders_that_wait_for_a_human_are_told_apart():
    (sale, *others) = sales(1, 3)
    waits = replace(ROW, status="needs_review", review="cannot_ask", review_detail="why")
    facts = Facts((), (), {sale.order: waits, **{other.order: ROW for other in others}}, {}, {}, {})
    assert sale.fate is Fate.PLAIN
    assert figures(run(facts=facts))["orders"]["plain_for_a_human"] == 1
