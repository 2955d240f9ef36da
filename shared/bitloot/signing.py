"""Who sent this: signatures and tokens of what comes in, compared in constant time.

Every check takes all secrets that are accepted now, the current one first, so that secrets can be rotated.
An empty secret accepts nothing.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, SecretStr
from pydantic_settings import NoDecode

from bitloot.canonical_json import ParsedJson, parse
from bitloot.errors import Malformed
from bitloot.settings import Secrets

SVIX_TOLERANCE = timedelta(minutes=5)

_SHA512_HEX = re.compile(r"[0-9a-fA-F]{128}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SVIX_NAMES = ("svix", "webhook")  # the second are the names of the Standard Webhooks specification


class Refusal(StrEnum):
    """Why a notification was not accepted; a metric label."""

    MISSING_HEADER = "missing_header"  # no signature came
    MALFORMED_HEADER = "malformed_header"  # not the shape of a signature
    NO_SECRET = "no_secret"  # noqa: S105 - a reason: nothing is configured to check with
    NOT_JSON = "not_json"  # the body cannot be read
    NOT_AN_OBJECT = "not_an_object"  # the body is JSON, but no object
    STALE = "stale"  # signed too long ago, or in the future
    MISMATCH = "mismatch"  # signed with another secret, or changed on the way


class Form(StrEnum):
    """What the signature was made over."""

    CANONICAL = "canonical"  # the sorted text of the body
    RAW = "raw"  # the bytes as they came


@dataclass(frozen=True, slots=True)
class Verdict:
    """Accepted (`refusal` is None) with the form and the index of the secret that matched, or refused.

    `parsed` is the body that was verified: act on it and on no other reading of the bytes.
    """

    refusal: Refusal | None = None
    form: Form | None = None
    secret: int | None = None
    parsed: ParsedJson | None = None

    @property
    def accepted(self) -> bool:
        """Whether the sender has proven who it is."""
        return self.refusal is None

    @property
    def matched(self) -> str:
        """Which secret and form matched, as `current/canonical`; empty when refused."""
        if self.secret is None:
            return ""
        return f"{'previous' if self.secret else 'current'}/{self.form}"


def nowpayments_verify(raw: bytes, header: str | None, secrets: Sequence[SecretStr]) -> Verdict:
    """Check the `x-nowpayments-sig` of a body: HMAC-SHA512 of its canonical JSON, or else of its bytes.

    The vendor signs the first; the second is what its bodies, sorted as they are, amount to, and just as
    unforgeable.
    """
    keys = [each.get_secret_value().strip().encode() for each in secrets]
    signature = (header or "").strip()
    if refusal := _refuse_unread(signature, keys):
        return Verdict(refusal)
    try:
        parsed = parse(raw)
    except Malformed:
        return Verdict(Refusal.NOT_JSON)
    if not isinstance(parsed.value, dict):
        return Verdict(Refusal.NOT_AN_OBJECT, parsed=parsed)
    given = bytes.fromhex(signature)
    for form, message in ((Form.CANONICAL, parsed.canonical), (Form.RAW, raw)):
        index = _first_match(given, (key and hmac.digest(key, message, hashlib.sha512) for key in keys))
        if index is not None:
            return Verdict(form=form, secret=index, parsed=parsed)
    return Verdict(Refusal.MISMATCH, parsed=parsed)


def _refuse_unread(signature: str, keys: Sequence[bytes]) -> Refusal | None:
    """Refuse what can be refused without reading the body."""
    if not signature:
        return Refusal.MISSING_HEADER
    if not _SHA512_HEX.fullmatch(signature):
        return Refusal.MALFORMED_HEADER
    return None if any(keys) else Refusal.NO_SECRET


def nowpayments_sign(message: bytes, secret: SecretStr) -> str:
    """Return the header's value for canonical JSON, as `parse(...).canonical` gives it."""
    return hmac.digest(secret.get_secret_value().strip().encode(), message, hashlib.sha512).hex()


