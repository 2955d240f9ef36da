"""The figures as docs/benchmarks.md has them."""

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import agent, growth, scale, sinks
from bench.ingress import CONNECTIONS, Round
from bench.journey import OURS, Journey
from bench.plot import Drawing, Line
from bench.stage import Drained

_BY_HAND = "<!-- Below: written by hand, and kept by `make bench`. -->"

_TEXT = """\
# Benchmarks

Written by `make bench` on {date}: {machine}, load average {load} when it ended. Everything, the load generator and all servers included, shared these cores. Ratios
measured side by side in one run mean something; absolute figures are of this machine only. CPU seconds say more than wall time where others work on the same cores.

## Ingress beside a bare echo

Signed NOWPayments notifications, all distinct, {connections} connections, {requests} requests a round, {count} interleaved rounds after one to warm
up. The ingress verifies each, and answers when Kafka has acknowledged both records. The echo is an aiohttp server that answers with the body it got.
The plain ingress is the echo with the work itself: it verifies, sends the body to the same two topics and answers when both have it (`bench/plain_ingress.py`), without a model, an event, a log line, a metric or a limit.
Nothing else of ours runs: these three, one broker, and the load generator.

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

![Time-to-key against load](images/latency-against-load.svg)

## Each part by itself

What went through the topics while the whole system carried out some orders is told again, of other orders, to one part at a time: its topics are full when it begins.

### Orders agent beside a plain loop

{agent_events} events a round, {agent_count} rounds, each with a broker of its own. The plain loop is a consumer, the same `step`, a dict and a producer (`bench/plain_agent.py`), nothing else.

{agent}

### Kinguin and delivery worker

Against a sandbox that answers at once, with the real broker, PostgreSQL and S3. One purchase is one effect of the kinguin worker; keys stored and a mail sent are two of the delivery worker's.

| | effects | effects/s | CPU µs each |
| --- | ---: | ---: | ---: |
{workers}

### Sink beside the best upsert

{sink_records} records a round, {sink_count} rounds; {sink_rows} rows come of them. Then the same rows go into a second, empty database by COPY and one `insert … on conflict do update` for each thousand.

{sink}

### More orders agents

The same events for so many processes, which share {partitions} partitions on these cores.

| processes | events/s together | CPU µs an event | beside the fewest |
| ---: | ---: | ---: | ---: |
{scale}

### Growth

The orders agent begins with an empty disk and so many orders in the changelog, restores them, and handles {growth_events} events of other orders.

| orders in the table | until ready | memory | events/s | CPU µs an event | beside the fewest |
| ---: | ---: | ---: | ---: | ---: | ---: |
{growth}

![Cost against size](images/cost-against-size.svg)

## How

`python -m bench`: first the ingress and the echo with a broker of their own; then the stack of `make up` in a directory of its own (one process of each service, one broker,
PostgreSQL with its durable defaults). A load generator over raw sockets with prepared requests asks the ingress and the echo, and the outside interface takes the orders. Times
of orders are those in the table `orders` (`paid_at`, `mailed_at`). Parts are measured from the first record they tell of to the last, as they tell it; that all of them are committed is waited for afterwards. With `PROFILE=1` py-spy
(to be installed beside) writes what each process did to `.run/profile`.
"""


@dataclass(frozen=True, slots=True)
class Journeys:
    """Orders through the whole system: as fast as they are taken, and at parts of that rate."""

    fastest: Journey
    slower: Mapping[float, Journey]


@dataclass(frozen=True, slots=True)
class Parts:
    """Each part by itself."""

    agent: Sequence[agent.Round]
    workers: Mapping[str, Drained]
    sinks: Sequence[sinks.Round]
    scale: Mapping[int, Drained]
    growth: Sequence[growth.Size]


def markdown(rounds: Sequence[Round], journeys: Journeys, parts: Parts, key_delay: float = 0.2) -> str:
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
        **_parts(parts),
    )


def plots(journeys: Journeys, parts: Parts) -> dict[str, Drawing]:
    """Return the drawings by the name of their file."""
    shown = [*journeys.slower.values(), journeys.fastest]
    waits = [
        Line(name, [(each.per_second, each.wait(share)) for each in shown])
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]
    costs = Line("CPU µs an event", [(each.rows, each.drained.cpu_each * 1e6) for each in parts.growth])
    return {
        "latency-against-load": Drawing("Time-to-key against load", "orders/s", "seconds", waits),
        "cost-against-size": Drawing("Cost against size", "orders in the table", "µs", [costs], log=True),
    }


