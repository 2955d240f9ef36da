"""The figures as docs/benchmarks.md has them."""

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.ingress import CONNECTIONS, Round
from bench.journey import OURS, Journey

_BY_HAND = "<!-- Below: written by hand, and kept by `make bench`. -->"

_TEXT = """\
# Benchmarks

Written by `make bench` on {date}: {machine}, load average {load} when it ended. Everything, the load generator and all servers included, shared these cores. Ratios
measured side by side in one run mean something; absolute figures are of this machine only. CPU seconds say more than wall time where others work on the same cores.

## Ingress beside a bare echo

Signed NOWPayments notifications, all distinct, {connections} connections, {requests} requests a round, {count} interleaved rounds after one to warm
up. The ingress verifies each, and answers when Kafka has acknowledged both records. The echo is an aiohttp server that answers with the body it got.
Nothing else of ours runs: the ingress, the echo, one broker, and the load generator.

{door}

## From payment to mail

Orders of one key, paid through the sandbox, from the IPN `finished` that the ingress accepted to the mail that the provider accepted. The sandbox
delivers a key {key_delay} s after the purchase, as its default is.

| | orders | orders/s | time-to-key p50 | p99 | p99.9 |
| --- | ---: | ---: | ---: | ---: | ---: |
{journeys}

CPU for one order, from its placing to its mail, at the highest rate: {ours:.1f} ms in our processes.

| process | ms |
| --- | ---: |
{cpu}

## How

`python -m bench`: first the ingress and the echo with a broker of their own; then the stack of `make up` in a directory of its own (one process of each service, one broker,
PostgreSQL with its durable defaults). A load generator over raw sockets with prepared requests asks the ingress and the echo, and the outside interface takes the orders. Times
of orders are those in the table `orders` (`paid_at`, `mailed_at`). With `PROFILE=1` py-spy (to be installed beside) writes what each process did to `.run/profile`.
"""


@dataclass(frozen=True, slots=True)
class Journeys:
    """Orders through the whole system: as fast as they are taken, and at parts of that rate."""

    fastest: Journey
    slower: Mapping[float, Journey]


def markdown(rounds: Sequence[Round], journeys: Journeys, key_delay: float = 0.2) -> str:
    """Return the page."""
    fastest = journeys.fastest
    rows = [("as fast as they are taken", fastest)]
    rows += [(f"at {share:.0%} of that rate", each) for share, each in journeys.slower.items()]
    costs = sorted(fastest.cpu.items(), key=lambda each: -each[1])
    return _TEXT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=_machine(),
        load=f"{os.getloadavg()[0]:.1f}",
        connections=CONNECTIONS,
        requests=len(rounds[0].ingress.latencies),
        count=len(rounds),
        door=door(rounds),
        key_delay=key_delay,
        journeys="\n".join(f"| {name} | {_journey(each)} |" for name, each in rows),
        ours=sum(fastest.cpu.get(name, 0.0) for name in OURS) * 1000,
        cpu="\n".join(f"| {name} | {seconds * 1000:.1f} |" for name, seconds in costs),
    )


def door(rounds: Sequence[Round]) -> str:
    """Return the table of the ingress and the echo."""
    rows = {
        "ingress, requests/s": _spread((r.ingress.per_second for r in rounds), 0),
        "bare echo, requests/s": _spread((r.echo.per_second for r in rounds), 0),
        "ratio of requests/s": _spread((r.ratio for r in rounds), 2),
        "ingress, CPU µs a request": _spread((r.ingress_cpu * 1e6 for r in rounds), 0),
        "bare echo, CPU µs a request": _spread((r.echo_cpu * 1e6 for r in rounds), 0),
        "ratio of CPU": _spread((r.cpu_ratio for r in rounds), 2),
        "Kafka, CPU µs a notification": _spread((r.kafka_cpu * 1e6 for r in rounds), 0),
        "ingress, p50 ms": _spread((r.ingress.quantile(0.5) * 1000 for r in rounds), 1),
        "ingress, p99 ms": _spread((r.ingress.quantile(0.99) * 1000 for r in rounds), 1),
        "bare echo, p99 ms": _spread((r.echo.quantile(0.99) * 1000 for r in rounds), 1),
    }
    head = "| | median | lowest | highest |\n| --- | ---: | ---: | ---: |\n"
    return head + "\n".join(f"| {name} | {spread} |" for name, spread in rows.items())


def replaced(page: str, text: str) -> str:
    """Return the page with this text in place of what was measured before; what people wrote below it stays."""
    _, mark, by_hand = page.partition(_BY_HAND)
    return text + (f"\n{mark}{by_hand}" if mark else "")


def _spread(values: Iterable[float], digits: int) -> str:
    found = sorted(values)
    return " | ".join(f"{value:,.{digits}f}" for value in (statistics.median(found), found[0], found[-1]))


def _journey(journey: Journey) -> str:
    waits = " | ".join(f"{journey.wait(share):.2f} s" for share in (0.5, 0.99, 0.999))
    return f"{journey.orders} | {journey.per_second:.1f} | {waits}"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"
    )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
