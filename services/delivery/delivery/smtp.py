"""The mail provider as any SMTP server (RFC 5321).

SMTP knows no idempotency key: once the message's data has left and no answer came back, nobody can tell whether it
was taken. Such a message is never repeated here; a person decides.

    smtps://user:password@host:465       TLS from the first byte
    smtp://user:password@host:587        STARTTLS, which must succeed
    smtp+plain://host:25                 no TLS: for a relay on the same machine only
"""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
from pydantic import SecretStr

from bitloot.errors import BitLootError, Cause, Refused, Transient, Unknown
from delivery.calls import measured
from delivery.mail import Message

TIMEOUT: Final = 10.0  # seconds, for each step
PATIENCE: Final = timedelta(seconds=10)
"""For all steps together before a message's data: a server that is slow at each of them must not use up the time of
the claim while nothing has left, for nobody could tell then that nothing had."""
_PORTS: Final = {"smtps": 465, "smtp": 587, "smtp+plain": 25}
_NOT_NOW, _FINAL, _NO_REPLY = 400, 500, 600
"""First replies of a kind (RFC 5321, section 4.2.1): no for now, no for good, and those that there are none of."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where and how mail is handed over."""

    host: str
    port: int
    tls: bool
    starttls: bool
    username: str | None
    password: SecretStr | None


def server_of(url: SecretStr) -> SmtpServer:
    """Return what an address says, see above. Raises ValueError, which never quotes it."""
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("it is not smtps://, smtp:// or smtp+plain:// with a host and nothing behind it")
    port = parts.port or _PORTS[parts.scheme]
    if (parts.username is None) != (parts.password is None):
        raise ValueError("a user and a password belong together")
    return SmtpServer(
        parts.hostname,
        port,
        tls=parts.scheme == "smtps",
        starttls=parts.scheme == "smtp",
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else SecretStr(unquote(parts.password)),
    )


class Smtp:
    """Hands messages over, each on a connection of its own: mails are few, and idle connections are dropped."""

    repeatable_for = timedelta(0)
    takes = PATIENCE + timedelta(seconds=TIMEOUT)

    def __init__(
        self, server: SmtpServer, *, tls_context: ssl.SSLContext | None = None, patience: timedelta = PATIENCE
    ) -> None:
        self._server = server
        self._tls_context = tls_context
        self._patience = patience

    async def send(self, message: Message) -> str:
        """Hand over a message and return the Message-ID that it got.

        Raises `Transient` while nothing of the message has left, `Refused` for a final no, and `Unknown` when its
        data has left and no answer came back, or none that says yes or no.
        """
        with measured("smtp", "send"):
            mail = _composed(message)
            client = self._client()
            try:
                await self._prepare(client, message)
                await self._hand_over(
                    client, mail.as_bytes(policy=SMTP_POLICY.clone(utf8=not message.recipient.isascii()))
                )
            finally:
                client.close()
            return str(mail["Message-ID"])

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls,
            start_tls=server.starttls,
            tls_context=self._tls_context,
            timeout=TIMEOUT,
        )

    async def _prepare(self, client: aiosmtplib.SMTP, message: Message) -> None:
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                await self._open(client)
                await self._address(client, message)
        except TimeoutError as error:
            detail = f"the mail server was not ready for the mail within {self._patience.total_seconds():g} s"
            raise Transient(Cause.TIMEOUT, detail) from error

    async def _open(self, client: aiosmtplib.SMTP) -> None:
        server = self._server
        try:
            await client.connect()
            await client.ehlo()
            if server.username is not None and server.password is not None:
                await client.login(server.username, server.password.get_secret_value())
        except aiosmtplib.SMTPAuthenticationError as error:
            if error.code < _FINAL:  # such as 454: whoever checks our password is away
                raise _not_now(error) from error
            raise Refused(Cause.AUTHORIZATION, f"the mail server answered {error.code} to our login") from error
        except aiosmtplib.SMTPResponseException as error:
            raise _not_now(error) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise Transient(Cause.PROVIDER_UNAVAILABLE, f"the mail server: {type(error).__name__}") from error

    async def _address(self, client: aiosmtplib.SMTP, message: Message) -> None:
        """Say who writes to whom: nothing has left yet, whatever goes wrong."""
        beyond = not message.recipient.isascii()
        if beyond and not client.supports_extension("smtputf8"):
            raise Refused(Cause.BAD_RECIPIENT, "the mail server does not take addresses beyond ASCII")
        try:
            sender = parseaddr(message.sender)[1]
            if beyond:  # RFC 6531
                await client.mail(sender, options=["SMTPUTF8"], encoding="utf-8")
                await client.rcpt(message.recipient, encoding="utf-8")
            else:
                await client.mail(sender)
                await client.rcpt(message.recipient)
        except aiosmtplib.SMTPResponseException as error:
            cause = Cause.BAD_RECIPIENT if isinstance(error, aiosmtplib.SMTPRecipientRefused) else Cause.REJECTED
            raise _judged(error, cause) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise Transient(Cause.PROVIDER_UNAVAILABLE, f"the mail server: {type(error).__name__}") from error

    async def _hand_over(self, client: aiosmtplib.SMTP, mail: bytes) -> None:
        try:
            await client.data(mail)
        except aiosmtplib.SMTPResponseException as error:
            if not _NOT_NOW <= error.code < _NO_REPLY:  # all of it may have left, and this is neither yes nor no
                raise Unknown(Cause.BAD_ANSWER, f"the mail server answered {error.code} to the mail") from error
            raise _judged(error, Cause.REJECTED) from error
        except TimeoutError as error:  # aiosmtplib's own is one as well
            raise Unknown(Cause.TIMEOUT, f"the mail server: {type(error).__name__}") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unknown(Cause.PROVIDER_UNAVAILABLE, f"the mail server: {type(error).__name__}") from error


def _judged(error: aiosmtplib.SMTPResponseException, cause: Cause) -> BitLootError:
    """Return what an answer means: 5xx is final, all else is not now. Its text may quote us and is left out."""
    return Refused(cause, f"the mail server answered {error.code}") if error.code >= _FINAL else _not_now(error)


def _not_now(error: aiosmtplib.SMTPResponseException) -> Transient:
    return Transient(Cause.PROVIDER_UNAVAILABLE, f"the mail server answered {error.code}")


def _composed(message: Message) -> EmailMessage:
    """Return the message in its form for the wire: the same for the same message."""
    domain = parseaddr(message.sender)[1].rpartition("@")[2]
    mail = EmailMessage()
    try:
        mail["From"] = message.sender
        mail["To"] = message.recipient
        mail["Subject"] = message.subject
    except ValueError as error:  # a line break: it never comes so far, see `plain_address`
        raise Refused(Cause.BAD_RECIPIENT, "an address or the subject is not one line") from error
    mail["Date"] = format_datetime(message.rendered_at)
    mail["Message-ID"] = f"<{message.id.replace('/', '.')}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    mail.add_alternative(message.html, subtype="html")
    return mail
