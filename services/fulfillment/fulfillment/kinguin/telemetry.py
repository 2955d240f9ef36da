"""Measures the calls to Kinguin."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from bitloot import trace
from bitloot.errors import BitLootError
from bitloot.metrics import PROVIDER_CALLS, PROVIDER_SECONDS

Call = Literal[
    "token",
    # reservations
    "reserve",
    "give",
    "delivered",
    "lookup",
    # esa
    "place_order",
    "order",
    "search",
    "keys",
    "return_keys",
    "balance",
    "product",
]


@contextmanager
def measured(call: Call) -> Iterator[None]:
    """Count a call and its duration; its result is `ok` or the cause of its failure."""
    started = time.perf_counter()
    result = "canceled_by_us"
    try:
        with trace.step(f"kinguin {call}", "client"):
            yield
        result = "ok"
    except BitLootError as error:
        result = error.cause
        raise
    finally:
        PROVIDER_CALLS.labels("kinguin", call, result).inc()
        PROVIDER_SECONDS.labels("kinguin", call).observe(time.perf_counter() - started)
