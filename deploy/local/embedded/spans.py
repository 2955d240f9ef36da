"""`python -m embedded.spans`: the demo once more, and then the trace of its order as text.

The receiver takes OTLP over HTTP as a collector does, from the real exporters of all processes.
"""

import os
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console

from embedded.commands import run_dir
from embedded.demo import demo, embedded_stack
from embedded.errors import DemoFailed

_SETTLE_SECONDS = 20.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Span:
    """A span as it came in. Ids are hex; times are nanoseconds since the epoch."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    started: int
    ended: int
    failed: bool
    attributes: dict[str, str]
    links: tuple[str, ...]
    """The traces that it links to."""


@dataclass
class Receiver:
    """What came in so far; `endpoint` is for OTEL_EXPORTER_OTLP_ENDPOINT."""

    endpoint: str = ""
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def of(self, order_id: str) -> list[Span]:
        """Return the spans of an order, the first one first."""
        trace_id = uuid.UUID(order_id).hex
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.started)

    def until(self, order_id: str, enough: Callable[[list[Span]], bool]) -> list[Span]:
        """Wait for the spans of an order. Raises DemoFailed when they are not enough in time."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while not enough(found := self.of(order_id)):
            if time.monotonic() > deadline:
                raise DemoFailed(f"the trace of {order_id} is not whole:\n{text(found)}")
            time.sleep(_POLL_SECONDS)
        return found

    def take(self, body: bytes) -> None:
        """Read one request."""
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        service=about.get("service.name", ""),
                        name=span.name,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        started=span.start_time_unix_nano,
                        ended=span.end_time_unix_nano,
                        failed=span.status.code == 2,
                        attributes={
                            each.key: each.value.string_value or str(each.value.int_value) for each in span.attributes
                        },
                        links=tuple(link.trace_id.hex() for link in span.links),
                    )
                    for span in scope.spans
                ]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive spans on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        receiver.endpoint = f"http://127.0.0.1:{server.server_port}"
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def text(spans: Iterable[Span]) -> str:
    """Return a trace as lines: when it began (ms since the first), how long it took, who did what."""
    spans = sorted(spans, key=lambda span: span.started)
    if not spans:
        return ""
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in known else ""].append(span)
    lines: list[str] = []

    def write(span: Span, depth: int) -> None:
        begun, took = (span.started - spans[0].started) / 1e6, (span.ended - span.started) / 1e6
        mark = " FAILED" if span.failed else ""
        lines.append(f"{begun:9.1f} ms {took:8.1f} ms  {'  ' * depth}{span.service}: {span.name}{mark}")
        for child in children[span.span_id]:
            write(child, depth + 1)

    for root in children[""]:
        write(root, 0)
    return "\n".join(lines)


def whole(spans: list[Span]) -> bool:
    """Tell whether a trace goes from a payment's notification to the mail, and all that led to something is there.

    Each process sends its spans when it likes: the mail's can come before that of the event which asked for it.
    """
    names, known = {(span.service, span.name) for span in spans}, {span.span_id for span in spans}
    ends = {("ingress", "POST /webhooks/nowpayments"), ("delivery", "resend send")}
    return ends <= names and all(span.parent_id in known for span in spans if span.parent_id)


def _orders(receiver: Receiver) -> set[str]:
    return {span.attributes["bitloot.order_id"] for span in receiver.spans if "bitloot.order_id" in span.attributes}


def main() -> int:
    """Run the demo with a receiver; print the trace of its order."""
    console = Console()
    with receiving() as receiver:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.endpoint
        os.environ.setdefault("OTEL_BSP_SCHEDULE_DELAY", "200")
        try:
            demo(embedded_stack(run_dir(), console), console)
            orders = _orders(receiver)
        except DemoFailed as error:
            console.print(str(error))
            return 1
        if not orders:
            console.print("The stack that is up exports nothing to here: make down first.")
        for order_id in orders:
            console.print(f"\nTrace {uuid.UUID(order_id).hex} of order {order_id}", soft_wrap=True)
            console.print(text(receiver.until(order_id, whole)), highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
