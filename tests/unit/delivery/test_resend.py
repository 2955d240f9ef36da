import json

import httpx
import pytest
from pydantic import SecretStr

from bitloot.errors import Cause, Refused, Transient, Unknown
from bitloot.ids import MessageId
from delivery.mail import Envelope, Links, SignedLink, render
from delivery.pace import Pace
from delivery.resend import Resend, open_client, payload
from tests.fakes.time import FakeTime
from tests.unit.delivery.samples import ORDER, mail_effect

SENDER = "BitLoot <orders@bitloot.test>"
TIME = FakeTime()
MESSAGE = render(
    mail_effect(items=(("Ключ “Game”", 1),)),
    MessageId(f"{ORDER}/mail/1"),
    Links("https://shop.test/o/t", SignedLink("https://storage.test/k?X-Amz-Signature=s", TIME())),
    TIME(),
    Envelope(SENDER, "buyer@bitloot.test"),
)


class RecordingPace(Pace):
    """Remembers what it was told."""

    def __init__(self):
        super().__init__(1000)
        self.holds = []

    def hold(self, duration):
        self.holds.append(duration)


class Api:
    """Answers every request with `answer`, or raises it; `requests` holds what came."""

    def __init__(self, answer):
        self.requests = []
        self.pace = RecordingPace()
        self._answer = answer

    def __call__(self, request):
        self.requests.append(request)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def send(self, message=MESSAGE):
        client = open_client("https://api.resend.test/v0", SecretStr("re_secret"))
        client._transport = httpx.MockTransport(self)
        async with client:
            return await Resend(client, pace=self.pace).send(message)

    async def failure(self):
        with pytest.raises((Transient, Refused, Unknown)) as failure:
            await self.send()
        return failure.value


def problem(status, name="", **headers):
    body = {"statusCode": status, "name": name, "message": "buyer@bitloot.test is wrong"}
    return httpx.Response(status, json=body, headers=headers)


async def test_a_message_is_posted_under_its_id():
    api = Api(httpx.Response(200, json={"id": "5f1c", "object": "email"}))

    assert await api.send() == "5f1c"
    (request,) = api.requests
    assert (request.method, str(request.url)) == ("POST", "https://api.resend.test/v0/emails")
    assert request.headers["Authorization"] == "Bearer re_secret"
    assert request.headers["Idempotency-Key"] == f"{ORDER}/mail/1"
    assert request.headers["User-Agent"].startswith("bitloot-delivery/")
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.content) == {
        "from": SENDER,
        "to": ["buyer@bitloot.test"],
        "subject": "Your BitLoot Order",
        "html": MESSAGE.html,
        "text": MESSAGE.text,
        "tags": [
            {"name": "order_id", "value": ORDER},
            {"name": "kind", "value": "keys"},
            {"name": "message", "value": "mail-1"},
        ],
    }


def test_the_same_message_is_the_same_bytes_and_tags_name_no_person():
    body = payload(MESSAGE)

    assert body == payload(MESSAGE)
    tags = json.loads(body)["tags"]
    assert "@" not in json.dumps(tags)
    assert all(part.replace("-", "").replace("_", "").isalnum() for tag in tags for part in tag.values())


