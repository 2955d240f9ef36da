"""Exports spans by OTLP over HTTP, where OTEL_EXPORTER_OTLP_ENDPOINT says to; other OTEL_ variables are obeyed too.

Spans keep the ids of `bitloot.trace`, which stand in Kafka's headers and in the log. They are sent in batches by a
thread of their own; when the receiver is away, they are dropped: nothing of an order depends on them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from bitloot import trace
from bitloot.settings import Settings


@contextmanager
def exported(service: str, settings: Settings) -> Iterator[None]:
    """Export the spans of this process while it runs; at the end, send what is left."""
    if settings.otel_exporter_otlp_endpoint is None:
        yield
        return
    # Only where they are used: importing them costs a third of a second and 15 MB.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags  # noqa: PLC0415

    resource = Resource.create(
        {
            "service.namespace": "bitloot",
            "service.name": service,
            "service.instance.id": settings.service_instance,
            "service.version": version("bitloot"),
        }
    )
    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{settings.otel_exporter_otlp_endpoint}/v1/traces"))

    def context(of: trace.Trace) -> SpanContext:
        flags = TraceFlags(of.flags)
        return SpanContext(int(of.trace_id, 16), int(of.span_id, 16), is_remote=False, trace_flags=flags)

    def export(span: trace.Span) -> None:
        processor.on_end(
            ReadableSpan(
                name=span.name,
                context=context(span.trace),
                parent=None if span.parent is None else context(span.parent),
                resource=resource,
                attributes=span.attributes,
                links=[Link(context(each)) for each in span.links],
                kind=SpanKind[span.kind.upper()],
                status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
                start_time=span.started,
                end_time=span.ended,
            )
        )

    trace.tracing.export = export
    try:
        yield
    finally:
        trace.tracing.export = None
        processor.shutdown()  # type: ignore[no-untyped-call]
