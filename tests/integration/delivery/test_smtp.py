"""Mail by SMTP, to a real server on loopback."""

import asyncio
import email
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from email.policy import default

import pytest
from aiosmtpd import smtp
from pydantic import SecretStr

from bitloot.errors import BitLootError, Cause, Refused, Transient, Unknown
from delivery.mail import Envelope, Links, SignedLink, render
from delivery.pace import MAX_WAIT_SECONDS
from delivery.resend import Resend
from delivery.smtp import PATIENCE, Smtp, server_of
from delivery.worker import mail_within
from tests.fakes.time import FakeTime
from tests.unit.delivery.samples import ORDER, mail_effect

TIME = FakeTime()
LINKS = Links("https://shop.test/o/t", SignedLink("https://storage.test/k?X-Amz-Signature=s", TIME()))
MESSAGE = render(
    mail_effect(items=(("Ключ “Game”", 1),)),
    f"{ORDER}/mail/1",
    LINKS,
    TIME(),
    Envelope("BitLoot <orders@bitloot.test>", "buyer@bitloot.test"),
)


class Server:
    """A mail server: `mailbox` is what it took; `answers` are what it says at a step instead of yes."""

    def __init__(self):
        self.mailbox = []
        self.answers = {}
        self.logins = []
        self.login_answer = None
        self.drops_after_data = 0
        self.url = SecretStr("")

    async def handle_MAIL(self, _server, _session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802 - aiosmtpd's name
        envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, server, _session, envelope):  # noqa: N802 - aiosmtpd's name
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.mailbox.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        if self.drops_after_data:
            self.drops_after_data -= 1
            server.transport.close()
        return "250 queued"

    def login(self, _server, _session, _envelope, _mechanism, data):
        self.logins.append((data.login, data.password))
        return self.login_answer or smtp.AuthResult(success=data.password == b"right", handled=False)

    @asynccontextmanager
    async def open(self, **options):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: smtp.SMTP(self, enable_SMTPUTF8=True, hostname="mx.test", loop=loop, **options), "127.0.0.1", 0
        )
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            self.url = SecretStr(f"smtp+plain://127.0.0.1:{self.port}")
            yield self


@pytest.fixture
async def server():
    async with Server().open() as server:
        yield server


async def fails(server, message=MESSAGE, url=None):
    with pytest.raises(BitLootError) as failure:
        await Smtp(server_of(url or server.url)).send(message)
    return type(failure.value), failure.value.cause


async def test_the_mail_as_it_arrives(server):
    provider_id = await Smtp(server_of(server.url)).send(MESSAGE)
    ((sender, recipients, content),) = server.mailbox
    mail = email.message_from_bytes(content, policy=default)

    assert (sender, recipients) == ("orders@bitloot.test", ["buyer@bitloot.test"])
    assert (mail["From"], mail["To"], mail["Subject"]) == (
        "BitLoot <orders@bitloot.test>",
        "buyer@bitloot.test",
        "Your BitLoot Order",
    )
    assert mail["Message-ID"] == provider_id == f"<{ORDER}.mail.1@bitloot.test>"
    assert mail.get_body(("plain",)).get_content().replace("\r\n", "\n") == MESSAGE.text
    assert mail.get_body(("html",)).get_content().replace("\r\n", "\n") == MESSAGE.html


async def test_an_address_beyond_ascii(server):
    await Smtp(server_of(server.url)).send(replace(MESSAGE, recipient="büyer@bitloot.test"))

    assert server.mailbox[0][1] == ["büyer@bitloot.test"]


@pytest.mark.parametrize(
    ("step", "answer", "family", "cause"),
    [
        ("MAIL", "451 busy", Transient, Cause.PROVIDER_UNAVAILABLE),
        ("MAIL", "553 not yours", Refused, Cause.REJECTED),
        ("RCPT", "452 later", Transient, Cause.PROVIDER_UNAVAILABLE),
        ("RCPT", "550 nobody here", Refused, Cause.BAD_RECIPIENT),
        ("DATA", "452 disk full", Transient, Cause.PROVIDER_UNAVAILABLE),
        ("DATA", "554 looks like spam", Refused, Cause.REJECTED),
    ],
)
async def test_what_the_server_says_no_to(server, step, answer, family, cause):
    server.answers[step] = answer

    assert await fails(server) == (family, cause)
    assert server.mailbox == []


