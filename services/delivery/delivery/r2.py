"""Object storage: Cloudflare R2, or anything that speaks S3 with path-style addresses.

https://developers.cloudflare.com/r2/api/s3/api/. The requests are signed by botocore and sent by our own HTTP client: a
put to one known bucket is one request, and a client of the library prepares and signs it for longer than it takes.
"""

import re
from datetime import timedelta
from typing import Final

import httpx

from bitloot import http_client
from bitloot.errors import BitLootError, Cause, Refused, Transient
from delivery.calls import measured
from delivery.clock import Clock
from delivery.mail import SignedLink
from delivery.signature import Bucket, Signed
from delivery.storing import JSON

MAX_LINK_AGE: Final = timedelta(days=7)
"""R2's bound. The library signs longer ones, which then never open."""

_AT_ONCE: Final = 64
_TIMEOUT: Final = httpx.Timeout(10.0, connect=3.0, pool=3.0)
_PROVIDER = "r2"
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")
_REFUSED: Final = {
    "Unauthorized": Cause.AUTHORIZATION,  # credentials, or a checksum trailer that R2 does not take
    "AccessDenied": Cause.AUTHORIZATION,
    "InvalidAccessKeyId": Cause.AUTHORIZATION,
    "NotEntitled": Cause.AUTHORIZATION,
    "SignatureDoesNotMatch": Cause.AUTHORIZATION,
    "NoSuchBucket": Cause.NOT_FOUND,
    "NoSuchKey": Cause.NOT_FOUND,
    "NotImplemented": Cause.REJECTED,  # 501, but not for a while
}
_DAMAGED: Final = frozenset(
    {"BadDigest", "InvalidDigest", "IncompleteBody", "RequestTimeout"}
)  # 400, yet worth a retry


def open_client() -> httpx.AsyncClient:
    """Return a client for `R2`; enter it with `async with`.

    It tries once: the order's own durable retry does the rest.
    """
    return http_client.open_client(
        at_once=_AT_ONCE,
        timeout=_TIMEOUT,
        headers={"Accept-Encoding": "identity", "User-Agent": "bitloot-delivery"},
    )


class R2:
    """One bucket: stores objects once, reads them, signs links to them."""

    def __init__(self, client: httpx.AsyncClient, bucket: Bucket, *, link_age: timedelta, clock: Clock) -> None:
        if not timedelta(seconds=1) <= link_age <= MAX_LINK_AGE:
            raise ValueError("a signed link lives between a second and 7 days")
        self._client = client
        self._bucket = bucket
        self._link_age = link_age
        self._clock = clock

    async def put_new(self, object_key: str, body: bytes, content_type: str = JSON) -> bool:
        """Write an object unless there is one of that name; tell whether it was written.

        Raises `Transient` or `Refused`. A lost answer is `Transient` too: the next try finds the object.
        """
        headers = {"Content-Type": content_type, "Cache-Control": "no-store", "If-None-Match": "*"}
        with measured(_PROVIDER, "put"):
            answer = await self._answer(self._bucket.request("PUT", object_key, body=body, headers=headers))
            if answer.status_code == 412:
                return False
            _raise_unless_done(answer)
        return True

    async def get(self, object_key: str) -> bytes:
        """Return an object's bytes. Raises `Transient` or `Refused`."""
        with measured(_PROVIDER, "get"):
            answer = await self._answer(self._bucket.request("GET", object_key))
            _raise_unless_done(answer)
        return answer.content

    async def delete(self, object_key: str) -> None:
        """Delete an object; fine when there is none. Raises `Transient` or `Refused`."""
        with measured(_PROVIDER, "delete"):
            _raise_unless_done(await self._answer(self._bucket.request("DELETE", object_key)))

    async def sign(self, object_key: str) -> SignedLink:
        """Return a fresh link to an object; made offline, so the object may be missing."""
        expires_at = self._clock() + self._link_age
        return SignedLink(self._bucket.link(object_key, self._link_age), expires_at)

    async def _answer(self, request: Signed) -> httpx.Response:
        try:
            return await self._client.request(
                request.method, request.url, content=request.body, headers=request.headers
            )
        except httpx.RequestError as error:
            raise Transient(Cause.STORAGE_UNAVAILABLE, f"storage: {type(error).__name__}") from error


def _raise_unless_done(answer: httpx.Response) -> None:
    """Raise what an error answer means. It may quote the request: only code and status are kept."""
    if answer.is_success:
        return
    status, code = answer.status_code, _code(answer.content)
    raise _refusal(status, code, f"storage answered {status} {code}".rstrip())


def _code(body: bytes) -> str:
    found = _CODE.search(body)
    return found[1].decode() if found else ""


def _refusal(status: int, code: str, detail: str) -> BitLootError:
    if cause := _REFUSED.get(code):
        return Refused(cause, detail)
    if status == 429 or code in {"SlowDown", "TooManyRequests"}:
        return Transient(Cause.RATE_LIMITED, detail, retry_after=1.0)  # R2: one write per second to one key
    if status >= 500 or status in {408, 409} or code in _DAMAGED:
        return Transient(Cause.STORAGE_UNAVAILABLE, detail)
    return Refused(Cause.REJECTED, detail)
