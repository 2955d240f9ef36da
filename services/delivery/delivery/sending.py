"""Sends an order's mail: renders once, keeps the rendering, repeats that same message until it is accepted.

The mail provider remembers an Idempotency-Key for 24 hours, so within that time a message may be sent again
whatever became of the try before: it arrives once. So the state of a message is only about two questions,
whether it was accepted, and whether every try so far is *known* to have come to nothing:

    rendered and begun ──► SENDING ──accepted──────────► ACCEPTED
                           ▲ │  │ └──said no for good───► REFUSED
      RENDERED ────begin───┘ │  └─no answer, or a crash─► UNKNOWN (stays until ACCEPTED)
          ▲                  │
          └───said not now───┘

A new rendering is kept and its first try begun in one statement: nothing that could fail lies between the two.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from bitloot.contracts.effects import SendMail
from bitloot.contracts.events import MailKind, MailSent
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import Cause, Refused, Transient, Unknown
from bitloot.ids import MessageId, OrderId, outcome_id
from bitloot.personal import StoredKey, erased
from delivery.clock import Clock
from delivery.mail import Envelope, Links, Message, OrderLink, SignedLink, next_id, render


class MailStatus(StrEnum):
    """What is known of a message. Stored."""

    RENDERED = "rendered"  # every try is known to have come to nothing
    SENDING = "sending"  # a try is under way, or its process died
    UNKNOWN = "unknown"  # some try may have been accepted
    ACCEPTED = "accepted"  # the provider has it
    REFUSED = "refused"  # the provider said no for good


@dataclass(frozen=True, slots=True)
class Email:
    """A message and what is known of it. `provider_id` is set once it is accepted."""

    message: Message
    status: MailStatus = MailStatus.RENDERED
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of a mail before a try: its newest rendering, and what opens its address."""

    newest: Email | None
    key: StoredKey


class Emails(Protocol):
    """The kept messages. Every method raises `Transient` when they cannot be reached."""

    async def look(self, order: OrderId, base: MessageId) -> Looked:
        """Return the newest rendering of the mail `base`, and the key of the order's buyer."""
        ...

    async def begin_new(self, message: Message) -> Email:
        """Keep a message of which a try begins, and return it; an earlier one of the same id stands, see `begin`.

        Raises `Refused` once the buyer's data was erased.
        """
        ...

    async def begin(self, message: MessageId) -> Email:
        """Note that a try begins: SENDING, but UNKNOWN where an earlier try was left without an end."""
        ...

    async def accepted(self, message: MessageId, provider_id: str) -> None:
        """Note that the provider has it. Nothing undoes that."""
        ...

    async def failed(self, message: MessageId, status: MailStatus, error: str) -> None:
        """Note how a try failed. UNKNOWN and ACCEPTED stay as they are."""
        ...


class Mailer(Protocol):
    """The mail provider."""

    @property
    def repeatable_for(self) -> timedelta:
        """How long after its rendering a message of unknown outcome may be sent again and still arrives once."""
        ...

    @property
    def takes(self) -> timedelta:
        """How long `send` may take. One that is stopped earlier may have been stopped before the message left."""
        ...

    async def send(self, message: Message) -> str:
        """Hand over a message under its id and return the provider's own id.

        Raises `Transient` (it did not take it, not now), `Refused` (it never will) or `Unknown` (no usable
        answer came).
        """
        ...


class LinkSigner(Protocol):
    """Makes links to stored objects."""

    async def sign(self, object_key: str) -> SignedLink:
        """Return a fresh link to an object. Raises `Transient` or `Refused`."""
        ...


class PageLinks(Protocol):
    """Makes links to order pages."""

    def __call__(self, order: OrderId, generation: int) -> str:
        """Return the address of an order's page, of that generation."""
        ...


class Confirmations(Protocol):
    """Makes links that confirm a mail address."""

    def __call__(self, order: OrderId, generation: int, email: str) -> str:
        """Return the address at which the owner of `email` makes it the order's."""
        ...


@dataclass(frozen=True, slots=True)
class OrderOfAddress:
    """An order of a mail address; `title` is of its first item."""

    order_id: OrderId
    generation: int
    placed_at: datetime
    title: str


class OrdersOfAddress(Protocol):
    """The read model, by mail address."""

    async def of_address(self, email: str) -> list[OrderOfAddress]:
        """Return the newest orders of a mail address, the newest first. Raises `Transient`."""
        ...


@dataclass(frozen=True, slots=True)
class MailPorts:
    """What sending a mail needs from outside."""

    emails: Emails
    mailer: Mailer
    links: LinkSigner
    page_of: PageLinks
    confirmation_of: Confirmations
    orders: OrdersOfAddress
    clock: Clock
    sender: str
    """Whom new renderings are from; a kept one keeps its own."""
    direct_link: bool = True
    """Whether mails link to the keys themselves, beside the order page."""