def _parts(parts: Parts) -> dict[str, object]:
    fewest = parts.growth[0].drained.cpu_each
    alone = next(iter(parts.scale.values())).cpu_each
    return {
        "agent_events": parts.agent[0].agent.records,
        "agent_count": len(parts.agent),
        "agent": _table(
            {
                "orders agent, events/s": _spread((r.agent.per_second for r in parts.agent), 0),
                "plain loop, events/s": _spread((r.plain.per_second for r in parts.agent), 0),
                "ratio of events/s": _spread((r.ratio for r in parts.agent), 2),
                "orders agent, CPU µs an event": _spread((r.agent.cpu_each * 1e6 for r in parts.agent), 0),
                "plain loop, CPU µs an event": _spread((r.plain.cpu_each * 1e6 for r in parts.agent), 0),
                "ratio of CPU": _spread((r.cpu_ratio for r in parts.agent), 2),
            }
        ),
        "workers": "\n".join(
            f"| {name} | {each.records} | {each.per_second:,.0f} | {each.cpu_each * 1e6:,.0f} |"
            for name, each in parts.workers.items()
        ),
        "sink_records": parts.sinks[0].sink.records,
        "sink_rows": parts.sinks[0].rows,
        "sink_count": len(parts.sinks),
        "sink": _table(
            {
                "sink, rows/s": _spread((r.sink_rows for r in parts.sinks), 0),
                "best upsert, rows/s": _spread((r.best_rows for r in parts.sinks), 0),
                "ratio of rows/s": _spread((r.ratio for r in parts.sinks), 2),
                "sink, records/s": _spread((r.sink.per_second for r in parts.sinks), 0),
                "sink, CPU µs a record": _spread((r.sink.cpu_each * 1e6 for r in parts.sinks), 0),
            }
        ),
        "partitions": scale.PARTITIONS,
        "scale": "\n".join(
            f"| {count} | {each.per_second:,.0f} | {each.cpu_each * 1e6:,.0f} | {each.cpu_each / alone:.2f} |"
            for count, each in parts.scale.items()
        ),
        "growth_events": parts.growth[0].drained.records,
        "growth": "\n".join(
            f"| {each.rows:,} | {each.start:.1f} s | {each.memory / 2**20:,.0f} MiB | {each.drained.per_second:,.0f} "
            f"| {each.drained.cpu_each * 1e6:,.0f} | {each.drained.cpu_each / fewest:.2f} |"
            for each in parts.growth
        ),
    }


def _table(rows: Mapping[str, str]) -> str:
    head = "| | median | lowest | highest |\n| --- | ---: | ---: | ---: |\n"
    return head + "\n".join(f"| {name} | {spread} |" for name, spread in rows.items())


def door(rounds: Sequence[Round]) -> str:
    """Return the table of the ingress, the plain one and the echo."""
    rows = {
        "ingress, requests/s": _spread((r.ingress.per_second for r in rounds), 0),
        "bare echo, requests/s": _spread((r.echo.per_second for r in rounds), 0),
        "plain ingress, requests/s": _spread((r.plain.per_second for r in rounds), 0),
        "ratio of requests/s, ingress and echo": _spread((r.ratio for r in rounds), 2),
        "ratio of requests/s, ingress and plain ingress": _spread((r.plain_ratio for r in rounds), 2),
        "ingress, CPU µs a request": _spread((r.ingress_cpu * 1e6 for r in rounds), 0),
        "bare echo, CPU µs a request": _spread((r.echo_cpu * 1e6 for r in rounds), 0),
        "plain ingress, CPU µs a request": _spread((r.plain_cpu * 1e6 for r in rounds), 0),
        "ratio of CPU, ingress and echo": _spread((r.cpu_ratio for r in rounds), 2),
        "Kafka, CPU µs a notification": _spread((r.kafka_cpu * 1e6 for r in rounds), 0),
        "ingress, p50 ms": _spread((r.ingress.quantile(0.5) * 1000 for r in rounds), 1),
        "ingress, p99 ms": _spread((r.ingress.quantile(0.99) * 1000 for r in rounds), 1),
        "bare echo, p99 ms": _spread((r.echo.quantile(0.99) * 1000 for r in rounds), 1),
        "plain ingress, p99 ms": _spread((r.plain.quantile(0.99) * 1000 for r in rounds), 1),
    }
    return _table(rows)


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
