"""The figures as docs/benchmarks.md has them."""

import os
import platform
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.ingress import CONNECTIONS, Round
from bench.journey import Journey

_TEXT = """\
# Benchmarks

Written by `make bench` on {date}: {machine}. Everything, the load generator and all servers included, shared these cores. Ratios
measured side by side in one run mean something; absolute figures are of this machine only.

## Ingress beside a bare echo

Signed NOWPayments notifications, all distinct, {connections} connections, {requests} requests a round, {count} interleaved rounds after one to warm
up. The ingress verifies each, and answers when Kafka has acknowledged both records. The echo is an aiohttp server that answers with the body it got.
The orders agent and the sinks work on the same cores meanwhile, on what the ingress publishes.

| | median | lowest | highest |
| --- | ---: | ---: | ---: |
| ingress, requests/s | {ingress} |
| bare echo, requests/s | {echo} |
| ratio | {ratio} |
| ingress, p50 ms | {ingress_p50} |
| ingress, p99 ms | {ingress_p99} |
| bare echo, p99 ms | {echo_p99} |

## From payment to mail

Orders of one key, paid through the sandbox, from the IPN `finished` that the ingress accepted to the mail that the provider accepted. The sandbox
delivers a key {key_delay} s after the purchase, as its default is.

| | orders | orders/s | time-to-key p50 | p90 | p99 |
| --- | ---: | ---: | ---: | ---: | ---: |
| as fast as they are taken | {fastest} |
| at half that rate | {half} |

## How

`python -m bench`: the stack of `make up` in a directory of its own (one process of each service, one broker, PostgreSQL with its durable defaults), a load
generator over raw sockets with prepared requests for the ingress, and the outside interface for the orders. Times of orders are those in the
table `orders` (`paid_at`, `mailed_at`).
"""


@dataclass(frozen=True, slots=True)
class Results:
    """All that one run of `make bench` measured."""

    rounds: tuple[Round, ...]
    fastest: Journey
    half: Journey


def markdown(results: Results, key_delay: float = 0.2) -> str:
    """Return the page."""
    rounds = results.rounds
    return _TEXT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=_machine(),
        connections=CONNECTIONS,
        requests=len(rounds[0].ingress.latencies),
        count=len(rounds),
        ingress=_spread((r.ingress.per_second for r in rounds), 0),
        echo=_spread((r.echo.per_second for r in rounds), 0),
        ratio=_spread((r.ratio for r in rounds), 2),
        ingress_p50=_spread((r.ingress.quantile(0.5) * 1000 for r in rounds), 1),
        ingress_p99=_spread((r.ingress.quantile(0.99) * 1000 for r in rounds), 1),
        echo_p99=_spread((r.echo.quantile(0.99) * 1000 for r in rounds), 1),
        key_delay=key_delay,
        fastest=_journey(results.fastest),
        half=_journey(results.half),
    )


def _spread(values: Iterable[float], digits: int) -> str:
    found = sorted(values)
    return " | ".join(f"{value:,.{digits}f}" for value in (statistics.median(found), found[0], found[-1]))


def _journey(journey: Journey) -> str:
    waits = " | ".join(f"{journey.wait(share):.2f} s" for share in (0.5, 0.9, 0.99))
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
