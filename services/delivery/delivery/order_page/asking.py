"""What a buyer may ask for on the page: the mail once more, another mail address, the links that were lost.

A new address counts only when its owner confirms it. Whether a mail address has orders is never told: the answer is
the same, and it is given before anybody looks.
"""

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import uuid
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import idna
from pydantic import SecretStr

from bitloot import links, log
from bitloot.contracts.base import Record
from bitloot.contracts.events import EmailChanged, MailKind, MailRequested
from bitloot.contracts.topics import ORDER_EVENTS, Topic
from bitloot.errors import BitLootError, Refused
from bitloot.ids import OrderId, content_id
from bitloot.personal import Buyers
from bitloot.problem import Problem
from delivery.clock import Clock
from delivery.mail import plain_address

HOUR: Final = timedelta(hours=1)
MAILS_PER_HOUR: Final = 3  # of one order, and of lost links for one mail address
ADDRESSES_PER_HOUR: Final = 3  # new ones for one order
ASKED_PER_HOUR: Final = 20  # lost links, from one network
MAX_BACKGROUND: Final = 100
ERASED: Final = "The mail address of this order was erased: its page goes on working, and nothing can be mailed."
_ACTION: Final = 64  # characters

_log = log.get(__name__)


class Attempts(Protocol):
    """Counts what may be done only so often, for all processes together."""

    async def take(self, name: str, limit: int, window: timedelta) -> int:
        """Use up one of `limit` attempts in a `window` and return 0, or return after how many seconds to try again.

        Raises `Transient`.
        """
        ...


class Events(Protocol):
    """The producer."""

    async def send(self, topic: Topic, key: str, record: Record) -> None:
        """Return once the broker has acknowledged the record. Raises `Transient`."""
        ...


class LostRequests(Protocol):
    """Questions for lost links that nobody has dealt with yet: the buyer was told that a mail is on its way."""

    async def put(self, request: str, email: str) -> None:
        """Keep a question. Raises `Transient`."""
        ...

    async def left_over(self) -> Sequence[tuple[str, str]]:
        """Return (request, mail address) of questions that are a while old, some of them. Raises `Transient`."""
        ...

    async def done(self, request: str) -> None:
        """Forget a question. Raises `Transient`."""
        ...


class OrdersOfAddress(Protocol):
    """The read model, by mail address."""

    async def newest_of(self, email: str) -> OrderId | None:
        """Return the newest order of a mail address. Raises `Transient`."""
        ...


def client_prefix(remote: str | None) -> str:
    """Return the network of a client's address, /24 or /48: enough to tell them apart, too little to name a person."""
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return ""
    bits = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))


def address_of(text: object) -> str:
    """Return a mail address that was typed in. Raises `Problem` unless it is one plain address.

    Its domain is in ASCII (RFC 5891), as the ingress takes it down: else nobody there would find their orders.
    """
    try:
        name, _, domain = plain_address(text.strip() if isinstance(text, str) else "").rpartition("@")
        return f"{name}@{domain if domain.isascii() else idna.encode(domain, uts46=True).decode()}"
    except (Refused, idna.IDNAError) as error:
        raise Problem(422, "This is not a mail address that we can write to.") from error


