"""The worker on a real ledger, a real S3 server and the sandbox's mail provider; only Kafka is in memory."""

import asyncio
import io
import json
import logging
import re
import sys
from datetime import UTC, datetime

import httpx
import pytest
import structlog

from bitloot import log
from bitloot.consumer import Consumed
from bitloot.contracts.events import EffectFailed, Failure, KeysStored, MailSent
from bitloot.contracts.topics import DELIVERIES, ORDER_EVENTS
from bitloot.errors import Cause, Transient
from bitloot.ids import order_id
from bitloot.incarnation import incarnation
from bitloot.ledger import EffectLedger
from delivery.emails import PostgresEmails
from delivery.pace import Pace
from delivery.sending import MailPorts
from delivery.worker import DeliveryWorker, WorkerPorts
from tests.fakes.buyers import keep_key
from tests.fakes.producer import FakeProducer
from tests.integration.delivery.conftest import now, open_mailer
from tests.unit.delivery.samples import OPENER, mail_effect, store_effect

CODES = ["PLANTED-AAAA-1111", "PLANTED-BBBB-2222", "PLANTED-CCCC-3333"]


class World:
    """One order's delivery; `restart` is a new process of the worker."""

    def __init__(self, name, pool, r2, sandbox, mailer):
        self.order = order_id(name)
        self.pool = pool
        self.sandbox = sandbox
        self.producer = FakeProducer()
        self._r2 = r2
        self._mailer = mailer
        self.sender = "BitLoot <orders@bitloot.test>"
        self.restart()

    def restart(self):
        emails = PostgresEmails(self.pool, former_sender=self.sender)
        mail = MailPorts(
            emails=emails,
            mailer=self._mailer,
            links=self._r2,
            page_of=lambda order, _: f"https://shop.test/o/token-of-{order}",
            confirmation_of=lambda *_: "https://shop.test/o/email/token",
            orders=emails,
            clock=now,
            sender=self.sender,
        )
        ledger = EffectLedger(self.pool, incarnation("test"))
        self.worker = DeliveryWorker(
            WorkerPorts(OPENER, self._r2, self._r2, mail, Pace(1000), ledger, self.producer, now)
        )

    async def handle(self, effect):
        """Handle one record and return the outcome that it leads to."""
        await self.worker.handle(Consumed(DELIVERIES, 0, 0, self.order, effect, {}, datetime.now(UTC)))
        return self.producer.on(ORDER_EVENTS)[-1]

    async def store(self, attempt=1, codes=CODES):
        return await self.handle(store_effect(codes[:2], codes[2:], order=self.order, attempt=attempt))

    async def mail(self, attempt=1):
        await keep_key(self.pool, self.order)
        return await self.handle(mail_effect(order=self.order, attempt=attempt))

    async def fail_sending(self, **rule):
        await self.sandbox.fail({"provider": "resend", "call": "send", "count": 1, **rule})

    async def mails(self):
        return await self.sandbox.mails()


@pytest.fixture
async def world(request, pool, r2, sandbox):
    async with open_mailer(sandbox) as mailer:
        yield World(request.node.name, pool, r2, sandbox, mailer)


async def test_keys_are_stored_and_the_link_in_the_mail_opens_them(world):
    stored, sent = await world.store(), await world.mail()

    assert isinstance(stored, KeysStored)
    assert (stored.object_key, stored.codes) == (f"keys/{world.order}.json", 3)
    assert isinstance(sent, MailSent)
    (mail,) = await world.mails()
    assert (mail["subject"], mail["id"]) == ("Your BitLoot Order", sent.provider_message_id)
    page, link = re.findall(r"https?://\S+", mail["text"])
    assert page == f"https://shop.test/o/token-of-{world.order}"
    async with httpx.AsyncClient() as buyer:
        assert (await buyer.get(link)).json() == {"codes": CODES}
    assert not any(code in json.dumps(mail) for code in CODES)


async def test_records_that_come_again_tell_the_same_again(world):
    first = [await world.store(), await world.mail()]
    world.restart()
    second = [await world.store(), await world.mail()]

    assert [each.event_id for each in first] == [each.event_id for each in second]
    assert first[1] == second[1]
    assert len(await world.mails()) == 1


async def test_a_lost_answer_after_acceptance_is_one_mail(world):
    await world.store()
    await world.fail_sending(kind="timeout_after", delay=0)

    failed = await world.mail()
    assert isinstance(failed, EffectFailed)
    assert failed.failure is Failure.TRANSIENT
    sent = await world.mail(attempt=2)

    assert isinstance(sent, MailSent)
    (mail,) = await world.mails()
    assert mail["id"] == sent.provider_message_id
    row = await world.pool.fetchrow("select status, attempts from emails")
    assert (row["status"], row["attempts"]) == ("accepted", 2)