def svix_verify(
    raw: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[SecretStr],
    now: datetime,
    tolerance: timedelta = SVIX_TOLERANCE,
) -> Verdict:
    """Check the signature of a Svix webhook (Resend), whatever case its headers have. `now` is aware.

    The id is part of what is signed, so it may be trusted to tell a repeat; nothing else is promised about
    the body: `parsed` is None.
    """
    message_id, timestamp, signatures = _svix_headers(headers)
    if not message_id or not timestamp or not signatures:
        return Verdict(Refusal.MISSING_HEADER)
    given = list(_svix_signatures(signatures))
    if not given or not _TIMESTAMP.fullmatch(timestamp):
        return Verdict(Refusal.MALFORMED_HEADER)
    keys = [_svix_key(each) for each in secrets]
    if not any(keys):
        return Verdict(Refusal.NO_SECRET)
    if abs(now.timestamp() - int(timestamp)) > tolerance.total_seconds():
        return Verdict(Refusal.STALE)
    message = _svix_message(message_id, timestamp, raw)
    for each in given:
        index = _first_match(each, (key and hmac.digest(key, message, hashlib.sha256) for key in keys))
        if index is not None:
            return Verdict(form=Form.RAW, secret=index)
    return Verdict(Refusal.MISMATCH)


def svix_message_id(headers: Mapping[str, str]) -> str:
    """Return the id that `svix_verify` takes the signature to be over; empty without one."""
    return _svix_headers(headers)[0]


def svix_sign(raw: bytes, message_id: str, timestamp: int, secret: SecretStr) -> str:
    """Return one entry of the `svix-signature` header."""
    message = _svix_message(message_id, str(timestamp), raw)
    return f"v1,{base64.b64encode(hmac.digest(_svix_key(secret), message, hashlib.sha256)).decode()}"


def token_equal(given: str | None, secrets: Iterable[SecretStr]) -> bool:
    """Tell whether a token is one of the secrets; the time taken tells neither which nor how nearly."""
    if not given:
        return False
    hashed = _hash(given)
    expected = [_hash(value) if (value := each.get_secret_value()) else b"" for each in secrets]
    return _first_match(hashed, expected) is not None


def bearer_token(authorization: str | None) -> str | None:
    """Return the token of an `Authorization` header, None when it has another scheme or is absent."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _hash(text: str) -> bytes:
    # aiohttp hands on bytes that are not UTF-8 as surrogates.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _first_match(given: bytes, expected: Iterable[bytes]) -> int | None:
    """Compare with every candidate, empty ones never matching; return the index of the first that is equal."""
    matches = [bool(each) and hmac.compare_digest(given, each) for each in expected]
    return matches.index(True) if True in matches else None


def _svix_headers(headers: Mapping[str, str]) -> tuple[str, ...]:
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    return tuple(
        next((value for each in _SVIX_NAMES if (value := lower.get(f"{each}-{part}"))), "")
        for part in ("id", "timestamp", "signature")
    )


def _svix_signatures(header: str) -> Iterable[bytes]:
    """Return the digests of the `v1` entries; other versions and what has no shape are skipped."""
    for entry in header.split():
        version, _, encoded = entry.partition(",")
        if version != "v1" or not encoded:
            continue
        try:
            yield base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            continue


def _svix_message(message_id: str, timestamp: str, raw: bytes) -> bytes:
    return b".".join((message_id.encode("utf-8", "surrogateescape"), timestamp.encode(), raw))


def _svix_key(secret: SecretStr) -> bytes:
    """Decode `whsec_<base64>`, padding optional; empty, which accepts nothing, when it is no such secret."""
    encoded = secret.get_secret_value().strip().removeprefix("whsec_").rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _check_svix(values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not all(_svix_key(each) for each in values):
        raise ValueError("it is not written as whsec_<base64>")
    return values


SvixSecrets = Annotated[Secrets, NoDecode, AfterValidator(_check_svix)]
"""A setting for `svix_verify`: comma-separated."""