@dataclass(frozen=True, slots=True)
class Asking:
    """The wishes, on ports."""

    events: Events
    attempts: Attempts
    orders: OrdersOfAddress
    requests: LostRequests
    buyers: Buyers
    secrets: Sequence[SecretStr]
    clock: Clock

    async def mail(self, order_id: OrderId, email: str | None, action_id: str) -> None:
        """Ask for the mail to the order's own address once more."""
        await self._allow(f"mail/{order_id}", MAILS_PER_HOUR)
        sealed = None if email is None else await self._sealed(order_id, email)
        await self._request(order_id, self._action(action_id), MailKind.KEYS, sealed)

    async def new_address(self, order_id: OrderId, email: str, action_id: str) -> None:
        """Ask for a mail that lets the owner of `email` make it the order's address."""
        await self._allow(f"address/{order_id}", ADDRESSES_PER_HOUR)
        await self._request(order_id, self._action(action_id), MailKind.CONFIRM, await self._sealed(order_id, email))

    async def confirm(self, link: links.OrderLink, email: str, token: str) -> None:
        """Make `email` the order's address: whoever has the token reads its mail."""
        action = hashlib.sha256(token.encode()).hexdigest()[:32]
        sealed = await self._sealed(link.order_id, email)
        changed = EmailChanged(
            event_id=content_id(link.order_id, "email.changed", action),
            occurred_at=self.clock(),
            order_id=link.order_id,
            action_id=action,
            actor="buyer",
            email=sealed,
            generation=link.generation,
            reason="confirmed by a mail to the new address",
        )
        await self.events.send(ORDER_EVENTS, link.order_id, changed)

    async def allow_lost(self, client: str) -> None:
        """Count a question for lost links. Raises `Problem` when one network asks too often."""
        await self._allow(f"lost/client/{self._hidden(client)}", ASKED_PER_HOUR)

    async def ask_for_lost(self, email: str) -> str | None:
        """Keep a question for lost links, so that it survives this process, and return its id. Raises `Transient`.

        None where an address is asked for too often. That is counted here and not with each try to deal with the
        question: tries in vain would use the allowance up, and it would go unanswered.
        """
        if await self.attempts.take(f"lost/address/{self._hidden(email.lower())}", MAILS_PER_HOUR, HOUR):
            return None
        request = uuid.uuid4().hex
        await self.requests.put(request, email)
        return request

    async def lost(self, request: str, email: str) -> None:
        """Have the links to all orders of an address mailed to it, when there are any. Raises `Transient`.

        Done twice for one request, it is one mail: the request is the mail's action.
        """
        order_id = await self.orders.newest_of(email)
        if order_id is not None:
            # Erased in this moment, it is nobody's order any more.
            with contextlib.suppress(Refused):
                sealed = await self.buyers.seal(order_id, email)
                await self._request(order_id, request, MailKind.LOST, sealed, actor="support")
        await self.requests.done(request)

    async def catch_up(self) -> None:
        """Deal with questions that a process took and did not live to answer. Raises `Transient`."""
        for request, email in await self.requests.left_over():
            await self.lost(request, email)

    async def _allow(self, name: str, limit: int) -> None:
        if wait := await self.attempts.take(name, limit, HOUR):
            raise Problem(429, "That was often in a short time. Try again later.", headers={"Retry-After": str(wait)})

    async def _sealed(self, order_id: OrderId, email: str) -> str:
        """Return an address as records carry it. Raises `Problem` once the buyer's data was erased."""
        try:
            return await self.buyers.seal(order_id, email)
        except Refused as error:
            raise Problem(409, ERASED) from error

    async def _request(
        self, order_id: OrderId, action: str, kind: MailKind, sealed: str | None, actor: str = "buyer"
    ) -> None:
        requested = MailRequested(
            event_id=content_id(order_id, "mail.requested", action),
            occurred_at=self.clock(),
            order_id=order_id,
            action_id=action,
            actor=actor,
            kind=kind,
            email=sealed,
        )
        await self.events.send(ORDER_EVENTS, order_id, requested)
        _log.info("mail.requested", order_id=order_id, mail=kind, actor=actor)

    def _action(self, given: str) -> str:
        """Return the id of a click: the form's own, so that a double click is one; else a new one."""
        plausible = given.isascii() and given.isalnum() and len(given) <= _ACTION
        return given if given and plausible else uuid.uuid4().hex

    def _hidden(self, text: str) -> str:
        """Return a keyed hash: what is counted must not list whose mail address was asked for."""
        key = self.secrets[0].get_secret_value().encode()
        return hmac.new(key, b"bitloot attempts\x00" + text.encode(), hashlib.sha256).hexdigest()[:32]


class Background:
    """Does what must not be waited for. The process's end waits for it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether too much is under way to take more."""
        return len(self._tasks) >= MAX_BACKGROUND

    def start(self, act: Coroutine[Any, Any, None]) -> None:
        """Begin something; when it fails that is logged, and somebody catches up with it later."""
        task = asyncio.create_task(_logged(act))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Wait for all that is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _logged(act: Coroutine[Any, Any, None]) -> None:
    try:
        await act
    except BitLootError as error:
        _log.warning("order_page.not_done", cause=error.cause, detail=error.detail)
