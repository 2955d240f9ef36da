"""Order page tokens: who holds one may see the order's page.

A token is base64url of 42 bytes: version (1), order id (16), generation (4), expiry in seconds since 1970 (5)
and the first 16 bytes of an HMAC-SHA256 over them. It needs no database to check, cannot be guessed or altered,
and ends by itself; raising the order's generation revokes all of its earlier links, which is for the caller to
compare.
"""

import base64
import hashlib
import hmac
import re
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import SecretStr

from bitloot.errors import Cause, Malformed, Refused
from bitloot.ids import OrderId

_VERSION = 1
_FIELDS = struct.Struct(">B16sI5s")
_MAC_BYTES = 16  # 128 bits; truncation is RFC 2104, section 5
_PURPOSE = b"bitloot order page link\x00"  # the same secret used elsewhere would sign other texts
_CONFIRMATION = b"bitloot mail address confirmation\x00"
_CONFIRMATION_TOKEN = re.compile(r"[A-Za-z0-9_-]{57,420}", re.ASCII)
# 42 bytes are 56 characters without padding or spare bits: one token has one spelling.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{56}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OrderLink:
    """What a token says."""

    order_id: OrderId
    generation: int
    expires_at: datetime


class BadLink(Malformed):
    """The token was not minted with any accepted secret."""


class ExpiredLink(Refused):
    """The token was good until `link.expires_at`."""

    def __init__(self, link: OrderLink) -> None:
        super().__init__(Cause.LINK_EXPIRED, "the link has expired")
        self.link = link

    def __reduce__(self) -> tuple[type["ExpiredLink"], tuple[OrderLink]]:
        return type(self), (self.link,)


def mint(order_id: str, generation: int, expires_at: datetime, secrets: Sequence[SecretStr]) -> str:
    """Return a token, signed with the first secret; equal arguments give an equal token.

    `expires_at` is aware and counts in whole seconds. Raises ValueError for an order id that is no UUID, a
    generation outside 0 to 2^32 - 1, or an empty secret.
    """
    if not 0 <= generation < 2**32:
        raise ValueError("a generation is a number from 0 to 2^32 - 1")
    if expires_at.tzinfo is None:
        raise ValueError("the expiry has no time zone")
    key = secrets[0].get_secret_value().encode() if secrets else b""
    if not key:
        raise ValueError("there is no secret to sign with")
    seconds = int(expires_at.timestamp()).to_bytes(5, "big")
    payload = _FIELDS.pack(_VERSION, uuid.UUID(order_id).bytes, generation, seconds)
    return base64.urlsafe_b64encode(payload + _mac(key, payload)).decode()


def verify(token: str, secrets: Sequence[SecretStr], now: datetime) -> OrderLink:
    """Return what a token says. Raises `BadLink` if it was not minted here, `ExpiredLink` from its expiry on."""
    if not _TOKEN.fullmatch(token):
        raise BadLink(Cause.BAD_LINK, "not the shape of a link")
    raw = base64.urlsafe_b64decode(token)
    payload, given = raw[: _FIELDS.size], raw[_FIELDS.size :]
    keys = [each.get_secret_value().encode() for each in secrets]
    matches = [bool(key) and hmac.compare_digest(given, _mac(key, payload)) for key in keys]
    if True not in matches:
        raise BadLink(Cause.BAD_LINK, "not minted here")
    return _link(payload, now)


def mint_confirmation(link: OrderLink, email: str, secrets: Sequence[SecretStr]) -> str:
    """Return a token with which the owner of `email` makes it the address of `link`'s order.

    It is an order page token with the address behind it, and its signature is for that purpose only.
    """
    key = secrets[0].get_secret_value().encode() if secrets else b""
    if not key:
        raise ValueError("there is no secret to sign with")
    seconds = int(link.expires_at.timestamp()).to_bytes(5, "big")
    fields = _FIELDS.pack(_VERSION, uuid.UUID(link.order_id).bytes, link.generation, seconds)
    payload = fields + email.encode()
    mac = _mac(key, payload, _CONFIRMATION)
    return base64.urlsafe_b64encode(mac + payload).decode().rstrip("=")


def verify_confirmation(token: str, secrets: Sequence[SecretStr], now: datetime) -> tuple[OrderLink, str]:
    """Return what `mint_confirmation` was given. Raises `BadLink` or `ExpiredLink`."""
    if not _CONFIRMATION_TOKEN.fullmatch(token):
        raise BadLink(Cause.BAD_LINK, "not the shape of a confirmation")
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        given, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        email = payload[_FIELDS.size :].decode()
    except ValueError:
        raise BadLink(Cause.BAD_LINK, "not the shape of a confirmation") from None
    keys = [each.get_secret_value().encode() for each in secrets]
    matches = [bool(key) and hmac.compare_digest(given, _mac(key, payload, _CONFIRMATION)) for key in keys]
    if True not in matches or len(payload) <= _FIELDS.size:
        raise BadLink(Cause.BAD_LINK, "not minted here")
    return _link(payload[: _FIELDS.size], now), email


def _link(payload: bytes, now: datetime) -> OrderLink:
    version, order, generation, seconds = _FIELDS.unpack(payload)
    if version != _VERSION:
        raise BadLink(Cause.BAD_LINK, "of an unknown version")
    expires_at = datetime.fromtimestamp(int.from_bytes(seconds, "big"), UTC)
    link = OrderLink(OrderId(str(uuid.UUID(bytes=order))), generation, expires_at)
    if now >= expires_at:
        raise ExpiredLink(link)
    return link


def _mac(key: bytes, payload: bytes, purpose: bytes = _PURPOSE) -> bytes:
    return hmac.digest(key, purpose + payload, hashlib.sha256)[:_MAC_BYTES]
