"""Kinguin's `reservations` dialect: reserve, give, fetch the keys, look up; and its webhooks."""

import asyncio
import json
import secrets
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.background import Background
from sandbox.calls import Answer, Call, Endpoint, Provider, Refusal
from sandbox.clock import Clock, iso
from sandbox.dials import Panel
from sandbox.kinguin_id import Tokens
from sandbox.ledger import Ledger, Purchase
from sandbox.rate import RateLimit
from sandbox.webhooks import Webhook, Webhooks

# 32 letters and digits that cannot be mistaken for one another: 5 bits each, so 25 of them never meet again.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_KINDS = {400: "ConstraintViolation", 401: "Authorization", 404: "NotFound", 429: "TooManyRequests"}


class Status(StrEnum):
    """Where a reservation stands, in Kinguin's words."""

    BUYING = "BUYING"  # reserved, not paid
    BOUGHT = "BOUGHT"  # given: this is the purchase
    DELIVERED = "DELIVERED"  # the keys can be fetched
    CANCELED = "CANCELED"  # ended before the keys came
    REVERSED = "REVERSED"  # the payment was taken back


_EVENTS = {
    "reserve": Status.BUYING,
    "give": Status.BOUGHT,
    "delivered": Status.DELIVERED,
    "cancel": Status.CANCELED,
    "reversed": Status.REVERSED,
}


class Wanted(BaseModel):
    """Body of `POST /reservations`; members that we do not know are none of our business."""

    model_config = ConfigDict(frozen=True, strict=True)

    order_id: Annotated[str, Field(alias="orderId", min_length=1, max_length=255)]
    product_id: Annotated[str, Field(alias="productId", min_length=1, max_length=255)]
    quantity: Annotated[int, Field(ge=1, le=1000)]


@dataclass(slots=True)
class Reservation:
    """One line that a buyer holds."""

    wanted: Wanted
    created_at: float
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    status: Status = Status.BUYING
    purchase: Purchase | None = None

    def shown(self) -> dict[str, object]:
        """Return what Kinguin tells about it; never its keys."""
        return {
            "reservationId": self.id,
            "orderId": self.wanted.order_id,
            "productId": self.wanted.product_id,
            "quantity": self.wanted.quantity,
            "status": self.status,
            "createdAt": iso(self.created_at),
        }


def new_key() -> str:
    """Return a key that looks like a real one: `XXXXX-XXXXX-XXXXX-XXXXX-XXXXX`."""
    letters = "".join(_ALPHABET[byte & 31] for byte in secrets.token_bytes(25))
    return "-".join(letters[start : start + 5] for start in range(0, 25, 5))


def error(status: int, kind: str | None = None, detail: str = "simulated") -> Answer:
    """Answer in Kinguin's shape: clients decide by `kind`."""
    kind = kind or _KINDS.get(status, "Error")
    return Answer.of(
        status,
        {
            "kind": kind,
            "status": status,
            "title": kind,
            "detail": detail,
            "trace": secrets.token_hex(8),
        },
    )


