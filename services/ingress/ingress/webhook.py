"""The way of every notification: read the bytes, verify, publish it and its log record, answer.

2xx only after the broker has acknowledged both records; 503 when it has not, so that the provider sends the
notification again. A repeat is published again: the order's state judges duplicates, not we.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from aiohttp import web
from prometheus_client import Counter

from bitloot import metrics, trace
from bitloot.contracts.topics import WEBHOOKS_LOG
from bitloot.contracts.webhooks import WebhookLogged
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import Malformed, Transient
from bitloot.http import tell
from bitloot.kafka import ProducerFailed
from bitloot.problem import Problem
from bitloot.proxies import Networks, client_address
from bitloot.redaction import without_mail_addresses
from ingress.body import read_body
from ingress.notification import Incoming, NotAccepted, Notification, Provider, Reader, Reason
from ingress.ports import Publisher
from ingress.refusals import Refused, Samples

_MAX_HEADER = 300  # characters
RETRY_AFTER_SECONDS = 5

# What is worth keeping and opens nothing: no token, no cookie, and no signature, which would verify for ever.
_KEPT_HEADERS = frozenset(
    (
        "content-type",
        "date",
        "svix-id",
        "svix-timestamp",
        "traceparent",
        "user-agent",
        "x-event-name",
        "x-forwarded-for",
        "x-request-id",
    )
)
# Vendors misspell the type of their JSON, so only what can never be JSON is refused.
_IMPOSSIBLE_TYPES = ("multipart/", "application/x-www-form-urlencoded", "text/html", "image/", "audio/", "video/")


class Webhook:
    """The handler of one provider's notifications. `answer` makes the body-less or short answer that it wants.

    Senders are judged by their address before `proxies`, which are ours.
    """

    def __init__(
        self,
        provider: Provider,
        read: Reader,
        publisher: Publisher,
        samples: Samples,
        answer: Callable[[web.Request], web.Response],
        proxies: Networks = (),
    ) -> None:
        self._provider = provider
        self._read = read
        self._publisher = publisher
        self._samples = samples
        self._answer = answer
        self._proxies = proxies

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a notification. Raises `Problem` for every refusal."""
        incoming = None
        try:
            incoming = await self._receive(request)
            notification = self._read(incoming)
            _refuse_forms(request)
        except NotAccepted as refusal:
            self._sample(request, refusal, incoming)
            raise self._refused(request, refusal) from refusal
        if notification.order_id:
            trace.join(notification.order_id)
        try:
            await self._publish(notification, incoming)
            reach(CrashPoint.INGRESS_PUBLISHED)
        except (Transient, ProducerFailed) as error:
            raise self._not_stored(request, notification, error) from error
        _accepted(self._provider, notification.matched).inc()
        tell(request, "webhook.accepted", _about(notification))
        return self._answer(request)

    async def _receive(self, request: web.Request) -> Incoming:
        return Incoming(
            body=await read_body(request),
            headers=request.headers,
            remote=self._sender(request),
            received_at=datetime.now(UTC),
        )

    def _sender(self, request: web.Request) -> str:
        return client_address(request.remote or "", request.headers.getall("X-Forwarded-For", []), self._proxies)

    async def _publish(self, notification: Notification, incoming: Incoming) -> None:
        """Publish side by side; all must be acknowledged. Raises the first failure once all have ended."""
        publication = notification.publication
        posts: list[Awaitable[object]] = [self._log(notification, incoming)]
        if publication is not None:
            posts.append(self._publisher.post(publication.topic, publication.key, publication.record))
        await _all(posts)

    def _log(self, notification: Notification, incoming: Incoming) -> Awaitable[object]:
        key, record = _log_key(notification), _log_record(notification, incoming)
        try:
            return self._publisher.post(WEBHOOKS_LOG, key, record)
        except Malformed:  # it is too large
            note = "; ".join(filter(None, (record.note, "the event is left out: too large")))
            return self._publisher.post(WEBHOOKS_LOG, key, record.model_copy(update={"event": None, "note": note}))

    def _sample(self, request: web.Request, refusal: NotAccepted, incoming: Incoming | None) -> None:
        refused = Refused(
            provider=self._provider,
            reason=refusal.reason,
            detail=refusal.detail,
            hint=refusal.hint,
            body=incoming.body if incoming else None,
            headers=request.headers,
            remote=self._sender(request),
            at=datetime.now(UTC),
        )
        self._samples.keep(refused)

    def _refused(self, request: web.Request, refusal: NotAccepted) -> Problem:
        metrics.WEBHOOKS_REFUSED.labels(self._provider, refusal.reason).inc()
        fields = {
            "provider": self._provider,
            "reason": refusal.reason,
            "detail": refusal.detail,
            "hint": refusal.hint,
            "remote": self._sender(request),
            "length": request.content_length,
        }
        tell(request, "webhook.refused", fields, level="warning")
        return Problem(refusal.status, refusal.detail, reason=refusal.reason)

    def _not_stored(self, request: web.Request, notification: Notification, error: Exception) -> Problem:
        metrics.WEBHOOKS_NOT_STORED.labels(self._provider).inc()
        tell(request, "webhook.not_stored", {"error": str(error), **_about(notification)}, level="error")
        wait = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return Problem(503, "The notification could not be stored; send it again.", headers=wait)


