"""What a run showed: a table for people, in Markdown, and all figures as JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.load import quantile
from bitloot.crash_points import CrashPoint, Hit
from chaos.facts import Facts
from chaos.sales import Fate, Sale
from chaos.takeover import Takeover, grouped
from chaos.verdict import FULFILLED, REVIEW, UNPAID, Difference, causes

_EXAMPLES = 3
_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}

Figures = dict[str, object]


@dataclass(frozen=True, slots=True)
class Run:
    """All that one run showed.

    `answers`, `payments`, `forged`, `litter`, `deeds` and `hits` are counts by name, `waits` seconds from payment to
    mail, `settled` those from the healing on, `still` tells whether everything came to its end.
    """

    seed: int
    seconds: float
    sales: Sequence[Sale]
    facts: Facts
    answers: Mapping[str, int]
    payments: Mapping[str, int]
    forged: Mapping[str, int]
    litter: Mapping[str, int]
    deeds: Mapping[str, int]
    hits: Mapping[str, int]
    crashes: Sequence[Hit]
    waits: Sequence[float]
    takeovers: Sequence[Takeover]
    settled: float
    still: bool
    differences: Sequence[Difference]

    @property
    def clean(self) -> bool:
        """Whether all promises held."""
        return self.still and not self.differences


def figures(run: Run) -> Figures:
    """Return everything that can be counted, as JSON."""
    rows = [run.facts.rows[sale.order] for sale in run.sales if sale.order in run.facts.rows]
    reviews, incidents = causes(run.sales, run.facts.rows)
    return {
        "seed": run.seed,
        "seconds": run.seconds,
        "orders": {
            "wanted": len(run.sales),
            "accepted": sum(sale.accepted for sale in run.sales),
            "wanted_by_fate": _sorted(Counter(sale.fate for sale in run.sales)),
            "by_status": _sorted(Counter(row.status for row in rows)),
            "refused_by_reason": _sorted(reviews),
            "plain_for_a_human": sum(
                run.facts.rows[s.order].status == REVIEW
                for s in run.sales
                if s.fate is Fate.PLAIN and s.order in run.facts.rows
            ),
            "incidents": _sorted(incidents),
        },
        "found": {
            "purchases": len(run.facts.purchases),
            "codes_sold": sum(len(purchase.codes) for purchase in run.facts.purchases),
            "mails": len(run.facts.mails),
            "objects": len(run.facts.objects),
            "bad_records_by_consumer": len(run.facts.litter),
            "dead_letters": len(run.facts.letters),
        },
        "answers": {"orders": _sorted(run.answers), "payments": _sorted(run.payments), "forged": _sorted(run.forged)},
        "litter": _sorted(run.litter),
        "deeds": _sorted(run.deeds),
        "provider_faults": _sorted(run.hits),
        "crash_points": {point: sum(hit.point is point for hit in run.crashes) for point in CrashPoint},
        "crashed_services": _sorted(Counter(hit.service for hit in run.crashes)),
        "payment_to_mail_seconds": _quantiles(run.waits),
        "takeovers": [
            {"service": service, "circumstances": circumstances, "times": len(seconds), **_quantiles(seconds)}
            for (service, circumstances), seconds in grouped(run.takeovers).items()
        ],
        "settled_seconds": round(run.settled, 1),
        "still": run.still,
        "differences": _sorted(Counter(difference.kind for difference in run.differences)),
        "clean": run.clean,
    }


def table(run: Run) -> str:
    """Return the run as Markdown."""
    lines = [f"### Seed {run.seed}, {run.seconds:.0f} s", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in _rows(run)]
    lines += ["", "| takeover of | | times | median s | p90 s | worst s |", "| --- | --- | --: | --: | --: | --: |"]
    for (service, circumstances), seconds in grouped(run.takeovers).items():
        p50, p90, worst = (quantile(seconds, share) for share in (0.5, 0.9, 1.0))
        lines.append(f"| {service} | {circumstances} | {len(seconds)} | {p50:.1f} | {p90:.1f} | {worst:.1f} |")
    lines += ["", "| crash point | deaths | of |", "| --- | --: | --- |"]
    for point in CrashPoint:
        victims = Counter(hit.service for hit in run.crashes if hit.point is point)
        lines.append(f"| `{point}` | {victims.total()} | {_counts(victims)} |")
    return "\n".join([*lines, "", *_found(run.differences)])


def _rows(run: Run) -> Iterator[tuple[str, str]]:
    rows = run.facts.rows
    statuses = Counter(rows[sale.order].status for sale in run.sales if sale.order in rows)
    reviews, incidents = causes(run.sales, rows)
    fates = Counter(sale.fate.value for sale in run.sales)
    yield "orders wanted", f"{len(run.sales)}: {_counts(fates)}"
    yield "orders accepted (201)", str(sum(sale.accepted for sale in run.sales))
    yield "fulfilled", str(statuses.pop(FULFILLED, 0))
    yield "refused with a reason", f"{statuses.pop(REVIEW, 0)}: {_counts(reviews)}"
    yield "never paid, only forged", str(statuses.pop(UNPAID, 0))
    yield "anything else", f"{sum(statuses.values())} {_counts(statuses)}"
    plain = [s for s in run.sales if s.fate is Fate.PLAIN and s.order in rows and rows[s.order].status == REVIEW]
    yield "paid and for sale, yet for a human", str(len(plain))
    for sale in plain[:_EXAMPLES]:
        yield "e.g.", f"{sale.order} {rows[sale.order].review}: {rows[sale.order].review_detail}"
    yield "incidents", f"{incidents.total()} {_counts(incidents)}"
    sold = sum(len(purchase.codes) for purchase in run.facts.purchases)
    yield "at the providers", f"{len(run.facts.purchases)} purchases, {sold} codes, {len(run.facts.mails)} mails"
    yield "objects in S3", str(len(run.facts.objects))
    yield "bad records put on topics", f"{sum(run.litter.values())}: {_counts(run.litter)}"
    yield "dead letters, wanted and found", f"{len(run.facts.litter)}, {len(run.facts.letters)}"
    yield "answers to orders", _counts(run.answers)
    yield "answers to notifications", _counts(run.payments)
    yield "answers to forgeries", _counts(run.forged)
    yield "deeds", f"{sum(run.deeds.values())}: {_counts(run.deeds)}"
    yield "deaths at crash points", f"{len(run.crashes)} at {len({h.point for h in run.crashes})} of {len(CrashPoint)}"
    yield "provider faults", f"{sum(run.hits.values())}: {_counts(run.hits)}"
    if run.waits:
        yield "payment to mail", ", ".join(f"{name} {value:.1f} s" for name, value in _quantiles(run.waits).items())
    yield "settled after the healing", f"{run.settled:.1f} s" if run.still else f"not within {run.settled:.0f} s"


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    return {name: round(quantile(seconds, share), 2) for name, share in _SHARES.items()} if seconds else {}


def _sorted(counted: Mapping[str, int]) -> dict[str, int]:
    return {name: counted[name] for name in sorted(counted)}


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items()) if count)


def _found(differences: Sequence[Difference]) -> Iterable[str]:
    kinds = Counter(difference.kind for difference in differences)
    yield f"**{len(differences)} differences**"
    for kind, count in kinds.most_common():
        yield f"- {kind}: {count}"
        yield from [f"  - {each.order} {each.detail}" for each in differences if each.kind == kind][:_EXAMPLES]
