"""The mails of an order: what is owed, what became of it, and which are remembered."""

from dataclasses import replace
from datetime import datetime, timedelta

from bitloot.contracts.events import MailDelivery, MailKind
from bitloot.contracts.state import MailState
from bitloot.ids import MessageId, message_id
from fulfillment.order.outbox import owe
from fulfillment.order.policy import REMEMBERED_MAILS, Kind
from fulfillment.order.state import Order, Owed


def owe_mail(order: Order, now: datetime) -> Order:
    """Owe the mail that completes the order, unless it is owed already."""
    if known_mail(order, order.message_id) is None:
        mail = MailState(
            message_id=order.message_id, kind=MailKind.KEYS, recipient=order.email, requested_at=now, delivery_at=now
        )
        order = with_mail(order, mail)
    return owe(order, Kind.MAIL, now)


def renew_mail(order: Order, now: datetime) -> Order:
    """Replace the mail that completes the order by another one: what it said is not true any more."""
    known = known_mail(order, order.message_id)
    if known is not None and known.delivery is MailDelivery.PENDING:
        order = with_mail(
            order, known.model_copy(update={"delivery": MailDelivery.FAILED, "detail": "replaced", "delivery_at": now})
        )
    outbox = tuple(owed for owed in order.outbox if owed.kind is not Kind.MAIL)
    return owe_mail(replace(order, outbox=outbox, mail_number=order.mail_number + 1), now)


def owe_notice(
    order: Order,
    kind: MailKind,
    now: datetime,
    *,
    recipient: str,
    about: str = "",
    requested_by: str = "",
    wait: timedelta = timedelta(0),
) -> Order:
    """Owe a mail that nothing waits for, unless one that says the same to the same address is on its way."""
    pending = {owed.notice for owed in order.outbox if owed.kind is Kind.NOTICE}
    for mail in order.mails:
        same = (mail.kind, mail.about, mail.recipient) == (kind, about, recipient)
        if same and is_notice(mail.message_id) and int(mail.message_id.rpartition("/")[2]) in pending:
            return order
    number = order.notice_number + 1
    mail = MailState(
        message_id=message_id(order.order_id, number, Kind.NOTICE),
        kind=kind,
        recipient=recipient,
        about=about,
        requested_by=requested_by,
        requested_at=now,
        delivery_at=now,
    )
    order = with_mail(replace(order, notice_number=number), mail)
    return owe(order, Kind.NOTICE, now, wait=wait, notice=number)


def notice_refused(order: Order, owed: Owed, now: datetime, why: tuple[str, str]) -> Order:
    """Note that a mail will not be sent. Nothing waits for it, so no human is made to look; the list of mails tells."""
    known = known_mail(order, message_id(order.order_id, owed.notice or 0, Kind.NOTICE))
    if known is None:
        return order
    detail = ": ".join(part for part in why if part)
    told = {"delivery": MailDelivery.FAILED, "detail": detail, "delivery_at": now}
    return with_mail(order, known.model_copy(update=told))


def drop_unsent_notices(order: Order, kind: MailKind | None = None) -> Order:
    """Take out what nobody was asked to send yet; without a kind: of all kinds."""
    dropped = {
        owed.notice
        for owed in order.outbox
        if owed.kind is Kind.NOTICE and not owed.emissions and kind in {None, notice_of(order, owed).kind}
    }
    gone = {message_id(order.order_id, number, Kind.NOTICE) for number in dropped if number is not None}
    return replace(
        order,
        outbox=tuple(o for o in order.outbox if o.kind is not Kind.NOTICE or o.notice not in dropped),
        mails=tuple(mail for mail in order.mails if mail.message_id not in gone),
    )


def is_notice(message: MessageId) -> bool:
    """Tell whether a mail is one that nothing waits for."""
    return f"/{Kind.NOTICE}/" in message


def known_mail(order: Order, message: MessageId) -> MailState | None:
    """Return what is remembered of a mail, or None."""
    return next((mail for mail in order.mails if mail.message_id == message), None)


def notice_of(order: Order, owed: Owed) -> MailState:
    """Return the mail that an entry of kind `notice` is about."""
    message = message_id(order.order_id, owed.notice or 0, Kind.NOTICE)
    return next(mail for mail in order.mails if mail.message_id == message)


def with_mail(order: Order, mail: MailState) -> Order:
    """Put a mail in, and let the oldest go for which nothing is owed."""
    if known_mail(order, mail.message_id) is not None:
        return replace(order, mails=tuple(mail if m.message_id == mail.message_id else m for m in order.mails))
    mails = (*order.mails, mail)
    owed = {message_id(order.order_id, o.notice, Kind.NOTICE) for o in order.outbox if o.notice is not None}
    spare = [m for m in mails if m.message_id not in owed | {mail.message_id, order.message_id}]
    gone = {m.message_id for m in spare[: max(0, len(mails) - REMEMBERED_MAILS)]}
    return replace(order, mails=tuple(m for m in mails if m.message_id not in gone))