async def _all(posts: Sequence[Awaitable[object]]) -> None:
    """Wait for each in turn: all have begun, and one answer of the broker tells of most. Raises the first failure."""
    failed = None
    for post in posts:
        try:
            await post
        except (Transient, ProducerFailed) as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _refuse_forms(request: web.Request) -> None:
    """Judge the type last: whoever cannot sign is told so whatever they call their bytes."""
    kind = request.headers.get("Content-Type", "").strip().lower()
    if kind.startswith(_IMPOSSIBLE_TYPES):
        raise NotAccepted(415, Reason.MEDIA_TYPE, "A notification is JSON.")


@lru_cache(maxsize=64)
def _accepted(provider: Provider, matched: str) -> Counter:
    return metrics.WEBHOOKS_ACCEPTED.labels(provider, matched.partition("/")[0])


def _log_key(notification: Notification) -> str:
    return notification.order_id or f"{notification.provider}/{notification.external_id}"


def _log_record(notification: Notification, incoming: Incoming) -> WebhookLogged:
    publication = notification.publication
    # It is kept for long, and may be accepted while no key can be read: so not sealed, but gone.
    body = without_mail_addresses(notification.body)
    return WebhookLogged(
        event_id=notification.event_id,
        occurred_at=incoming.received_at,
        provider=notification.provider,
        external_id=notification.external_id,
        event_type=notification.event_type,
        order_id=notification.order_id,
        headers=_kept_headers(incoming),
        body=body,
        # Of what is stored: the hash of a short code could be searched.
        body_sha256=hashlib.sha256(body.encode()).hexdigest(),
        matched=notification.matched,
        remote_address=incoming.remote,
        note=notification.note,
        event_topic=publication and publication.topic.name,
        event_key=publication and publication.key,
        event=publication and publication.record.model_dump(mode="json", exclude_none=True),
    )


def _kept_headers(incoming: Incoming) -> dict[str, str]:
    # What is not UTF-8 comes as lone surrogates, which no record can hold.
    return {
        lower: value[:_MAX_HEADER].encode(errors="replace").decode()
        for name, value in incoming.headers.items()
        if (lower := name.lower()) in _KEPT_HEADERS
    }


def _about(notification: Notification) -> dict[str, object]:
    return {
        "provider": notification.provider,
        "external_id": notification.external_id,
        "event_type": notification.event_type,
        "order_id": notification.order_id,
        "matched": notification.matched,
        "note": notification.note,
        "published": notification.publication is not None,
        **notification.about,
    }
