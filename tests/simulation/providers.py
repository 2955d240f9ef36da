"""What stands outside beside Kinguin: the mail provider, object storage, and Postgres with the ledger.

What they hold is shared; each process reaches it through ports of its own, which fail as the schedule says.
"""

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bitloot.contracts.effects import EffectRecord
from bitloot.contracts.events import EffectFailed, Failure, Outcome
from bitloot.errors import Cause, Refused, Transient, Unknown
from bitloot.ids import EffectId, MessageId, OrderId
from bitloot.ledger.book import Orders
from bitloot.ledger.store import MARGIN, Claimed, Expired, Finished, Running
from delivery.mail import Message, SignedLink
from delivery.resend import Resend
from delivery.sending import Email, Looked, MailStatus, OrderOfAddress
from delivery.storing import JSON, content
from tests.fakes.buyers import FakeBuyers
from tests.simulation.market import CALL_SECONDS
from tests.simulation.mutations import Bug

if TYPE_CHECKING:
    from tests.simulation.processes import Process

_WITH_EFFECT = {"lost_after", "late", "error_after", "garbled"}


# --- Mail and storage -----------------------------------------------------------------------------


@dataclass
class Mailbox:
    """The mail provider: one mail for each Idempotency-Key, for a day."""

    received: list[Message] = field(default_factory=list)
    memory: dict[str, tuple[float, Message]] = field(default_factory=dict)

    def accept(self, message: Message, key: str, now: float) -> None:
        known = self.memory.get(key)
        if known is None or now - known[0] > 86_400:
            self.memory[key] = (now, message)
            self.received.append(message)
        elif known[1] != message:
            raise Refused(Cause.CONFLICT, "invalid_idempotent_request")


class MailerPort:
    repeatable_for = Resend.repeatable_for
    takes = Resend.takes

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def send(self, message: Message) -> str:
        process, world = self._process, self._process.world
        await process.passes("calling")
        world.watch.called(message.order_id)
        fault = world.fault("mail.send")
        key = f"{message.id}/{world.number()}" if world.has(Bug.MAIL_WITHOUT_KEY) else message.id
        await asyncio.sleep(world.latency())
        process.live()
        how = fault.how if fault is not None else None
        if fault is not None and how == "late":
            world.later(fault.seconds, world.mailbox.accept, message, key, world.loop.time())
        elif how is None or how in _WITH_EFFECT:
            world.mailbox.accept(message, key, world.loop.time())
        elif how == "not_now":
            raise Transient(Cause.RATE_LIMITED, "429", retry_after=2.0)
        elif how == "refused":
            raise Refused(Cause.REJECTED, "422")
        await asyncio.sleep(world.latency() if fault is None else CALL_SECONDS)
        if fault is not None:
            raise Unknown(Cause.TIMEOUT, "no answer")
        await process.passes("called")
        return f"accepted-{message.id}"


class StorePort:
    """Write-once objects, and links to them."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def put_new(self, object_key: str, body: bytes, content_type: str = JSON) -> bool:
        objects = self._process.world.objects
        if self._process.world.has(Bug.CODE_LEFT_OUT):
            body = content(json.loads(body)["codes"][:-1])
        await self._process.passes("calling")
        self._process.world.watch.called(object_key.removeprefix("keys/")[:36])
        fault = self._process.world.fault("store.put")
        await asyncio.sleep(self._process.world.latency())
        self._process.live()
        written = False
        if fault is None or fault.how in _WITH_EFFECT:
            written = objects.setdefault(object_key, body) is body
        if fault is not None and fault.how == "refused":
            raise Refused(Cause.REJECTED, "403")
        if fault is not None:
            raise Transient(Cause.STORAGE_UNAVAILABLE, "no answer")
        await self._process.passes("called")
        return written

    async def get(self, object_key: str) -> bytes:
        await self._process.gate()
        if self._process.world.fault("store.get") is not None:
            raise Transient(Cause.STORAGE_UNAVAILABLE, "no answer")
        return self._process.world.objects[object_key]

    async def delete(self, object_key: str) -> None:
        raise NotImplementedError(object_key)

    async def sign(self, object_key: str) -> SignedLink:
        await self._process.gate()
        now = self._process.clock()
        return SignedLink(f"https://storage.test/{object_key}?at={now.isoformat()}", now + timedelta(minutes=15))


# --- Postgres -------------------------------------------------------------------------------------


async def query(process: "Process", site: str) -> bool:
    """Make the way to Postgres; tells whether the answer will be lost. Raises `Transient` where it is away."""
    await process.gate()
    fault = process.world.fault(site)
    await asyncio.sleep(process.world.latency())
    process.live()
    if process.world.away("database") or (fault is not None and fault.how not in _WITH_EFFECT):
        raise Transient(Cause.DATABASE_UNAVAILABLE, "no answer")
    return fault is not None


@dataclass
class Row:
    """A row of the effect ledger; times are the database's."""

    claimed_by: str
    deadline: datetime
    outcome: Outcome | None = None


