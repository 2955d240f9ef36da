"""Structured logs: one JSON object per line on stdout, secrets taken out, one wide event per unit of work.

    log = get(__name__)
    log.info("key.purchased", order_id=order_id, attempt=2, duration_ms=131)

gives `{"time": "2026-01-31T12:00:00.000000Z", "level": "info", "logger": "fulfillment.kinguin", "event":
"key.purchased", "service": "kinguin", "instance": "kinguin-1", "trace_id": ..., "order_id": ..., ...}`.
The standard library's logging (aiokafka, faust, aiohttp) comes out in the same form.
"""

import logging
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, ExcInfo, FilteringBoundLogger, Processor, WrappedLogger

from bitloot import trace
from bitloot.redaction import clean_field

# Chatty below this level, and costly even when nothing is written: aiokafka formats each record's key and
# value for debug lines (16 % of a worker's time), aiohttp writes an access line beside our own.
_FLOORS = {
    "aiobotocore": logging.INFO,
    "aiohttp.access": logging.WARNING,
    "aiokafka": logging.INFO,
    "asyncio": logging.INFO,
    "botocore": logging.INFO,
    "faust": logging.INFO,
    "hpack": logging.INFO,
    "httpcore": logging.INFO,
    "httpx": logging.WARNING,
    "mode": logging.INFO,
}
_FIRST = ("time", "level", "logger", "event", "service", "instance", "trace_id")


def get(name: str) -> FilteringBoundLogger:
    """Return a logger; it may be made at import, before `configure`."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))


def bound(**fields: object) -> AbstractContextManager[Any]:
    """Add fields, such as `order_id`, to every line that is written inside the `with`."""
    return bound_contextvars(**fields)


def configure(service: str, instance: str, level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Send all logging of this process through one renderer to `stream` (default: stdout)."""
    stream = stream or sys.stdout
    shared: list[Processor] = [
        merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _Origin(service, instance),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    final: list[Processor] = [redact, _in_order, structlog.processors.JSONRenderer(ensure_ascii=False)]
    threshold = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda name="": _Output(name, stream),
        # Loggers are made at import; caching would freeze whatever was configured at their first line.
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(shared, final, threshold, stream)
    sys.excepthook = _log_uncaught


class _Output(structlog.WriteLogger):
    """Writes and flushes whole lines; knows the name that `get` was called with."""

    def __init__(self, name: str, stream: TextIO) -> None:
        super().__init__(stream)
        self.name = name


class _Origin:
    """Adds who writes the line, and in which trace."""

    def __init__(self, service: str, instance: str) -> None:
        self._fields = {"service": service, "instance": instance}

    def __call__(self, logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        record = event.get("_record")  # set on what comes from the standard library
        event["logger"] = logger.name if record is None else record.name
        event.update(self._fields)
        if span := trace.current.get():
            event["trace_id"] = span.trace_id
        return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> Mapping[str, Any]:
    """Take secrets out of every field; runs last, after exceptions have become text."""
    return {name: clean_field(name, value) for name, value in event.items()}


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> Mapping[str, Any]:
    return {name: event[name] for name in _FIRST if name in event} | {**event}


def _route_standard_logging(shared: list[Processor], final: list[Processor], threshold: int, stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(threshold)
    logging.captureWarnings(capture=True)
    server = logging.getLogger("aiohttp.server")
    server.filters[:] = [_without_bytes]
    for name, floor in _FLOORS.items():
        logging.getLogger(name).setLevel(max(floor, threshold))


def _without_bytes(record: logging.LogRecord) -> bool:
    """Keep of a request that is no HTTP only that it came: aiohttp's error quotes what the sender sent."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = f"{record.getMessage()}: {type(error).__name__}"
        record.args, record.exc_info, record.exc_text = None, None, None
    return True


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    exc_info: ExcInfo = (kind, error, traceback)
    get(__name__).critical("process.crashed", exc_info=exc_info)
