"""Counts and times calls to providers."""

from collections.abc import Iterator
from contextlib import contextmanager

from bitloot import metrics, trace
from bitloot.errors import BitLootError


@contextmanager
def measured(provider: str, call: str) -> Iterator[None]:
    """Time one call and count it as ok or by the cause that it raises."""
    with trace.step(f"{provider} {call}", "client"), metrics.PROVIDER_SECONDS.labels(provider, call).time():
        try:
            yield
        except BitLootError as error:
            metrics.PROVIDER_CALLS.labels(provider, call, error.cause).inc()
            raise
    metrics.PROVIDER_CALLS.labels(provider, call, "ok").inc()