@pytest.mark.parametrize(
    ("answer", "family", "cause", "retry_after"),
    [
        (problem(400, "validation_error"), Refused, Cause.REJECTED, None),
        (problem(400, "invalid_idempotency_key"), Refused, Cause.REJECTED, None),
        (problem(401, "missing_api_key"), Refused, Cause.AUTHORIZATION, None),
        (problem(401, "restricted_api_key"), Refused, Cause.AUTHORIZATION, None),
        (problem(403, "invalid_api_key"), Refused, Cause.AUTHORIZATION, None),
        (problem(403, "suspended_api_key"), Refused, Cause.AUTHORIZATION, None),
        (problem(403, "validation_error"), Refused, Cause.AUTHORIZATION, None),
        (problem(404, "not_found"), Refused, Cause.REJECTED, None),
        (problem(405, "method_not_allowed"), Refused, Cause.REJECTED, None),
        (problem(408, ""), Unknown, Cause.TIMEOUT, None),
        (problem(409, "concurrent_idempotent_requests"), Unknown, Cause.NOT_READY, None),
        (problem(409, "resource_locked"), Transient, Cause.NOT_READY, 1),
        (problem(409, "invalid_idempotent_request"), Refused, Cause.CONFLICT, None),
        (problem(422, "missing_required_field"), Refused, Cause.REJECTED, None),
        (problem(422, "invalid_parameter"), Refused, Cause.REJECTED, None),
        (problem(429, "rate_limit_exceeded", **{"retry-after": "7"}), Transient, Cause.RATE_LIMITED, 7),
        (problem(429, "rate_limit_exceeded"), Transient, Cause.RATE_LIMITED, 1),
        (problem(429, "rate_limit_exceeded", **{"retry-after": "soon"}), Transient, Cause.RATE_LIMITED, 1),
        (problem(429, "daily_quota_exceeded"), Transient, Cause.QUOTA_EXCEEDED, 3600),
        (problem(429, "monthly_quota_exceeded", **{"retry-after": "86400"}), Transient, Cause.QUOTA_EXCEEDED, 86400),
        (problem(500, "application_error"), Unknown, Cause.PROVIDER_UNAVAILABLE, None),
        (problem(503, "service_unavailable"), Unknown, Cause.PROVIDER_UNAVAILABLE, None),
        (httpx.Response(502, html="<html>Bad gateway</html>"), Unknown, Cause.PROVIDER_UNAVAILABLE, None),
        (httpx.Response(302, headers={"Location": "https://elsewhere.test"}), Unknown, Cause.BAD_ANSWER, None),
        (httpx.Response(200, text='{"id": '), Unknown, Cause.BAD_ANSWER, None),
        (httpx.Response(200, json={"id": ""}), Unknown, Cause.BAD_ANSWER, None),
        (httpx.Response(200, json=[]), Unknown, Cause.BAD_ANSWER, None),
        (httpx.Response(400, json=["no", "object"]), Refused, Cause.REJECTED, None),
        (httpx.ConnectError("refused"), Transient, Cause.PROVIDER_UNAVAILABLE, None),
        (httpx.ConnectTimeout("slow"), Transient, Cause.PROVIDER_UNAVAILABLE, None),
        (httpx.PoolTimeout("busy"), Transient, Cause.PROVIDER_UNAVAILABLE, None),
        (httpx.ReadTimeout("slow"), Unknown, Cause.TIMEOUT, None),
        (httpx.WriteTimeout("slow"), Unknown, Cause.TIMEOUT, None),
        (httpx.ReadError("reset"), Unknown, Cause.PROVIDER_UNAVAILABLE, None),
        (httpx.RemoteProtocolError("half an answer"), Unknown, Cause.PROVIDER_UNAVAILABLE, None),
    ],
    ids=lambda each: None if not isinstance(each, httpx.Response | Exception) else _name(each),
)
async def test_what_an_answer_means(answer, family, cause, retry_after):
    failure = await Api(answer).failure()

    assert (type(failure), failure.cause) == (family, cause)
    assert getattr(failure, "retry_after", None) == retry_after
    assert "buyer@" not in str(failure)


def _name(answer):
    return type(answer).__name__ if isinstance(answer, Exception) else f"{answer.status_code} {answer.text[:60]}"


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        (problem(429, "rate_limit_exceeded", **{"retry-after": "7"}), [7]),
        (problem(429, "rate_limit_exceeded"), [1]),
        (problem(429, "daily_quota_exceeded", **{"retry-after": "7200"}), []),
        (problem(500), []),
    ],
)
async def test_a_full_rate_holds_all_mails_and_a_spent_quota_none(answer, holds):
    api = Api(answer)
    await api.failure()

    assert api.pace.holds == holds


@pytest.mark.parametrize("message_id", ["", "x" * 257])
async def test_a_message_id_that_is_no_idempotency_key_is_never_sent(message_id):
    api = Api(httpx.Response(200, json={"id": "5f1c"}))
    link = SignedLink("https://s.test", TIME())
    message = render(
        mail_effect(), message_id, Links("https://p.test", link), TIME(), Envelope(SENDER, "buyer@bitloot.test")
    )

    with pytest.raises(Refused):
        await api.send(message)

    assert api.requests == []
