"""What ESA tells by webhook: a static secret, no signature, no id; it wants an empty answer."""

from sandbox.clock import Clock, rfc3339
from sandbox.dials import Panel
from sandbox.esa.goods import Product
from sandbox.esa.orders import Order
from sandbox.javascript import Json, stringify
from sandbox.webhooks import Outcome, Webhook, Webhooks


class Notices:
    """Sends `order.status` and `product.update`."""

    def __init__(self, panel: Panel, webhooks: Webhooks, clock: Clock) -> None:
        self._panel = panel
        self._webhooks = webhooks
        self._clock = clock
        # Rejected notices since the last accepted one.
        self.failures = 0

    @property
    def disabled(self) -> bool:
        """Whether Kinguin has given up on the endpoint, after as many failures as the dial says."""
        return 0 < self._panel.dials.disable_after <= self.failures

    def _ended(self, accepted: bool) -> None:  # noqa: FBT001 - an outcome, not a switch
        self.failures = 0 if accepted else self.failures + 1

    def _post(self, webhook: Webhook) -> None:
        if self.disabled:
            self._webhooks.lose(webhook, "disabled")
        else:
            self._webhooks.post(webhook)

    def order_status(self, order: Order, status: str | None = None, updated_at: str | None = None) -> None:
        """Tell the order's status; `status` and `updated_at` (as written) make an old or a wrong one."""
        body: dict[str, Json] = {
            "orderId": order.id,
            "status": status or order.status,
            "updatedAt": updated_at or rfc3339(order.updated_at, "milliseconds"),
        }
        if order.external_id is not None:
            body["orderExternalId"] = order.external_id
        self._post(self._webhook("order.status", stringify(body).encode(), order.names))

    def product_update(self, product: Product) -> None:
        """Tell that stock or price changed; the price itself is not told."""
        product.updated_at = self._clock()
        self._post(self._webhook("product.update", stringify(product.changed()).encode(), ()))

    async def probe(self) -> Outcome:
        """Press the dashboard's "test URL" button: a request without anything in it."""
        return await self._webhooks.deliver(self._webhook("order.status", b"", ()), attempts=1)

    def _webhook(self, event: str, body: bytes, order_ids: tuple[str, ...]) -> Webhook:
        dials = self._panel.dials
        return Webhook(
            provider="kinguin-esa",
            event=event,
            url=f"{dials.ingress_url.rstrip('/')}/webhooks/kinguin",
            body=body,
            order_ids=order_ids,
            headers=lambda: {
                "Content-Type": self._panel.dials.esa_content_type,
                "X-Event-Name": event,
                "X-Event-Secret": self._panel.dials.kinguin_webhook_secret.get_secret_value(),
            },
            wants_empty_answer=True,
            ended=self._ended,
        )
