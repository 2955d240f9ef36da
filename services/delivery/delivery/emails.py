"""The kept messages, in the table `emails`."""

from collections.abc import Mapping

import asyncpg

from bitloot.contracts.events import MailKind
from bitloot.ids import MessageId, OrderId
from bitloot.ledger import Together, translated
from bitloot.personal import StoredKey, erased
from delivery.mail import Message
from delivery.queries import QUERIES
from delivery.sending import Email, Looked, MailStatus, OrderOfAddress


class PostgresEmails:
    """`Emails` on PostgreSQL. Every method raises `Transient` while it is away.

    `former_sender` is taken for messages that were kept before their senders were.
    """

    def __init__(self, pool: asyncpg.Pool, *, former_sender: str) -> None:
        self._pool = pool
        self._former_sender = former_sender
        self._looking: Together[OrderId, asyncpg.Record] = Together(self._look_all)

    async def look(self, order: OrderId, base: MessageId) -> Looked:
        """Return the newest rendering of the mail `base`, and what opens its address."""
        row = await self._looking(base, order)
        if row is None:
            raise LookupError(f"nothing was said of {base}")
        newest = self._email(row) if row["id"] is not None else None
        return Looked(newest, StoredKey(order, row["key_is_known"], row["key"]))

    async def _look_all(self, wanted: Mapping[str, OrderId]) -> Mapping[str, asyncpg.Record]:
        with translated():
            rows = await self._pool.fetch(QUERIES["look"], list(wanted.values()), list(wanted))
        return {row["base"]: row for row in rows}

    async def begin_new(self, message: Message) -> Email:
        """Keep a message of which a try begins, and return it; an earlier one of the same id stands, see `begin`.

        Raises `Refused` once the buyer's data was erased.
        """
        facts = (
            message.id,
            message.order_id,
            message.kind,
            message.sender,
            message.recipient,
            message.subject,
            message.html,
            message.text,
            message.link_expires_at,
            message.rendered_at,
        )
        with translated():
            if await self._pool.fetchval(QUERIES["begin_new"], *facts) is not None:
                return Email(message, MailStatus.SENDING)
            row = await self._pool.fetchrow(QUERIES["begin"], message.id)
        if row is None:
            raise erased()  # meanwhile: nothing is kept for an order without its key
        return self._email(row)

    async def begin(self, message: MessageId) -> Email:
        """Note that a try begins: SENDING, but UNKNOWN where an earlier try was left without an end."""
        with translated():
            row = await self._pool.fetchrow(QUERIES["begin"], message)
        return self._email(_found(row, message))

    async def accepted(self, message: MessageId, provider_id: str) -> None:
        """Note that the provider has it. Nothing undoes that."""
        with translated():
            await self._pool.execute(QUERIES["accepted"], message, provider_id)

    async def failed(self, message: MessageId, status: MailStatus, error: str) -> None:
        """Note how a try failed. UNKNOWN and ACCEPTED stay as they are."""
        with translated():
            await self._pool.execute(QUERIES["failed"], message, status, error)

    async def of_address(self, email: str) -> list[OrderOfAddress]:
        """Return the newest orders of a mail address, the newest first."""
        with translated():
            rows = await self._pool.fetch(QUERIES["orders_of_address"], email)
        return [
            OrderOfAddress(
                OrderId(str(row["id"])), row["link_generation"], row["placed_at"], row["title"] or "Your order"
            )
            for row in rows
        ]

    def _email(self, row: asyncpg.Record) -> Email:
        return Email(
            Message(
                id=MessageId(row["id"]),
                order_id=OrderId(str(row["order_id"])),
                kind=MailKind(row["kind"]),
                sender=row["sender"] or self._former_sender,
                recipient=row["recipient"],
                subject=row["subject"],
                html=row["html"],
                text=row["text"],
                link_expires_at=row["link_expires_at"],
                rendered_at=row["rendered_at"],
            ),
            MailStatus(row["status"]),
            row["provider_message_id"],
        )


def _found(row: asyncpg.Record | None, message: MessageId) -> asyncpg.Record:
    if row is None:
        raise LookupError(f"message {message} is not kept")
    return row
