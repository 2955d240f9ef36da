"""W3C trace context, as much of it as correlates log lines: https://www.w3.org/TR/trace-context/.

A trace is followed over HTTP and Kafka by its `traceparent` header. Nothing is recorded or exported here.
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

HEADER = "traceparent"

_SAMPLED = 0x01
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trace:
    """Where we are in a trace: 32 and 16 lower-case hex digits, and the flags byte."""

    trace_id: str
    span_id: str
    flags: int = _SAMPLED

    def child(self) -> "Trace":
        """Return the next span of the same trace."""
        return replace(self, span_id=secrets.token_hex(8))

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


current: ContextVar[Trace | None] = ContextVar("current_trace", default=None)
"""The trace of the work at hand."""


def new() -> Trace:
    """Start a trace."""
    return Trace(secrets.token_hex(16), secrets.token_hex(8))


def parse(header: str | bytes | None) -> Trace | None:
    """Read a `traceparent`; None when it is absent or not valid (the standard says: then start anew)."""
    if isinstance(header, bytes):
        header = header.decode("ascii", "replace")
    form = _FORM.fullmatch(header.strip()) if header else None
    if form is None:
        return None
    version, trace_id, span_id, flags, more = form.groups()
    if version == "ff" or (version == "00" and more):
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    # Of a later version only the sampled flag is known to mean the same.
    return Trace(trace_id, span_id, int(flags, 16) & _SAMPLED)


def from_headers(headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None) -> Trace | None:
    """Read the trace from a Kafka record's headers, as aiokafka (pairs) or faust (a dict) gives them."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return next((trace for name, value in pairs if name.lower() == HEADER and (trace := parse(value))), None)


def headers() -> list[tuple[str, bytes]]:
    """Return Kafka headers that carry the current trace on; of a new one where there is none."""
    trace = current.get() or new()
    return [(HEADER, str(trace).encode())]


@contextmanager
def use(trace: Trace | None) -> Iterator[Trace]:
    """Work under a child span of `trace`, or under a new trace where there is none."""
    span = trace.child() if trace else new()
    token = current.set(span)
    try:
        yield span
    finally:
        current.reset(token)
