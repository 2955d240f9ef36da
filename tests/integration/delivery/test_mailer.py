"""What every mailer does: the one in memory and Resend's adapter against the sandbox."""

from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from bitloot.contracts.events import MailKind
from bitloot.errors import BitLootError, Cause, Refused, Transient, Unknown
from bitloot.ids import MessageId, order_id
from delivery.mail import Message
from delivery.pace import Pace
from delivery.resend import Resend, open_client
from tests.fakes.mailer import FakeMailer
from tests.integration.delivery.conftest import open_mailer

ORDER = order_id("mailer-suite")
MESSAGE = Message(
    id=MessageId(f"{ORDER}/mail/1"),
    order_id=ORDER,
    kind=MailKind.KEYS,
    sender="BitLoot <orders@bitloot.test>",
    recipient="buyer@bitloot.test",
    subject="Your BitLoot Order",
    html="<p>“Hi”</p>",
    text="“Hi”\n",
    link_expires_at=datetime(2026, 3, 1, 12, 15, tzinfo=UTC),
    rendered_at=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
)


class InMemory:
    """The fake with its troubles on demand."""

    def __init__(self):
        self.mailer = FakeMailer()

    async def refuse_next(self, error):
        self.mailer.refusals = [error]

    async def lose_next_answer(self):
        self.mailer.lost_answers = 1

    async def texts(self):
        return [each.text for each in self.mailer.mailbox]


class AtResend:
    """The adapter, with the sandbox's troubles on demand."""

    def __init__(self, sandbox, mailer):
        self.sandbox = sandbox
        self.mailer = mailer

    async def refuse_next(self, error):
        status = {Transient: 429, Refused: 422}[type(error)]
        await self.sandbox.fail({"provider": "resend", "call": "send", "kind": "error", "status": status, "count": 1})

    async def lose_next_answer(self):
        await self.sandbox.fail({"provider": "resend", "call": "send", "kind": "timeout_after", "delay": 0, "count": 1})

    async def texts(self):
        return [each["text"] for each in await self.sandbox.mails()]


@pytest.fixture(params=["memory", "resend"])
async def world(request, sandbox):
    if request.param == "memory":
        yield InMemory()
    else:
        async with open_mailer(sandbox) as mailer:
            yield AtResend(sandbox, mailer)


async def test_a_message_arrives_once_however_often_it_is_sent(world):
    first = await world.mailer.send(MESSAGE)
    second = await world.mailer.send(MESSAGE)

    assert first == second
    assert await world.texts() == ["“Hi”\n"]


async def test_messages_of_two_ids_are_two(world):
    first = await world.mailer.send(MESSAGE)
    second = await world.mailer.send(replace(MESSAGE, id=MessageId(f"{MESSAGE.id}.2")))

    assert first != second
    assert len(await world.texts()) == 2


async def test_another_message_under_the_same_id_is_a_conflict(world):
    await world.mailer.send(MESSAGE)
    with pytest.raises(Refused) as refused:
        await world.mailer.send(replace(MESSAGE, text="another"))

    assert refused.value.cause is Cause.CONFLICT
    assert len(await world.texts()) == 1


async def test_a_lost_answer_is_unknown_and_the_repeat_gets_the_first_answer(world):
    await world.lose_next_answer()
    with pytest.raises(Unknown):
        await world.mailer.send(MESSAGE)

    assert len(await world.texts()) == 1
    assert await world.mailer.send(MESSAGE)
    assert len(await world.texts()) == 1


@pytest.mark.parametrize("error", [Transient(Cause.RATE_LIMITED, "not now"), Refused(Cause.REJECTED, "never")])
async def test_what_is_refused_has_not_arrived(world, error):
    await world.refuse_next(error)
    with pytest.raises(BitLootError) as failure:
        await world.mailer.send(MESSAGE)

    assert (type(failure.value), failure.value.cause) == (type(error), error.cause)
    assert await world.texts() == []
    await world.mailer.send(MESSAGE)
    assert len(await world.texts()) == 1


# --- What only a server can show ------------------------------------------------------------------


async def test_the_mail_as_it_arrives(sandbox):
    async with open_mailer(sandbox) as mailer:
        provider_id = await mailer.send(MESSAGE)
    (mail,) = await sandbox.mails("buyer@bitloot.test")

    assert mail["id"] == provider_id
    assert mail["subject"] == "Your BitLoot Order"
    assert mail["from"] == "BitLoot <orders@bitloot.test>"
    assert (mail["html"], mail["text"]) == (MESSAGE.html, MESSAGE.text)


@pytest.mark.parametrize(
    ("rule", "family"),
    [
        ({"kind": "timeout_before", "delay": 0}, Unknown),
        ({"kind": "timeout_after", "delay": 0}, Unknown),
        ({"kind": "error_after", "status": 500}, Unknown),
        ({"kind": "error", "status": 503}, Unknown),
        ({"kind": "malformed"}, Unknown),
        ({"kind": "error", "status": 409, "code": "concurrent_idempotent_requests"}, Unknown),
        ({"kind": "error", "status": 429, "code": "monthly_quota_exceeded"}, Transient),
        ({"kind": "error", "status": 401}, Refused),
    ],
)
async def test_whatever_goes_wrong_the_repeat_makes_it_one_mail(sandbox, rule, family):
    await sandbox.fail({"provider": "resend", "call": "send", "count": 1, **rule})
    async with open_mailer(sandbox) as mailer:
        with pytest.raises(BitLootError) as failure:
            await mailer.send(MESSAGE)
        assert type(failure.value) is family
        await mailer.send(MESSAGE)

    assert len(await sandbox.mails()) == 1


async def test_a_wrong_key_is_refused(sandbox):
    async with open_client(f"{sandbox.url}/resend", type(sandbox.settings.resend_api_key)("re_wrong")) as client:
        with pytest.raises(Refused) as refused:
            await Resend(client, pace=Pace(1000)).send(MESSAGE)

    assert refused.value.cause is Cause.AUTHORIZATION


async def test_nobody_there_means_nothing_was_sent(sandbox):
    async with open_client("http://127.0.0.1:9", sandbox.settings.resend_api_key) as client:
        with pytest.raises(Transient) as failure:
            await Resend(client, pace=Pace(1000)).send(MESSAGE)

    assert failure.value.cause is Cause.PROVIDER_UNAVAILABLE


async def test_a_slow_provider_is_unknown(sandbox):
    await sandbox.fail({"provider": "resend", "call": "send", "kind": "slow", "delay": 5, "count": 1})
    async with open_client(f"{sandbox.url}/resend", sandbox.settings.resend_api_key) as client:
        client.timeout = httpx.Timeout(0.2)
        with pytest.raises(Unknown) as failure:
            await Resend(client, pace=Pace(1000)).send(MESSAGE)

    assert failure.value.cause is Cause.TIMEOUT


async def test_the_team_s_limit_is_learned_from_the_answers(sandbox):
    await sandbox.set(resendRateLimit=50)
    pace = Pace(2)
    async with open_client(f"{sandbox.url}/resend", sandbox.settings.resend_api_key) as client:
        await Resend(client, pace=pace).send(MESSAGE)

    assert pace.per_second == 50
