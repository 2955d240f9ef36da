"""Sends webhooks as real providers do: again when refused, twice by mistake, out of order, or never."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from prometheus_client import CollectorRegistry, Counter

from sandbox.background import Background
from sandbox.clock import Clock
from sandbox.dials import Panel
from sandbox.faults import Faults
from sandbox.ledger import Ledger, WebhookRecord

# Enough to see what a receiver says, too little to fill the memory.
_ANSWER_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Webhook:
    """One notification."""

    provider: str
    event: str
    url: str
    body: bytes
    order_ids: tuple[str, ...]
    # Called for each attempt: some schemes sign the time of the attempt.
    headers: Callable[[], Mapping[str, str]]
    # A 2xx with a body counts as refused.
    wants_empty_answer: bool = False
    # Told how it ended, after the last attempt.
    ended: Callable[[bool], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last attempt ended: the receiver's answer, or why there is none."""

    attempts: int
    status: int | None
    body: str
    error: str | None = None


class Webhooks:
    """Sends over kept-alive connections. Open it on the running loop, close it before the loop ends."""

    def __init__(
        self,
        panel: Panel,
        faults: Faults,
        ledger: Ledger,
        clock: Clock,
        background: Background,
        registry: CollectorRegistry,
    ) -> None:
        self._panel = panel
        self._faults = faults
        self._ledger = ledger
        self._clock = clock
        self._background = background
        self._session: aiohttp.ClientSession | None = None
        self._attempts = Counter(
            "sandbox_webhook_attempts", "Webhooks sent by answer", ("provider", "event", "status"), registry=registry
        )

    async def open(self) -> None:
        """Prepare the connections."""
        # Without cookies or a limit per host: the ingress is the only host.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=200), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def post(self, webhook: Webhook) -> None:
        """Send in the background, with the duplicates, the shuffling and the losses of the dials."""
        if self.dropped(webhook):
            return
        for _ in range(1 + self._panel.dials.webhook_duplicates):
            head_start = self._panel.chance.random() * self._panel.dials.webhook_shuffle
            self._background.spawn(self._post(webhook, head_start))

    async def _post(self, webhook: Webhook, head_start: float) -> None:
        if head_start:
            await asyncio.sleep(head_start)
        await self.deliver(webhook)

    def dropped(self, webhook: Webhook) -> bool:
        """Draw whether this one is lost, and record the loss."""
        lost = self._faults.drops_webhook(webhook.provider, webhook.event, webhook.order_ids)
        if not lost and self._panel.chance.random() >= self._panel.dials.webhook_drop:
            return False
        self.lose(webhook, "dropped")
        return True

    def lose(self, webhook: Webhook, why: str) -> None:
        """Record that this one is never sent."""
        self._record(webhook, 0, None, why)

    async def deliver(self, webhook: Webhook, attempts: int | None = None) -> Outcome:
        """Send until a 2xx, at most `attempts` times (the dial when None), with doubling pauses between."""
        dials = self._panel.dials
        limit = attempts or dials.webhook_attempts
        attempt = 1
        while True:
            outcome = await self._attempt(webhook, attempt)
            self._record(webhook, attempt, outcome.status, outcome.error)
            accepted = outcome.status is not None and 200 <= outcome.status < 300
            accepted = accepted and not (webhook.wants_empty_answer and outcome.body)
            if accepted or attempt == limit:
                webhook.ended(accepted)
                return outcome
            # The exponent is bounded too: 2.0 ** 1100 is an error.
            await asyncio.sleep(min(dials.webhook_backoff_max, dials.webhook_backoff * 2 ** min(attempt - 1, 32)))
            attempt += 1

    async def _attempt(self, webhook: Webhook, attempt: int) -> Outcome:
        if self._session is None:
            raise RuntimeError("open() comes first")
        headers = {"Content-Type": "application/json", **webhook.headers()}
        timeout = aiohttp.ClientTimeout(total=self._panel.dials.webhook_timeout)
        try:
            async with self._session.post(
                webhook.url, data=webhook.body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                body = (await answer.read())[:_ANSWER_LIMIT]
                return Outcome(attempt, answer.status, body.decode("utf-8", "replace"))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Outcome(attempt, None, "", f"{type(error).__name__}: {error}".rstrip(": "))

    def _record(self, webhook: Webhook, attempt: int, status: int | None, error: str | None) -> None:
        self._attempts.labels(webhook.provider, webhook.event, str(status) if status else "none").inc()
        self._ledger.webhooks.append(
            WebhookRecord(
                at=self._clock(),
                provider=webhook.provider,
                event=webhook.event,
                url=webhook.url,
                order_ids=webhook.order_ids,
                request=webhook.body,
                attempt=attempt,
                status=status,
                error=error,
            )
        )
