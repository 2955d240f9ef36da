"""W3C trace context: https://www.w3.org/TR/trace-context/.

A trace is followed over HTTP and Kafka by its `traceparent` header. An order is one trace, whatever sets it going: a
notification, a timer, a click, hours apart. Its trace id is its order id, without the dashes (docs/adr/0029). Work
begins under the trace that came with it, and joins the order's as soon as the order is known.

What is done is a span: `use` begins and ends it. Spans go to `export` where one is set (`bitloot.tracing`); without
it nothing is kept, and beginning one costs what making its id costs.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

HEADER = "traceparent"

_SAMPLED = 0x01
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trace:
    """Where we are in a trace: 32 and 16 lower-case hex digits, and the flags byte."""

    trace_id: str
    span_id: str
    flags: int = _SAMPLED

    def child(self) -> "Trace":
        """Return the next span of the same trace."""
        return Trace(self.trace_id, secrets.token_hex(8), self.flags)

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
    for name, value in pairs:
        if name.lower() == HEADER and (trace := parse(value)):
            return trace
    return None


def headers() -> list[tuple[str, bytes]]:
    """Return Kafka headers that carry the current trace on; of a new one where there is none."""
    trace = current.get() or new()
    return [(HEADER, str(trace).encode())]


Kind = Literal["internal", "server", "client", "consumer"]


@dataclass(slots=True)
class Span:
    """Work under way, or done. Times are in nanoseconds since the epoch; never key material, never a mail address."""

    name: str
    kind: Kind
    trace: Trace
    parent: Trace | None
    started: int
    attributes: dict[str, str | int] = field(default_factory=dict)
    links: list[Trace] = field(default_factory=list)
    ended: int = 0
    error: str | None = None


@dataclass(slots=True)
class Tracing:
    """Where spans go when they end."""

    export: Callable[[Span], None] | None = None


tracing = Tracing()
_under_way: ContextVar[Span | None] = ContextVar("span_under_way", default=None)


class use:  # noqa: N801 - it is called as a function is; a generator would cost twice as much, at every unit of work
    """Work under a child span of `parent`, or under a new trace where there is none: `with use(parent) as here`.

    A span without a name is not exported.
    """

    __slots__ = ("_begun", "_here", "_span", "_token")

    def __init__(self, parent: Trace | None, name: str = "", kind: Kind = "internal", **attributes: str | int) -> None:
        here = self._here = parent.child() if parent else new()
        self._span = None
        if name and tracing.export is not None and here.flags & _SAMPLED:
            self._span = Span(name, kind, here, parent, time.time_ns(), attributes)

    def __enter__(self) -> Trace:
        self._token, self._begun = current.set(self._here), _under_way.set(self._span)
        return self._here

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        _under_way.reset(self._begun)
        current.reset(self._token)
        if (span := self._span) is not None and tracing.export is not None:
            if kind is not None:
                span.error = kind.__name__  # never its text: it may quote what was sent
            span.ended = time.time_ns()
            tracing.export(span)


@contextmanager
def step(name: str, kind: Kind = "internal", **attributes: str | int) -> Iterator[None]:
    """Do a part of the work at hand, as a span of its own where spans are exported."""
    if tracing.export is None:
        yield
        return
    with use(current.get(), name, kind, **attributes):
        yield


def note(**attributes: str | int) -> None:
    """Add to the span under way."""
    if (span := _under_way.get()) is not None:
        span.attributes.update(attributes)


def join(order_id: str) -> None:
    """From here on the work at hand is a part of the order's trace; that it came from another one stays as a link."""
    here, trace_id = current.get(), _trace_id_of(order_id)
    if here is None or trace_id is None:
        return
    span = _under_way.get()
    if span is not None:
        span.attributes["bitloot.order_id"] = order_id
    if here.trace_id == trace_id:
        return
    joined = Trace(trace_id, here.span_id, here.flags)
    current.set(joined)
    if span is not None:
        span.links.append(span.parent or here)
        span.trace, span.parent = joined, None


def _trace_id_of(order_id: str) -> str | None:
    trace_id = order_id.replace("-", "")
    return trace_id if _ID.fullmatch(trace_id) and trace_id.strip("0") else None