async def send_mail(effect: SendMail, ports: MailPorts) -> MailSent:
    """See to it that the provider has accepted the mail, and return that outcome.

    A mail that was accepted by an earlier try is not sent again. Raises `Transient` when a later try may go
    on, also after an unknown outcome: under its Idempotency-Key the same message may be repeated, which is
    all that "transient" promises. Raises `Refused` when only a human can go on, or nobody: once the buyer's data was
    erased, no mail leaves any more.
    """
    email = await _begun(effect, ports)
    if email.status is not MailStatus.ACCEPTED:
        reach(CrashPoint.MAIL_RENDERED)
        email = await _try(email, ports)
    if email.provider_id is None:
        raise Refused(Cause.DEFECT, "an accepted mail has no provider id")
    return MailSent(
        event_id=outcome_id(effect.effect_id, "sent"),
        occurred_at=ports.clock(),
        order_id=effect.order_id,
        effect_id=effect.effect_id,
        message_id=effect.message_id,
        provider_message_id=email.provider_id,
    )


async def _begun(effect: SendMail, ports: MailPorts) -> Email:
    """Return the message to send, its try begun: the kept one, or a new rendering where that cannot double the mail."""
    looked = await ports.emails.look(effect.order_id, effect.message_id)
    newest = looked.newest
    if newest is not None and newest.status is MailStatus.ACCEPTED:
        return newest
    address = looked.key.open(effect.email)
    if newest is None:
        return await _render(effect, address, effect.message_id, ports)
    age = ports.clock() - newest.message.rendered_at
    if newest.status in {MailStatus.SENDING, MailStatus.UNKNOWN}:
        if age >= ports.mailer.repeatable_for:
            # For a human, who may want it under a new number all the same: two mails are better than none.
            raise _unrepeatable()
        # Its signed link may have run out; the order page's link in it still works.
        return await ports.emails.begin(newest.message.id)
    if newest.status is MailStatus.RENDERED and _still_true(newest.message, ports):
        return await ports.emails.begin(newest.message.id)
    return await _render(effect, address, next_id(effect.message_id, newest.message.id), ports)


def _still_true(message: Message, ports: MailPorts) -> bool:
    kept = bool(message.html)  # what has lain for long has lost its texts: see docs/retention.md
    return kept and (message.link_expires_at is None or ports.clock() < message.link_expires_at)


def _unrepeatable() -> Refused:
    return Refused(Cause.MAIL_OUTCOME_UNKNOWN, "The mail may have been sent, and cannot be repeated safely")


async def _render(effect: SendMail, address: str, message_id: MessageId, ports: MailPorts) -> Email:
    links = await _links(effect, address, ports)
    people = Envelope(ports.sender, address)
    return await ports.emails.begin_new(render(effect, message_id, links, ports.clock(), people))


async def _links(effect: SendMail, address: str, ports: MailPorts) -> Links:
    """Return what the mail links to; the link to the keys ends soonest, so it is made last."""
    if effect.kind is MailKind.CONFIRM:
        return Links(ports.confirmation_of(effect.order_id, effect.link_generation, address))
    page = ports.page_of(effect.order_id, effect.link_generation)
    if effect.kind is MailKind.LOST:
        return Links(page, orders=await _orders(address, ports))
    if not (ports.direct_link and effect.kind is MailKind.KEYS and effect.object_key):
        return Links(page)
    texts = sum(item.quantity for item in effect.items) > len(effect.pictures)
    keys = await ports.links.sign(effect.object_key) if texts else None
    return Links(page, keys, tuple([await ports.links.sign(each) for each in effect.pictures]))


async def _orders(address: str, ports: MailPorts) -> tuple[OrderLink, ...]:
    found = await ports.orders.of_address(address)
    return tuple(OrderLink(ports.page_of(each.order_id, each.generation), each.placed_at, each.title) for each in found)


async def _try(email: Email, ports: MailPorts) -> Email:
    if not email.message.recipient:
        raise erased()  # since it was rendered
    if email.status is MailStatus.UNKNOWN and not ports.mailer.repeatable_for:
        raise _unrepeatable()
    message = email.message
    try:
        provider_id = await ports.mailer.send(message)
    except Transient as error:
        await ports.emails.failed(message.id, MailStatus.RENDERED, str(error))
        raise
    except Refused as error:
        await ports.emails.failed(message.id, MailStatus.REFUSED, str(error))
        raise
    except Unknown as error:
        await ports.emails.failed(message.id, MailStatus.UNKNOWN, str(error))
        raise Transient(error.cause, error.detail) from error
    reach(CrashPoint.MAIL_ACCEPTED)
    await ports.emails.accepted(message.id, provider_id)
    return replace(email, status=MailStatus.ACCEPTED, provider_id=provider_id)
