"""The mails that buyers get: what is in each. Pure; a rendering never changes once it is made."""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bitloot.contracts.effects import MailItem, SendMail
from bitloot.contracts.events import MailKind
from bitloot.errors import Cause, Refused
from bitloot.ids import MessageId, OrderId
from delivery.mail_words import SUBJECT, Words, words

__all__ = [
    "SUBJECT",
    "Envelope",
    "Links",
    "Message",
    "OrderLink",
    "SignedLink",
    "next_id",
    "one_line",
    "plain_address",
    "render",
]

_MAX_ADDRESS = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets
# One plain address: no display name, no list, no white space or control character, nothing quoted.
_ADDRESS: Final = re.compile(r"[^\s@,;:<>()\[\]\"\\]+@[^\s@,;:<>()\[\]\"\\]+")
_TEMPLATES = Environment(
    loader=PackageLoader("delivery"),
    autoescape=select_autoescape(("html",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class SignedLink:
    """A link that opens an object for whoever holds it until `expires_at`. Never logged."""

    url: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"SignedLink(expires_at={self.expires_at.isoformat()})"


@dataclass(frozen=True, slots=True)
class OrderLink:
    """The page of one of several orders, as the mail to whoever lost their links names it."""

    url: str
    placed_at: datetime
    title: str

    def __repr__(self) -> str:
        return f"OrderLink(placed_at={self.placed_at.isoformat()})"


@dataclass(frozen=True, slots=True)
class Links:
    """What a mail links to: where its button leads, and perhaps the keys themselves, or the pages of other orders.

    `keys` opens the keys that are texts, `pictures` one key each; `expires_at` is when the first of them ends.
    """

    page: str
    keys: SignedLink | None = None
    pictures: tuple[SignedLink, ...] = ()
    orders: tuple[OrderLink, ...] = ()

    @property
    def expires_at(self) -> datetime | None:
        """When the first of the links to keys ends."""
        links = (self.keys, *self.pictures) if self.keys else self.pictures
        return min((link.expires_at for link in links), default=None)

    def __repr__(self) -> str:
        return f"Links(keys={self.keys!r}, orders={len(self.orders)})"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who writes to whom."""

    sender: str
    recipient: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered mail. `id` is its Idempotency-Key: the same id is always the same message.

    It may be rendered anew once `link_expires_at` is past; without one it stays true.
    """

    id: MessageId
    order_id: OrderId
    kind: MailKind
    sender: str
    recipient: str
    subject: str
    html: str
    text: str
    link_expires_at: datetime | None
    rendered_at: datetime

    def __repr__(self) -> str:
        return f"Message(id={self.id!r})"  # its texts hold the signed link


def render(effect: SendMail, message_id: MessageId, links: Links, now: datetime, people: Envelope) -> Message:
    """Render the mail that `effect` asks for. Raises `Refused` when the recipient is not one plain address."""
    keys = sum(item.quantity for item in effect.items)
    said: Words = words(effect.kind, effect.about, keys)
    facts = {
        "words": said,
        "order_id": effect.order_id,
        "items": [MailItem(title=one_line(item.title), quantity=item.quantity) for item in effect.items],
        "keys": keys,
        "page": links.page,
        "direct": [] if links.keys is None else [links.keys.url],
        "pictures": [picture.url for picture in links.pictures],
        "expires_at": links.expires_at,
        "orders": [OrderLink(each.url, each.placed_at, one_line(each.title)) for each in links.orders],
        "span": _minutes(links.expires_at - now) if links.expires_at else "",
    }
    return Message(
        id=message_id,
        order_id=effect.order_id,
        kind=effect.kind,
        sender=people.sender,
        recipient=plain_address(people.recipient),
        subject=said.subject,
        html=_TEMPLATES.get_template("mail.html").render(facts),
        text=_TEMPLATES.get_template("mail.txt").render(facts),
        link_expires_at=links.expires_at,
        rendered_at=now,
    )


def _minutes(span: timedelta) -> str:
    minutes = max(1, round(span / timedelta(minutes=1)))
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def next_id(base: MessageId, newest: MessageId) -> MessageId:
    """Return the id of the rendering after `newest`: `base` itself is the first, then `base.2`, `base.3`."""
    number = 1 if newest == base else int(newest.removeprefix(f"{base}."))
    return MessageId(f"{base}.{number + 1}")


def plain_address(address: str) -> str:
    """Return the address if it is one plain mail address that cannot grow a header or a second recipient."""
    unprintable = any(unicodedata.category(character).startswith("C") for character in address)
    if unprintable or len(address) > _MAX_ADDRESS or not _ADDRESS.fullmatch(address):
        raise Refused(Cause.BAD_RECIPIENT, "the recipient is not one plain mail address")
    return address


def one_line(text: str) -> str:
    """Return the text on one line, without control, bidirectional and other invisible characters."""
    return " ".join("".join(map(_visible, text)).split())


def _visible(character: str) -> str:
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp" | "Zs":
            return " "
        case "Cf" | "Cs":
            return ""
        case _:
            return character
