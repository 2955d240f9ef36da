from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from aiobotocore.session import get_session
from pydantic import SecretStr

from bitloot.errors import BitLootError, Cause, Refused, Transient
from delivery.r2 import R2
from delivery.signature import Bucket
from tests.fakes.time import FakeTime

ENDPOINT = "https://account.r2.test"
BODY = b'{"codes": ["AAA-1"]}'


class Wire:
    """Takes requests off the wire just before they leave, and answers them."""

    def __init__(self, *answers):
        self.requests = []
        self._answers = list(answers)

    def __call__(self, request):
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return httpx.Response(status, content=body)


@pytest.fixture
async def storage():
    """Make a bucket whose requests are answered so."""

    def storage(*answers, clock=None, link_age=timedelta(minutes=15)):
        wire = Wire(*answers)
        client = httpx.AsyncClient(transport=httpx.MockTransport(wire))
        bucket = Bucket(ENDPOINT, "bucket", "id", SecretStr("secret"))
        return R2(client, bucket, link_age=link_age, clock=clock or FakeTime()), wire

    return storage


def error(status, code):
    return status, f"<Error><Code>{code}</Code><Message>keys/a.json</Message></Error>".encode()


def headers(request):
    return {
        name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
    }


async def test_an_upload_over_https_is_plain_and_has_its_length(storage):
    r2, wire = storage((200, b""))

    assert await r2.put_new("keys/a.json", BODY) is True
    (request,) = wire.requests
    sent = headers(request)
    assert (request.method, request.url) == ("PUT", f"{ENDPOINT}/bucket/keys/a.json")
    assert sent["content-length"] == str(len(BODY))
    assert len(sent["x-amz-content-sha256"]) == 64
    assert sent["if-none-match"] == "*"
    assert sent["content-type"] == "application/json"
    assert sent["cache-control"] == "no-store"
    assert "/auto/s3/aws4_request" in sent["authorization"]
    assert not {"transfer-encoding", "content-encoding", "x-amz-trailer", "x-amz-sdk-checksum-algorithm"} & set(sent)
    assert not [name for name in sent if name.startswith("x-amz-checksum")]


async def test_the_library_by_itself_would_send_a_trailer():
    """Why we sign by ourselves, and that the test above can fail."""

    class TakenError(Exception):
        """Ends a request just before it leaves."""

    def take(request, **_):
        raise TakenError(request)

    plain = get_session().create_client(
        "s3", endpoint_url=ENDPOINT, region_name="auto", aws_access_key_id="id", aws_secret_access_key="secret"
    )
    async with plain as client:
        client.meta.events.register("before-send.s3", take)
        with pytest.raises(TakenError) as taken:
            await client.put_object(Bucket="bucket", Key="a", Body=BODY)
    sent = headers(taken.value.args[0])

    assert sent["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert "content-length" not in sent


async def test_an_object_that_is_there_already_is_not_written(storage):
    r2, _ = storage(error(412, "PreconditionFailed"))

    assert await r2.put_new("keys/a.json", BODY) is False


@pytest.mark.parametrize(
    ("status", "code", "family", "cause"),
    [
        (401, "Unauthorized", Refused, Cause.AUTHORIZATION),
        (403, "AccessDenied", Refused, Cause.AUTHORIZATION),
        (403, "SignatureDoesNotMatch", Refused, Cause.AUTHORIZATION),
        (403, "NotEntitled", Refused, Cause.AUTHORIZATION),
        (404, "NoSuchBucket", Refused, Cause.NOT_FOUND),
        (400, "EntityTooLarge", Refused, Cause.REJECTED),
        (403, "ObjectLockedByBucketPolicy", Refused, Cause.REJECTED),
        (411, "MissingContentLength", Refused, Cause.REJECTED),
        (501, "NotImplemented", Refused, Cause.REJECTED),
        (400, "BadDigest", Transient, Cause.STORAGE_UNAVAILABLE),
        (400, "IncompleteBody", Transient, Cause.STORAGE_UNAVAILABLE),
        (409, "ConditionalRequestConflict", Transient, Cause.STORAGE_UNAVAILABLE),
        (500, "InternalError", Transient, Cause.STORAGE_UNAVAILABLE),
        (503, "ServiceUnavailable", Transient, Cause.STORAGE_UNAVAILABLE),
        (503, "SlowDown", Transient, Cause.RATE_LIMITED),
        (429, "TooManyRequests", Transient, Cause.RATE_LIMITED),
    ],
)
async def test_what_an_answer_means(storage, status, code, family, cause):
    r2, wire = storage(error(status, code))

    with pytest.raises(BitLootError) as failure:
        await r2.put_new("keys/a.json", BODY)

    assert (type(failure.value), failure.value.cause) == (family, cause)
    assert failure.value.detail == f"storage answered {status} {code}"  # and nothing of what the answer quotes
    assert getattr(failure.value, "retry_after", None) == (1 if cause is Cause.RATE_LIMITED else None)
    assert len(wire.requests) == 1  # the order's durable retry waits, not this process


@pytest.mark.parametrize(
    "body", [b"", b"<html>teapot</html>", b"<Code>" + 65 * b"A" + b"</Code>", b"<Code>a code</Code>", b"\xff"]
)
async def test_an_answer_without_a_code_is_told_by_its_status(storage, body):
    r2, _ = storage((418, body))

    with pytest.raises(Refused) as refused:
        await r2.delete("keys/a.json")
    assert (refused.value.cause, refused.value.detail) == (Cause.REJECTED, "storage answered 418")


async def test_a_redirect_is_not_followed(storage):
    r2, wire = storage((307, b""))

    with pytest.raises(Refused):
        await r2.put_new("keys/a.json", BODY)
    assert len(wire.requests) == 1


@pytest.mark.parametrize("trouble", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
async def test_no_answer_is_transient(storage, trouble):
    r2, wire = storage(trouble(ENDPOINT), trouble(ENDPOINT))

    for call in (r2.put_new("keys/a.json", BODY), r2.get("keys/a.json")):
        with pytest.raises(Transient) as failure:
            await call
        assert failure.value.cause is Cause.STORAGE_UNAVAILABLE
    assert len(wire.requests) == 2


async def test_an_object_is_read(storage):
    r2, wire = storage((200, BODY))

    assert await r2.get("keys/a.json") == BODY
    assert "x-amz-checksum-mode" not in headers(wire.requests[0])


async def test_a_link_ends_after_its_time_and_is_made_offline(storage):
    time = FakeTime(datetime.now(UTC))
    r2, wire = storage(clock=time)
    link = await r2.sign("keys/a.json")
    parts = urlsplit(link.url)
    query = parse_qs(parts.query)

    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{ENDPOINT}/bucket/keys/a.json"
    assert query["X-Amz-Expires"] == ["900"]
    assert query["X-Amz-Credential"][0].endswith("/auto/s3/aws4_request")
    assert link.expires_at == time() + timedelta(minutes=15)
    assert wire.requests == []


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=7, seconds=1)])
async def test_links_that_would_never_open_are_not_made(storage, age):
    with pytest.raises(ValueError, match="7 days"):
        storage(link_age=age)
