"""The kept messages in memory: `Emails`."""

from dataclasses import replace

from bitloot.errors import BitLootError
from bitloot.ids import MessageId, OrderId
from delivery.mail import Message
from delivery.sending import Email, Looked, MailStatus, OrderOfAddress
from tests.fakes.buyers import FakeBuyers


class FakeEmails:
    """Keeps messages in `kept`, in the order they came; `failures` maps a method's name to what its next call raises."""

    def __init__(self, buyers: FakeBuyers | None = None) -> None:
        self._buyers = buyers or FakeBuyers()
        self.kept: dict[str, Email] = {}
        self.errors: list[str] = []
        self.orders: dict[str, list[OrderOfAddress]] = {}
        self.failures: dict[str, BitLootError] = {}

    async def of_address(self, email: str) -> list[OrderOfAddress]:
        self._fail("of_address")
        return self.orders.get(email, [])

    async def look(self, order: OrderId, base: MessageId) -> Looked:
        self._fail("look")
        renderings = [
            email
            for key, email in self.kept.items()
            if email.message.order_id == order and (key == base or key.startswith(f"{base}."))
        ]
        return Looked(renderings[-1] if renderings else None, self._buyers.stored(order))

    async def begin_new(self, message: Message) -> Email:
        self._fail("begin_new")
        self.kept.setdefault(message.id, Email(message))
        return self._begun(message.id)

    async def begin(self, message: MessageId) -> Email:
        self._fail("begin")
        return self._begun(message)

    def _begun(self, message: MessageId) -> Email:
        after = {MailStatus.RENDERED: MailStatus.SENDING, MailStatus.SENDING: MailStatus.UNKNOWN}
        return self._set(message, after.get(self.kept[message].status, self.kept[message].status))

    async def accepted(self, message: MessageId, provider_id: str) -> None:
        self._fail("accepted")
        if self.kept[message].status is not MailStatus.ACCEPTED:
            self.kept[message] = replace(self._set(message, MailStatus.ACCEPTED), provider_id=provider_id)

    async def failed(self, message: MessageId, status: MailStatus, error: str) -> None:
        self._fail("failed")
        self.errors.append(error)
        if self.kept[message].status is MailStatus.SENDING:
            self._set(message, status)

    def _set(self, message: MessageId, status: MailStatus) -> Email:
        self.kept[message] = replace(self.kept[message], status=status)
        return self.kept[message]

    def _fail(self, method: str) -> None:
        if error := self.failures.pop(method, None):
            raise error
