"""Requests to one bucket, signed by botocore: all of the S3 protocol that a store of small objects needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from pydantic import SecretStr

_REGION: Final = "auto"
"""R2's only one: https://developers.cloudflare.com/r2/api/s3/api/#bucket-region."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request as it has to be sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Bucket:
    """Addresses a bucket by its path, and signs for it (Signature Version 4)."""

    def __init__(self, endpoint_url: str, name: str, access_key: str, secret_key: SecretStr) -> None:
        self._address = f"{endpoint_url.rstrip('/')}/{quote(name, safe='')}"
        self._credentials = Credentials(access_key, secret_key.get_secret_value())

    def request(
        self, method: str, object_key: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Signed:
        """Return a request whose headers and body are signed.

        The body goes as it is, with its length and its hash: a client of the library may send it in chunks with a
        checksum behind, which R2 answers with 501 or a misleading 401.
        """
        url = self._url(object_key)
        request = AWSRequest(method, url, data=body, headers=headers)
        S3SigV4Auth(self._credentials, "s3", _REGION).add_auth(request)
        return Signed(method, url, dict(request.headers.items()), body)

    def link(self, object_key: str, age: timedelta) -> str:
        """Return a link that opens an object for whoever holds it."""
        request = AWSRequest("GET", self._url(object_key))
        S3SigV4QueryAuth(self._credentials, "s3", _REGION, expires=int(age.total_seconds())).add_auth(request)
        return str(request.url)

    def _url(self, object_key: str) -> str:
        return f"{self._address}/{quote(object_key, safe='/~')}"