class LedgerPort:
    """The contract of `EffectLedger`, for one start of a process, on rows in memory."""

    book = Orders()

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._world = process.world
        self._rows = process.world.ledger
        self._begun: set[EffectId] = set()

    async def claim(self, effect: EffectRecord, kind: str, within: timedelta) -> Claimed | Finished | Running | Expired:
        await self._process.passes("claiming")
        try:
            claim, is_lost = await self._claim(effect.effect_id, within + MARGIN)
        except Transient:
            if not self._world.has(Bug.DATABASE_NOT_AWAITED):
                raise
            self._rows.setdefault(effect.effect_id, Row(self._process.incarnation, self._world.clock()))
            return Claimed()
        if is_lost:
            raise Transient(Cause.DATABASE_UNAVAILABLE, "no answer")
        if isinstance(claim, Claimed):
            self._begun.add(effect.effect_id)
        await self._process.passes("claimed")
        return claim

    async def _claim(self, effect: EffectId, allowed: timedelta) -> tuple[Claimed | Finished | Running | Expired, bool]:
        is_lost = await query(self._process, "ledger.claim")
        row, now = self._rows.get(effect), self._world.clock()
        if row is None or self._world.has(Bug.CLAIM_SKIPPED):
            self._rows[effect] = Row(self._process.incarnation, now + allowed)
            return Claimed(), is_lost
        ours = row.claimed_by == self._process.incarnation and row.outcome is None and effect not in self._begun
        taken_over = self._world.has(Bug.EXPIRED_CLAIM_TAKEN) and row.outcome is None and row.deadline <= now
        if (ours and row.deadline > now) or taken_over:
            row.deadline = now + allowed
            return Claimed(), is_lost
        return self._progress(row), is_lost

    async def look(self, effect_id: EffectId) -> Finished | Running | Expired:
        if await query(self._process, "ledger.look"):
            raise Transient(Cause.DATABASE_UNAVAILABLE, "no answer")
        progress = self._progress(self._rows[effect_id])
        if isinstance(progress, Expired) and self._world.has(Bug.EXPIRED_CLAIM_TAKEN):
            raise Transient(Cause.DATABASE_UNAVAILABLE, "try again: the claim is there to be taken")
        return progress

    async def finish(self, effect_id: EffectId, outcome: Outcome) -> Outcome:
        await self._process.passes("recording")
        if self._world.has(Bug.RETRY_WITHOUT_ASKING) and isinstance(outcome, EffectFailed):
            outcome = outcome.model_copy(update={"failure": Failure.TRANSIENT})
        is_lost = await query(self._process, "ledger.finish")
        row = self._rows[effect_id]
        if row.outcome is None or self._world.has(Bug.LAST_OUTCOME_STANDS):
            row.outcome = outcome
        if is_lost:
            raise Transient(Cause.DATABASE_UNAVAILABLE, "no answer")
        if row.outcome != outcome:
            self._world.watch.outdone(self._process.incarnation, outcome)
        self._begun.discard(effect_id)
        await self._process.passes("recorded")
        return row.outcome

    def _progress(self, row: Row) -> Finished | Running | Expired:
        if row.outcome is not None:
            return Finished(row.outcome)
        by_worker = self._world.has(Bug.DEADLINE_BY_WORKERS_CLOCK)
        now = self._process.clock() if by_worker else self._world.clock()
        return Expired() if row.deadline <= now else Running(row.deadline)


class NoOrders:
    """The read model by mail address: nobody here asks for lost links."""

    async def of_address(self, email: str) -> list[OrderOfAddress]:
        raise NotImplementedError(email)


class EmailsPort:
    """The contract of `PostgresEmails`, on messages in memory."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._kept = process.world.emails

    async def look(self, order: OrderId, base: MessageId) -> Looked:
        await self._query()
        found = [email for key, email in self._kept.items() if key == base or key.startswith(f"{base}.")]
        forgotten = self._process.world.has(Bug.MAIL_STATE_FORGOTTEN)
        return Looked(found[-1] if found and not forgotten else None, FakeBuyers().stored(order))

    async def begin_new(self, message: Message) -> Email:
        await self._query()
        if self._process.world.has(Bug.MAIL_STATE_FORGOTTEN):
            message = replace(message, id=MessageId(f"{message.id}.{self._process.world.number()}"))
        self._kept.setdefault(message.id, Email(message))
        return self._begun(message.id)

    async def begin(self, message: MessageId) -> Email:
        await self._query()
        return self._begun(message)

    def _begun(self, message: MessageId) -> Email:
        after = {MailStatus.RENDERED: MailStatus.SENDING, MailStatus.SENDING: MailStatus.UNKNOWN}
        return self._set(message, after.get(self._kept[message].status, self._kept[message].status))

    async def accepted(self, message: MessageId, provider_id: str) -> None:
        await self._query()
        if self._kept[message].status is not MailStatus.ACCEPTED:
            self._kept[message] = replace(self._set(message, MailStatus.ACCEPTED), provider_id=provider_id)

    async def failed(self, message: MessageId, status: MailStatus, error: str) -> None:
        await self._query()
        if self._kept[message].status is MailStatus.SENDING:
            self._set(message, status)

    def _set(self, message: MessageId, status: MailStatus) -> Email:
        self._kept[message] = replace(self._kept[message], status=status)
        return self._kept[message]

    async def _query(self) -> None:
        if await query(self._process, "emails"):
            raise Transient(Cause.DATABASE_UNAVAILABLE, "no answer")