async def test_a_changed_sender_does_not_change_a_mail_that_may_have_been_accepted(world):
    await world.store()
    await world.fail_sending(kind="timeout_after", delay=0)
    await world.mail()
    first, world.sender = world.sender, "New name <new@bitloot.test>"
    world.restart()

    # Another body under the same key would be refused with 409.
    assert isinstance(await world.mail(attempt=2), MailSent)
    (mail,) = await world.mails()
    assert mail["from"] == first


@pytest.mark.parametrize("moment", ["before it was sent", "after it was accepted"])
async def test_a_process_killed_around_the_send_leads_to_one_mail(world, moment):
    await world.store()
    # The provider takes it at once or not at all, and never answers: this is where the process dies.
    await world.fail_sending(kind="timeout_before" if "before" in moment else "timeout_after", delay=30)
    dying = asyncio.create_task(world.mail())
    async with asyncio.timeout(10):
        while await world.pool.fetchval("select count(*) from emails where status = 'sending'") == 0:
            await asyncio.sleep(0.01)
        while not (await world.sandbox.ledger(world.order))["calls"]:
            await asyncio.sleep(0.01)
    dying.cancel()
    await asyncio.wait({dying})
    await world.pool.execute("update effect_ledger set deadline = now()")  # time passes
    world.restart()

    abandoned = await world.mail()
    assert (abandoned.failure, abandoned.cause) == (Failure.UNKNOWN, Cause.ABANDONED)
    sent = await world.mail(attempt=2)

    assert isinstance(sent, MailSent)
    assert len(await world.mails()) == 1


async def test_a_crash_between_rendering_and_sending_sends_what_was_rendered(world):
    await world.store()
    await world.fail_sending(kind="error", status=429)
    await world.mail()
    rendered = await world.pool.fetchrow("select id, html, status from emails")
    world.restart()
    await world.mail(attempt=2)

    (mail,) = await world.mails()
    assert rendered["status"] == "rendered"
    assert mail["html"] == rendered["html"]


async def test_two_workers_with_the_same_record_send_one_mail(world):
    await world.store()
    await keep_key(world.pool, world.order)
    first = world.worker
    world.restart()
    record = Consumed(DELIVERIES, 0, 0, world.order, mail_effect(order=world.order), {}, now())
    await asyncio.gather(first.handle(record), world.worker.handle(record))

    sent = [each for each in world.producer.on(ORDER_EVENTS) if isinstance(each, MailSent)]
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert len(await world.mails()) == 1


async def test_another_object_under_the_order_s_name_needs_a_human(world):
    await world.store()
    failed = await world.store(attempt=2, codes=["OTHER-1", "OTHER-2", "OTHER-3"])

    assert (failed.failure, failed.cause) == (Failure.REFUSED, Cause.CONFLICT)


async def test_an_outcome_that_kafka_did_not_take_is_published_by_the_repeat(world):
    await world.store()
    world.producer.away = True
    with pytest.raises(Transient):
        await world.mail()
    world.producer.away = False

    assert isinstance(await world.mail(), MailSent)
    assert len(await world.mails()) == 1


@pytest.fixture
def written():
    """All that the process logs at its most talkative; put back afterwards."""
    root = logging.root
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    levels = {name: logging.getLogger(name).level for name in log._FLOORS}
    stream = io.StringIO()
    log.configure("delivery", "delivery-1", "DEBUG", stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level, sys.excepthook = handlers, level, hook
    for name, each in levels.items():
        logging.getLogger(name).setLevel(each)


async def test_no_code_and_no_signed_link_outside_storage_and_mail(world, written):
    await world.store()
    await world.store(attempt=2)
    await world.store(attempt=3, codes=["PLANTED-OTHER-1", "PLANTED-OTHER-2", "PLANTED-OTHER-3"])
    await world.fail_sending(kind="timeout_after", delay=0)
    await world.mail()
    await world.mail(attempt=2)
    tables = [
        record
        for table in ("effect_ledger", "emails")
        for record in await world.pool.fetch(f"select to_jsonb({table})::text as row from {table}")  # noqa: S608
    ]
    (mail,) = await world.mails()
    signature = re.search(r"X-Amz-Signature=(\w+)", mail["text"]).group(1)
    logged, stored = written.getvalue(), "".join(record["row"] for record in tables)

    assert "delivery.attempted" in logged
    assert "keys.stored" in logged
    assert world.order in stored
    assert "PLANTED" not in logged
    assert "PLANTED" not in stored
    assert "PLANTED" not in "".join(each.value.decode() for each in world.producer.sent)
    assert signature not in logged
    assert signature not in "".join(each.value.decode() for each in world.producer.sent)
