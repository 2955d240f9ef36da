"""Envoy, which tells a seller what happens to reservations, at the addresses of its subscription."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sandbox.clock import Clock, iso
from sandbox.dials import Panel
from sandbox.ledger import Ledger, WebhookRecord
from sandbox.seller.offers import Offer
from sandbox.seller.sale import EVENTS, Sale
from sandbox.webhooks import Webhook, Webhooks


class Header(BaseModel):
    """A header of every webhook, such as `X-Auth-Token`."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")]
    value: Annotated[str, Field(pattern=r"^[\x20-\x7e]{0,4000}$")]


class Subscription(BaseModel):
    """Which event goes where."""

    model_config = ConfigDict(frozen=True)

    endpoints: dict[str, Annotated[str, Field(pattern=r"^https?://")]]
    headers: tuple[Header, ...] = ()

    def shown(self) -> dict[str, object]:
        """Return the subscription as JSON; the values of headers are secrets, and only their names are told."""
        return {"endpoints": self.endpoints, "headers": [{"name": each.name, "value": "***"} for each in self.headers]}


@dataclass(slots=True)
class Envoy:
    """Sends by the subscription in force; without one, to the ingress with the token that it knows."""

    panel: Panel
    webhooks: Webhooks
    ledger: Ledger
    clock: Clock
    subscription: Subscription | None = field(default=None)

    def tell(self, event: str, sale: Sale, offer: Offer) -> None:
        """Tell an event of a reservation as it stands, with the status that belongs to the event."""
        status = EVENTS[event]
        body: dict[str, object] = {
            "name": offer.name,
            **offer.prices(),
            **offer.stock(),
            "productId": offer.product_id,
            "offerId": offer.id,
            "status": status,
            "reservationId": sale.reservation_id,
            "requestedKeyType": None,
            # As documented: 2020-03-06T15:58:49.088+0000
            "updatedAt": iso(self.clock()).replace("Z", "+0000"),
            "popularityBid": None,
        }
        if event == "delivered":
            body |= {"releasedStockId": sale.stock_id, "releasedExternalStockId": sale.external_id}
        self.send(event, body, sale.order_ids)

    def send(self, event: str, body: Mapping[str, object], order_ids: tuple[str, ...] = ()) -> bool:
        """Queue any event; False when the subscription does not want it. What is queued keeps its address."""
        dials, subscription = self.panel.dials, self.subscription
        if subscription is None:
            url: str | None = dials.ingress_url.rstrip("/") + dials.seller_webhook_path
        else:
            url = subscription.endpoints.get(event)
        if url is None:
            return False
        self.webhooks.post(
            Webhook(
                provider="kinguin-seller",
                event=event,
                url=url,
                body=json.dumps(body, separators=(",", ":")).encode(),
                order_ids=order_ids,
                headers=self._headers,
            )
        )
        return True

    def _headers(self) -> Mapping[str, str]:
        if self.subscription is not None:
            return {each.name: each.value for each in self.subscription.headers}
        return {"X-Auth-Token": self.panel.dials.kinguin_webhook_secret.get_secret_value()}

    def history(self, reservation_id: str | None) -> list[dict[str, object]]:
        """Return what was sent, the newest first, one entry for each webhook."""
        attempts: dict[tuple[str, bytes], list[WebhookRecord]] = {}
        for each in self.ledger.webhooks.find(reservation_id):
            if each.provider == "kinguin-seller" and each.attempt:
                attempts.setdefault((each.event, each.request), []).append(each)
        return [_entry(each) for each in reversed(attempts.values())]


def _entry(attempts: list[WebhookRecord]) -> dict[str, object]:
    last = attempts[-1]
    return {
        "bodyId": next(iter(last.order_ids), None),
        "event": last.event,
        "url": last.url,
        "body": last.request.decode(),
        "deployAttempts": len(attempts),
        "responseStatus": last.status,
        "createdAt": iso(attempts[0].at),
    }