async def test_an_answer_lost_after_the_data_is_unknown(server):
    server.drops_after_data = 1

    assert await fails(server) == (Unknown, Cause.PROVIDER_UNAVAILABLE)
    assert len(server.mailbox) == 1
    assert Smtp(server_of(server.url)).repeatable_for == timedelta(0)


@pytest.mark.parametrize("answer", ["252 we shall see", "200 fine", "Queued, thank you", "999 what is this"])
async def test_an_answer_after_the_data_that_says_neither_yes_nor_no_is_unknown(server, answer):
    server.answers["DATA"] = answer

    assert await fails(server) == (Unknown, Cause.BAD_ANSWER)


async def test_nobody_there_means_that_nothing_has_left():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = SecretStr(f"smtp+plain://127.0.0.1:{probe.getsockname()[1]}")
        assert await fails(None, url=url) == (Transient, Cause.PROVIDER_UNAVAILABLE)


async def test_a_server_that_is_slow_at_each_step_leaves_no_doubt_that_nothing_has_left(server):
    async def slow(*_):
        await asyncio.Event().wait()

    server.handle_RCPT = slow
    with pytest.raises(Transient) as failure:
        await Smtp(server_of(server.url), patience=timedelta(seconds=1)).send(MESSAGE)

    assert (failure.value.cause, server.mailbox) == (Cause.TIMEOUT, [])


@pytest.mark.parametrize("mailer", [Smtp, Resend])
def test_the_time_of_a_mail_is_enough_for_its_provider_at_its_slowest(mailer):
    # Stopped in the middle, by SMTP nobody could tell that nothing has left.
    waiting_for_a_turn = timedelta(seconds=MAX_WAIT_SECONDS + 3)

    assert mail_within(mailer) > waiting_for_a_turn + mailer.takes
    assert Smtp.takes > PATIENCE


async def test_a_server_without_starttls_gets_neither_mail_nor_password(server):
    url = SecretStr(f"smtp://user:right@127.0.0.1:{server.port}")

    assert await fails(server, url=url) == (Transient, Cause.PROVIDER_UNAVAILABLE)
    assert (server.mailbox, server.logins) == ([], [])


async def test_a_login():
    server = Server()
    async with server.open(authenticator=server.login, auth_require_tls=False):
        await Smtp(server_of(SecretStr(f"smtp+plain://user:right@127.0.0.1:{server.port}"))).send(MESSAGE)
        wrong = SecretStr(f"smtp+plain://user:wrong@127.0.0.1:{server.port}")
        assert await fails(server, url=wrong) == (Refused, Cause.AUTHORIZATION)

    assert len(server.mailbox) == 1


async def test_a_login_that_is_put_off_is_no_refusal():
    server = Server()
    server.login_answer = smtp.AuthResult(success=False, handled=False, message="454 4.7.0 Temporary failure")
    async with server.open(authenticator=server.login, auth_require_tls=False):
        url = SecretStr(f"smtp+plain://user:right@127.0.0.1:{server.port}")
        assert await fails(server, url=url) == (Transient, Cause.PROVIDER_UNAVAILABLE)

    assert server.mailbox == []


async def test_no_header_can_be_smuggled_in(server):
    for bad in (
        replace(MESSAGE, recipient="a@b.c\r\nBcc: d@e.f"),
        replace(MESSAGE, subject="Hi\r\nBcc: d@e.f"),
    ):
        assert (await fails(server, bad))[0] is Refused
    assert server.mailbox == []


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "starttls", "user"),
    [
        ("smtps://u%40x:p%3A@mail.test", "mail.test", 465, True, False, "u@x"),
        ("smtp://mail.test:2525", "mail.test", 2525, False, True, None),
        ("smtp+plain://[::1]", "::1", 25, False, False, None),
    ],
)
def test_addresses_of_servers(url, host, port, tls, starttls, user):
    server = server_of(SecretStr(url))

    assert (server.host, server.port, server.tls, server.starttls, server.username) == (host, port, tls, starttls, user)


@pytest.mark.parametrize(
    "url", ["http://mail.test", "smtp://", "smtp://user@mail.test", "smtp://mail.test/x", "smtp://h:x"]
)
def test_addresses_that_are_none(url):
    with pytest.raises(ValueError, match=r"^(?!.*mail\.test)"):
        server_of(SecretStr(url))
