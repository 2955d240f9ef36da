"""The table at the end of a run."""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.load import quantile
from chaos.driver import Sale
from chaos.facts import Row
from chaos.verdict import FULFILLED, REVIEW, Difference, causes

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Run:
    """All that one run showed.

    `waits` are seconds from payment to mail, `takeovers` those in which partitions lay idle, `settled` those from the
    healing on.
    """

    seed: int
    seconds: float
    sales: Sequence[Sale]
    rows: Mapping[str, Row]
    answers: Mapping[str, int]
    payments: Mapping[str, int]
    deeds: Mapping[str, int]
    hits: Mapping[str, int]
    waits: Sequence[float]
    takeovers: Mapping[str, Sequence[float]]
    settled: float
    still: bool
    differences: Sequence[Difference]


def table(run: Run) -> str:
    """Return the run as text."""
    return "\n".join(f"{name:<34}{value}" for name, value in _lines(run)) + "\n" + _found(run.differences)


def _lines(run: Run) -> Iterator[tuple[str, str]]:
    statuses = Counter(run.rows[sale.order].status for sale in run.sales if sale.order in run.rows)
    reviews, incidents = causes(run.sales, run.rows)
    yield "seed", str(run.seed)
    yield "seconds of chaos", f"{run.seconds:.0f}"
    yield "orders wished", str(len(run.sales))
    yield "orders accepted (201)", str(sum(sale.accepted for sale in run.sales))
    yield "  fulfilled", str(statuses.pop(FULFILLED, 0))
    yield "  refused with a reason", f"{statuses.pop(REVIEW, 0)}{_counts(reviews, ': ')}"
    yield "  neither", f"{sum(statuses.values())}{_counts(statuses, ': ')}"
    for cause in sorted(reviews):
        mine = [s.order for s in run.sales if s.order in run.rows and run.rows[s.order].review == cause]
        for order in mine[:_EXAMPLES]:
            yield f"    {cause}", f"{order} {run.rows[order].review_detail}"
    yield "incidents", f"{sum(incidents.values())}{_counts(incidents, ': ')}"
    yield "answers to POST /orders", _counts(run.answers)
    yield "answers to notifications", _counts(run.payments)
    yield "deeds", f"{sum(run.deeds.values())}{_counts(run.deeds, ': ')}"
    yield "provider faults", f"{sum(run.hits.values())}{_counts(run.hits, ': ')}"
    if run.waits:
        shares = " / ".join(f"{quantile(run.waits, share):.1f}" for share in (0.5, 0.9, 0.99, 1.0))
        yield "payment to mail, p50/p90/p99/max", f"{shares} s"
    for service, seconds in run.takeovers.items():
        median, longest = statistics.median(seconds), max(seconds)
        yield f"takeover of {service}", f"{len(seconds)} times, median {median:.1f} s, longest {longest:.1f} s"
    yield "settled after the healing", f"{run.settled:.1f} s" if run.still else f"not within {run.settled:.0f} s"


def _counts(counted: Mapping[str, int], before: str = "") -> str:
    told = ", ".join(f"{name} {count}" for name, count in sorted(counted.items()) if count)
    return f"{before}{told}" if told else ""


def _found(differences: Sequence[Difference]) -> str:
    kinds = Counter(difference.kind for difference in differences)
    lines = [f"{'differences':<34}{len(differences)}"]
    for kind, count in kinds.most_common():
        lines.append(f"  {kind}: {count}")
        examples = [each for each in differences if each.kind == kind][:_EXAMPLES]
        lines += [f"    {each.order} {each.detail}" for each in examples]
    return "\n".join(lines)
