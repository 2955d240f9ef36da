"""Kinguin's seller side over HTTP: the sales manager (offers, stock) and Envoy (what was told).

Facts: contracts of Kinguin's seller API. A stock upload is answered with 400 when the reservation is unknown or was
processed already, and with 409 while it is being processed or has its stock: neither gives a second code to it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from bitloot.contracts.sales import SaleNews, SaleStatus
from bitloot.errors import BitLootError, Cause, Refused
from bitloot.ids import OfferId, ProductId, ReservationId
from fulfillment.kinguin.answers import array, bad, check_echo, document, refusal
from fulfillment.kinguin.gateway import Gateway, describe, kind_of
from fulfillment.kinguin.wire import Answer, Json, Unreadable, parse
from fulfillment.selling.ports import HandedOver, Handover, Offer

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_STATUS: Final = re.compile(r"[A-Za-z_]{1,40}", re.ASCII)
_MAX_NAME: Final = 200
_MAX_NEWS: Final = 200
"""More would not fit a record, and an honest reservation has a dozen."""
_MAX_COUNT: Final = 10_000_000
_TOO_MUCH: Final = re.compile(r"declared stock.{0,40}exceed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SalesManager:
    """Our seller account. Kinguin limits reads and writes apart."""

    reads: Gateway
    writes: Gateway
    envoy: Gateway

    async def hand_over(self, handover: Handover) -> HandedOver:
        """See `SaleDesk.hand_over`."""
        body: dict[str, Json] = {
            "body": handover.code.decode(),
            "mimeType": handover.media_type,
            "reservationId": handover.reservation_id,
            "requestId": handover.request_id,
            "externalId": handover.external_id,
        }
        answer = await self.writes.call("POST", f"{_offer_path(handover.offer_id)}/stock", body=body)
        if answer.status in {400, 409} and answer.document is Unreadable.BODY:
            raise bad(answer, "not the API's own answer")
        if answer.status == 409:
            return HandedOver(repeated=True)
        if answer.status == 400:
            raise Refused(Cause.REJECTED, f"{describe(answer)}: the reservation is unknown or was processed already")
        members = _members(answer)
        check_echo(answer, members, {"reservationId": handover.reservation_id})
        return HandedOver(repeated=False, stock_id=_id(members.get("id")) or "")

    async def news(self, reservation_id: ReservationId) -> tuple[SaleNews, ...]:
        """See `SaleDesk.news`."""
        answer = await self.envoy.call("GET", "/requests", params={"bodyId": reservation_id})
        if answer.status >= 400:
            raise refusal(answer)
        found = [_told(entry, reservation_id) for entry in array(answer)[:_MAX_NEWS]]  # the newest come first
        return tuple(each for each in reversed(found) if each is not None)

    async def offers(self) -> tuple[Offer, ...]:
        """See `OfferDesk.offers`."""
        answer = await self.reads.call("GET", "/offers")
        if answer.status >= 400:
            raise refusal(answer)
        entries = answer.document if isinstance(answer.document, list) else document(answer).get("items")
        if not isinstance(entries, list):
            raise bad(answer, "it holds no list of offers")
        return tuple(offer for entry in entries if (offer := _offer(entry)) is not None)

    async def declare(self, offer_id: OfferId, count: int) -> None:
        """See `OfferDesk.declare`."""
        body: dict[str, Json] = {"declaredStock": count, "declaredTextStock": count}
        answer = await self.writes.call("PATCH", _offer_path(offer_id), body=body)
        if answer.status == 400 and _is_too_much(answer):
            raise Refused(Cause.QUOTA_EXCEEDED, f"{describe(answer)}: more than Kinguin has granted")
        _members(answer)

    async def subscription(self) -> dict[str, str] | None:
        """Return which event goes to which address, or None without a subscription."""
        answer = await self.envoy.call("GET", "/subscription")
        if answer.status == 404:
            return None
        endpoints = _members(answer).get("endpoints")
        if not isinstance(endpoints, dict):
            raise bad(answer, "it has no endpoints")
        return {name: url for name, url in endpoints.items() if isinstance(url, str)}

    async def subscribe(self, endpoints: dict[str, str], token: str, *, anew: bool) -> None:
        """Make the subscription, or change it when there is one. `token` comes back in `X-Auth-Token`."""
        headers: list[Json] = [{"name": "X-Auth-Token", "value": token}]
        body: dict[str, Json] = {"endpoints": dict(endpoints), "headers": headers}
        _members(await self.envoy.call("POST" if anew else "PUT", "/subscription", body=body))


def _members(answer: Answer) -> dict[str, Json]:
    if answer.status >= 400:
        raise _refusal(answer)
    return document(answer)


def _refusal(answer: Answer) -> BitLootError:
    return refusal(answer, not_found=Cause.NOT_FOUND)


def _is_too_much(answer: Answer) -> bool:
    if "declaredstock" in kind_of(answer).lower():
        return True
    detail = answer.document.get("detail") if isinstance(answer.document, dict) else None
    return isinstance(detail, str) and _TOO_MUCH.search(detail) is not None


def _offer_path(offer_id: str) -> str:
    return f"/offers/{quote(offer_id, safe='')}"


def _id(value: Json) -> str | None:
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _told(entry: Json, reservation_id: ReservationId) -> SaleNews | None:
    """Return what one notification of Envoy's history said; its body is JSON within a text."""
    raw = entry.get("body") if isinstance(entry, dict) else None
    body = parse(raw.encode(errors="replace")) if isinstance(raw, str) else raw
    if not isinstance(body, dict) or body.get("reservationId") != reservation_id:
        return None
    word = body.get("status")
    try:
        status = SaleStatus(word.upper() if isinstance(word, str) else "")
    except ValueError:
        return None  # an event without a status, or one that we do not know
    product_id, offer_id = _id(body.get("productId")), _id(body.get("offerId"))
    return SaleNews(
        status=status,
        at=_moment(body.get("updatedAt")),
        product_id=None if product_id is None else ProductId(product_id),
        offer_id=None if offer_id is None else OfferId(offer_id),
        external_id=_id(body.get("releasedExternalStockId")),
    )


def _moment(value: Json) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return moment and (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def _offer(entry: Json) -> Offer | None:
    """Return an offer, or None for one without sound ids."""
    if not isinstance(entry, dict):
        return None
    offer_id, product_id = _id(entry.get("id", entry.get("offerId"))), _id(entry.get("productId"))
    if offer_id is None or product_id is None:
        return None
    status = entry.get("status")
    return Offer(
        offer_id=OfferId(offer_id),
        product_id=ProductId(product_id),
        name=_shown(entry.get("name")),
        status=status if isinstance(status, str) and _STATUS.fullmatch(status) else "",
        available=_count(entry.get("availableStock")),
        buyable=_count(entry.get("buyableStock")),
        reserved=_count(entry.get("reservedStock")),
        declared=_count(entry.get("declaredStock")),
        declared_text=_count(entry.get("declaredTextStock")),
    )


def _shown(name: Json) -> str:
    """Return a name for people, without what cannot be seen: PostgreSQL cannot store all of that."""
    return "".join(filter(str.isprintable, name))[:_MAX_NAME] if isinstance(name, str) else ""


def _count(value: Json) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and isinstance(value, int) and 0 <= value <= _MAX_COUNT else None
