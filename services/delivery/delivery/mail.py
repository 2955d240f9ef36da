"""The mail "Your BitLoot Order": what is in it. Pure; a rendering never changes once it is made."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bitloot.contracts.effects import MailItem, SendMail
from bitloot.errors import Cause, Refused
from bitloot.ids import MessageId, OrderId

SUBJECT: Final = "Your BitLoot Order"
KIND: Final = "keys"
"""The kind of this mail, in the table `emails` and as a tag at the mail provider."""

_MAX_ADDRESS = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets
# One plain address: no display name, no list, no white space or control character, nothing quoted.
_ADDRESS = re.compile(r"[^\s@,;:<>()\[\]\"\\]+@[^\s@,;:<>()\[\]\"\\]+")
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
class Message:
    """A rendered mail. `id` is its Idempotency-Key: the same id is always the same message."""

    id: MessageId
    order_id: OrderId
    sender: str
    recipient: str
    subject: str
    html: str
    text: str
    link_expires_at: datetime
    rendered_at: datetime

    def __repr__(self) -> str:
        return f"Message(id={self.id!r})"  # its texts hold the signed link


def render(
    effect: SendMail,
    message_id: MessageId,
    link: SignedLink,
    page: str,
    now: datetime,
    *,
    sender: str,
    pictures: tuple[SignedLink, ...] = (),
) -> Message:
    """Render the mail that `effect` asks for, with the signed `link` and the order page's address `page`.

    `link` opens the keys that are texts, `pictures` one key each.
    Raises `Refused` when the recipient is not one plain address.
    """
    facts = {
        "subject": SUBJECT,
        "order_id": effect.order_id,
        "items": [MailItem(title=one_line(item.title), quantity=item.quantity) for item in effect.items],
        "keys": (keys := sum(item.quantity for item in effect.items)),
        "texts": keys - len(pictures),
        "link": link.url,
        "pictures": [picture.url for picture in pictures],
        "span": _minutes(link.expires_at - now),
        "expires_at": link.expires_at,
        "page": page,
    }
    return Message(
        id=message_id,
        order_id=effect.order_id,
        sender=sender,
        recipient=plain_address(effect.email),
        subject=SUBJECT,
        html=_TEMPLATES.get_template("mail.html").render(facts),
        text=_TEMPLATES.get_template("mail.txt").render(facts),
        link_expires_at=link.expires_at,
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
