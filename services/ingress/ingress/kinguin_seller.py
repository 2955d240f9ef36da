"""Kinguin's news of keys that we sell there: verified, then understood. Pure.

They come on a path of their own, for their body is told apart from that of a purchase by nothing: it names neither an
event nor an order, only `status` and `reservationId`. `X-Auth-Token` is what our subscription says, and signs nothing.
"""

from collections.abc import Sequence

from aiohttp import web
from pydantic import SecretStr

from bitloot.contracts.sales import SaleNews, SaleNotified, SaleStatus
from bitloot.contracts.topics import KINGUIN_SALES
from bitloot.ids import OfferId, ProductId, ReservationId, content_id
from bitloot.problem import Problem
from bitloot.proxies import Networks
from ingress import codes, fields
from ingress.kinguin import TOKEN_HEADER, check_address, check_words, verify_token
from ingress.notification import Incoming, Notification, Publication, Reader, parse_object

_OLD_WORDS = {"RESERVE": SaleStatus.BUYING, "GIVE": SaleStatus.BOUGHT}  # older texts of Kinguin's


def reader(secrets: Sequence[SecretStr], allowed: Networks) -> Reader:
    """Return the reader of news of sales. Empty `allowed` allows every address."""

    def read(incoming: Incoming) -> Notification:
        matched = verify_token(incoming.headers.get(TOKEN_HEADER), secrets)
        check_address(incoming.remote, allowed)
        return _sale(incoming, f"{matched}/token")

    return read


async def refuse(_request: web.Request) -> web.Response:
    """Answer where nothing is sold. Raises the problem."""
    raise Problem(404, "Selling is not set up here: KINGUIN_SELLER_WEBHOOK_SECRET is not set.")


def status_of(word: str | None) -> SaleStatus | None:
    """Return the status that a word says, in any case of letters; None for events without one, and new ones."""
    plain = (word or "").upper()
    if plain in _OLD_WORDS:
        return _OLD_WORDS[plain]
    return SaleStatus(plain) if plain in SaleStatus.__members__ else None


def _sale(incoming: Incoming, matched: str) -> Notification:
    document = parse_object(incoming.body)
    word, reservation = fields.word(document, "status"), fields.word(document, "reservationId")
    status, delivered = status_of(word), fields.word(document, "releasedExternalStockId")
    event_type = (word or "unknown").lower()
    external_id = reservation or fields.label(document, "offerId")
    about = [fields.label(document, name) for name in ("productId", "offerId")]
    check_words(document, word, external_id, delivered, *about)
    updated_at = fields.label(document, "updatedAt")
    event_id = content_id("kinguin-seller", external_id, event_type, updated_at, delivered)
    publication = None
    if status is not None and reservation is not None:
        product, offer = fields.word(document, "productId"), fields.word(document, "offerId")
        news = SaleNews(
            status=status,
            at=fields.instant(document, "updatedAt"),
            product_id=None if product is None else ProductId(product),
            offer_id=None if offer is None else OfferId(offer),
            external_id=delivered,
        )
        sale = ReservationId(reservation)
        record = SaleNotified(event_id=event_id, occurred_at=incoming.received_at, reservation_id=sale, news=news)
        publication = Publication(KINGUIN_SALES, sale, record)
    return Notification(
        provider="kinguin-seller",
        external_id=external_id,
        event_type=event_type,
        event_id=event_id,
        body=codes.redacted(document),
        matched=matched,
        publication=publication,
        note="" if publication else "it names no reservation, or no status that we know",
        about={"status": status or ""},
    )
