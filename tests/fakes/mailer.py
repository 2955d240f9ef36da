"""The mail provider in memory: `Mailer` with Resend's rule of idempotency."""

from dataclasses import dataclass, field
from datetime import timedelta

from bitloot.errors import BitLootError, Cause, Refused, Unknown
from delivery.mail import Message


@dataclass
class FakeMailer:
    """Keeps what was accepted in `mailbox`, and what it remembers by id in `memory` (clear it to let a day pass).

    `refusals` answer the next sends and nothing is accepted; `lost_answers` counts sends that are accepted while
    the answer gets lost.
    """

    mailbox: list[Message] = field(default_factory=list)
    memory: dict[str, Message] = field(default_factory=dict)
    refusals: list[BitLootError] = field(default_factory=list)
    lost_answers: int = 0
    repeatable_for: timedelta = timedelta(hours=23)
    takes: timedelta = timedelta(seconds=11)

    async def send(self, message: Message) -> str:
        if self.refusals:
            raise self.refusals.pop(0)
        if message.id not in self.memory:
            self.memory[message.id] = message
            self.mailbox.append(message)
        elif self.memory[message.id] != message:
            raise Refused(Cause.CONFLICT, "Resend answered 409 invalid_idempotent_request")
        if self.lost_answers:
            self.lost_answers -= 1
            raise Unknown(Cause.TIMEOUT, "Resend: ReadTimeout")
        return f"accepted-{message.id}"
