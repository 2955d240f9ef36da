"""Object storage: Cloudflare R2, or anything that speaks S3 with path-style addresses.

One factory makes the client, because its settings matter: https://developers.cloudflare.com/r2/api/s3/api/.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from bitloot.errors import BitLootError, Cause, Refused, Transient
from delivery.calls import measured
from delivery.clock import Clock
from delivery.mail import SignedLink
from delivery.storing import JSON

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

MAX_LINK_AGE: Final = timedelta(days=7)
"""R2's bound. The client library signs longer ones, which then never open."""

_PROVIDER = "r2"
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


@asynccontextmanager
async def open_client(endpoint_url: str, access_key: str, secret_key: SecretStr) -> "AsyncIterator[S3Client]":
    """Open a client for R2.

    Checksums only when required: otherwise uploads over https carry a trailer without Content-Length, which
    R2 answers with 501 or a misleading 401. Over http the fault would not show.
    """
    config = AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=3,
        read_timeout=10,
        # The order's own durable retry does it; a connection that was idle too long is renewed by aiohttp.
        retries={"total_max_attempts": 1},
        proxies={},  # as for our other clients, the environment does not count: see bitloot.http_client
    )
    async with get_session().create_client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="auto",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key.get_secret_value(),
        config=config,
    ) as client:
        yield client


class R2:
    """One bucket: stores objects once, reads them, signs links to them."""

    def __init__(self, client: "S3Client", bucket: str, *, link_age: timedelta, clock: Clock) -> None:
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
        with measured(_PROVIDER, "put"):
            try:
                await self._client.put_object(
                    Bucket=self._bucket,
                    Key=object_key,
                    Body=body,
                    ContentType=content_type,
                    CacheControl="no-store",
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if _status(error) == 412:
                    return False
                raise _translate(error) from error
            except (BotoCoreError, OSError) as error:
                raise _unreachable(error) from error
        return True

    async def get(self, object_key: str) -> bytes:
        """Return an object's bytes. Raises `Transient` or `Refused`."""
        with measured(_PROVIDER, "get"):
            try:
                answer = await self._client.get_object(Bucket=self._bucket, Key=object_key)
                async with answer["Body"] as body:
                    return await body.read()
            except ClientError as error:
                raise _translate(error) from error
            except (BotoCoreError, OSError) as error:
                raise _unreachable(error) from error

    async def delete(self, object_key: str) -> None:
        """Delete an object; fine when there is none. Raises `Transient` or `Refused`."""
        with measured(_PROVIDER, "delete"):
            try:
                await self._client.delete_object(Bucket=self._bucket, Key=object_key)
            except ClientError as error:
                raise _translate(error) from error
            except (BotoCoreError, OSError) as error:
                raise _unreachable(error) from error

    async def sign(self, object_key: str) -> SignedLink:
        """Return a fresh link to an object; made offline, so the object may be missing."""
        expires_at = self._clock() + self._link_age
        url = await self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket, "Key": object_key},
            ExpiresIn=int(self._link_age.total_seconds()),
        )
        return SignedLink(url, expires_at)


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _translate(error: ClientError) -> BitLootError:
    """Return what an error answer means. Its message may quote the request: only code and status are kept."""
    status, code = _status(error), error.response.get("Error", {}).get("Code", "")
    detail = f"storage answered {status} {code}".rstrip()
    if cause := _REFUSED.get(code):
        return Refused(cause, detail)
    if status == 429 or code in {"SlowDown", "TooManyRequests"}:
        return Transient(Cause.RATE_LIMITED, detail, retry_after=1.0)  # R2: one write per second to one key
    if status >= 500 or status in {408, 409} or code in _DAMAGED:
        return Transient(Cause.STORAGE_UNAVAILABLE, detail)
    return Refused(Cause.REJECTED, detail)


def _unreachable(error: Exception) -> Transient:
    return Transient(Cause.STORAGE_UNAVAILABLE, f"storage: {type(error).__name__}")