class Kinguin:
    """Reservations by id and by the order id that the buyer named. They live until the process ends."""

    def __init__(
        self,
        panel: Panel,
        ledger: Ledger,
        webhooks: Webhooks,
        background: Background,
        clock: Clock,
    ) -> None:
        self._panel = panel
        self._ledger = ledger
        self._webhooks = webhooks
        self._background = background
        self._clock = clock
        self.tokens = Tokens(panel, clock)
        self._rate = RateLimit(clock)
        self._reservations: dict[str, Reservation] = {}
        self._by_order: defaultdict[str, list[Reservation]] = defaultdict(list)

    def provider(self) -> Provider:
        """Return all that answers for Kinguin."""
        base = "/kinguin/reservations"
        return Provider(
            "kinguin",
            "/kinguin",
            (
                Endpoint("POST", "/kinguin-id/auth/token", "token", self.tokens.issue, confidential=True),
                Endpoint("POST", base, "reserve", self.reserve, _ordered),
                Endpoint("GET", base, "lookup", self.look_up, _asked),
                Endpoint("POST", base + "/{id}/give", "give", self.give, self._of_reservation),
                Endpoint("GET", base + "/{id}/delivered", "delivered", self.delivered, self._of_reservation),
            ),
            error,
        )

    async def reserve(self, call: Call) -> Answer:
        """Hold a line. A second request with the same order id is a second reservation."""
        self._authorize(call)
        try:
            wanted = Wanted.model_validate(call.json())
        except ValidationError as fault:
            place = "/".join(str(part) for part in fault.errors()[0]["loc"])
            raise Refusal(error(400, detail=f"{place}: {fault.errors()[0]['msg']}")) from fault
        except ValueError as fault:
            raise Refusal(error(400, detail="the body is not JSON")) from fault
        reservation = Reservation(wanted, self._clock())
        self._reservations[reservation.id] = reservation
        self._by_order[wanted.order_id].append(reservation)
        self._notify(reservation, "reserve")
        return Answer.of(201, reservation.shown())

    async def give(self, call: Call) -> Answer:
        """Buy the reservation. Giving it twice is one purchase."""
        self._authorize(call)
        reservation = self._known(call)
        if reservation.status in (Status.CANCELED, Status.REVERSED):
            raise Refusal(error(409, "ReservationEnded", f"the reservation is {reservation.status}"))
        if reservation.status is Status.BUYING:
            self._buy(reservation)
        return Answer.of(200, reservation.shown())

    def _buy(self, reservation: Reservation) -> None:
        wanted = reservation.wanted
        reservation.status = Status.BOUGHT
        reservation.purchase = Purchase(
            reservation.id, wanted.order_id, wanted.product_id, wanted.quantity, self._clock()
        )
        self._ledger.purchases.append(reservation.purchase)
        self._notify(reservation, "give")
        self._background.spawn(self._deliver(reservation))

    async def _deliver(self, reservation: Reservation) -> None:
        await asyncio.sleep(self._panel.dials.key_delay)
        purchase = reservation.purchase
        if purchase is None or reservation.status is not Status.BOUGHT:
            return  # canceled or reversed meanwhile
        purchase.keys = tuple(new_key() for _ in range(purchase.quantity))
        purchase.delivered_at = self._clock()
        reservation.status = Status.DELIVERED
        self._notify(reservation, "delivered")

    async def delivered(self, call: Call) -> Answer:
        """Return `{codes: [...]}` or `{keys: [...]}`, by the dial; 409 or 404 `NotDelivered` before that."""
        self._authorize(call)
        reservation = self._known(call)
        purchase = reservation.purchase
        if purchase is None or reservation.status is not Status.DELIVERED:
            status = self._panel.dials.not_delivered_status
            raise Refusal(error(status, "NotDelivered", f"the reservation is {reservation.status}"))
        return Answer.of(200, {self._panel.dials.codes_field: purchase.keys})

    async def look_up(self, call: Call) -> Answer:
        """Return the reservations of exactly this order id, oldest first."""
        self._authorize(call)
        dials = self._panel.dials
        if not dials.lookup:
            raise Refusal(error(404, detail="no such resource"))
        order_id = call.request.query.get("orderId")
        if not order_id:
            raise Refusal(error(400, detail="orderId: required"))
        searchable = self._clock() - dials.lookup_delay
        found = [each for each in self._by_order.get(order_id, ()) if each.created_at <= searchable]
        return Answer.of(200, {"items": [each.shown() for each in found]})

    def happen(self, reservation_id: str, event: str) -> dict[str, object] | None:
        """Cancel or reverse a reservation, or tell an earlier event once more; None when it is unknown."""
        reservation = self._reservations.get(reservation_id)
        if reservation is None:
            return None
        if event in ("cancel", "reversed"):
            reservation.status = _EVENTS[event]
        self._notify(reservation, event)
        return reservation.shown()

    def _notify(self, reservation: Reservation, event: str) -> None:
        dials, wanted = self._panel.dials, reservation.wanted
        body: dict[str, object] = {
            "event": event,
            "reservationId": reservation.id,
            "productId": wanted.product_id,
            "status": _EVENTS[event],
            "updatedAt": iso(self._clock()),
        }
        if dials.order_id_in_webhook:
            body["orderId"] = wanted.order_id
        if event == "delivered" and dials.codes_in_webhook and reservation.purchase is not None:
            body[dials.codes_field] = reservation.purchase.keys
        self._webhooks.post(
            Webhook(
                provider="kinguin",
                event=event,
                url=f"{dials.ingress_url.rstrip('/')}/webhooks/kinguin",
                body=json.dumps(body, separators=(",", ":")).encode(),
                order_ids=(wanted.order_id,),
                headers=lambda: {"X-Auth-Token": self._panel.dials.kinguin_webhook_secret.get_secret_value()},
            )
        )

    def _authorize(self, call: Call) -> None:
        if not self.tokens.lives(call.bearer()):
            raise Refusal(error(401, detail="the token is missing, unknown or has ended"))
        if wait := self._rate.wait("client", self._panel.dials.reservations_rate_limit):
            raise Refusal(error(429, detail="too many requests").with_headers({"Retry-After": str(wait)}))

    def _known(self, call: Call) -> Reservation:
        reservation = self._reservations.get(call.request.match_info["id"])
        if reservation is None:
            raise Refusal(error(404, "ReservationNotFound", "no such reservation"))
        return reservation

    def _of_reservation(self, call: Call) -> tuple[str, ...]:
        reservation = self._reservations.get(call.request.match_info["id"])
        return () if reservation is None else (reservation.wanted.order_id,)


def _ordered(call: Call) -> tuple[str, ...]:
    order_id = call.member("orderId")
    return (order_id,) if order_id else ()


def _asked(call: Call) -> tuple[str, ...]:
    order_id = call.request.query.get("orderId")
    return (order_id,) if order_id else ()
