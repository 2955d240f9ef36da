from dataclasses import replace
from datetime import timedelta

import pytest

from bitloot.contracts.events import MailKind
from bitloot.errors import Cause, Refused, Transient, Unknown
from bitloot.ids import order_id
from delivery.sending import MailPorts, MailStatus, OrderOfAddress, send_mail
from tests.fakes.buyers import FakeBuyers, sealed
from tests.fakes.emails import FakeEmails
from tests.fakes.key_store import FakeKeyStore
from tests.fakes.mailer import FakeMailer
from tests.fakes.time import FakeTime
from tests.unit.delivery.samples import ORDER, mail_effect

MAIL = f"{ORDER}/mail/1"
LATER = Transient(Cause.RATE_LIMITED, "Resend answered 429 rate_limit_exceeded", retry_after=3)
NEVER = Refused(Cause.REJECTED, "Resend answered 422 validation_error")
LOST = Unknown(Cause.TIMEOUT, "Resend: ReadTimeout")
DATABASE_AWAY = Transient(Cause.DATABASE_UNAVAILABLE, "PostgreSQL: ConnectionDoesNotExistError")


class Room:
    """Everything a mail needs, in memory; `send(attempt)` is one try of the same mail."""

    def __init__(self):
        self.time = FakeTime()
        self.buyers = FakeBuyers()
        self.emails = FakeEmails(self.buyers)
        self.mailer = FakeMailer()
        self.store = FakeKeyStore(self.time)
        self.ports = MailPorts(
            emails=self.emails,
            mailer=self.mailer,
            links=self.store,
            page_of=lambda order, generation: f"https://shop.test/o/{order}/{generation}",
            confirmation_of=lambda order, generation, email: f"https://shop.test/o/email/{order}/{generation}/{email}",
            orders=self.emails,
            clock=self.time,
            sender="BitLoot <orders@bitloot.test>",
        )

    async def send(self, attempt=1, **wish):
        return await send_mail(mail_effect(attempt=attempt, **wish), self.ports)

    def lose_the_confirmation_of_a_new_rendering(self):
        """Let the next one be kept and its try begun, and nobody hear of it: as a crash right after would."""
        keep = self.emails.begin_new

        async def kept_and_lost(message):
            self.emails.begin_new = keep
            await keep(message)
            raise DATABASE_AWAY

        self.emails.begin_new = kept_and_lost

    async def fails(self, attempt=1, **wish):
        with pytest.raises((Transient, Refused)) as failure:
            await self.send(attempt, **wish)
        return failure.value

    @property
    def ids(self):
        return [each.id for each in self.mailer.mailbox]

    def status(self, message=MAIL):
        return self.emails.kept[message].status


@pytest.fixture
def room():
    return Room()


async def test_a_mail_is_kept_before_it_is_sent(room):
    outcome = await room.send()

    assert room.mailer.mailbox == [room.emails.kept[MAIL].message]
    assert room.status() is MailStatus.ACCEPTED
    assert outcome.event_id == f"{ORDER}/mail/1/sent"
    assert (outcome.effect_id, outcome.message_id) == (f"{ORDER}/mail/1", MAIL)
    assert outcome.provider_message_id == f"accepted-{MAIL}"
    assert outcome.occurred_at == room.time()


async def test_an_accepted_mail_is_not_sent_again(room):
    first = await room.send()
    room.mailer.memory.clear()  # not even after the provider has forgotten it
    room.time.advance(days=3)
    second = await room.send(attempt=2)

    assert room.ids == [MAIL]
    assert second.provider_message_id == first.provider_message_id
    assert second.effect_id == f"{ORDER}/mail/2"


async def test_once_the_buyer_is_erased_no_mail_leaves_and_nothing_is_tried_again(room):
    room.buyers.gone.add(ORDER)

    failure = await room.fails()

    assert (type(failure), failure.cause) == (Refused, Cause.BUYER_ERASED)
    assert (room.emails.kept, room.ids) == ({}, [])


async def test_a_rendering_that_was_kept_before_the_erasure_is_not_sent(room):
    room.mailer.refusals = [LATER]
    await room.fails()
    room.buyers.gone.add(ORDER)

    assert (await room.fails(attempt=2)).cause is Cause.BUYER_ERASED
    assert room.ids == []


async def test_an_erasure_between_looking_and_trying_is_noticed(room):
    room.mailer.refusals = [LATER]
    await room.fails()
    begin = room.emails.begin

    async def erased_right_before(message):
        email = room.emails.kept[message]
        room.emails.kept[message] = replace(email, message=replace(email.message, recipient="", html="", text=""))
        return await begin(message)

    room.emails.begin = erased_right_before

    assert (await room.fails(attempt=2)).cause is Cause.BUYER_ERASED
    assert room.ids == []


async def test_a_mail_that_was_sent_before_the_erasure_stays_sent(room):
    await room.send()
    room.buyers.gone.add(ORDER)

    assert (await room.send(attempt=2)).provider_message_id == f"accepted-{MAIL}"
    assert room.ids == [MAIL]


async def test_what_was_sealed_for_another_order_is_not_mailed(room):
    effect = mail_effect().model_copy(update={"email": sealed(order_id("another"), "buyer@bitloot.test")})
    with pytest.raises(Refused) as failure:
        await send_mail(effect, room.ports)

    assert failure.value.cause is Cause.BROKEN_BOX


async def test_while_the_keys_are_away_the_mail_waits(room):
    room.buyers.away = True

    assert (await room.fails()).cause is Cause.DATABASE_UNAVAILABLE
    room.buyers.away = False
    await room.send(attempt=2)
    assert room.ids == [MAIL]


async def test_a_lost_answer_is_transient_and_the_next_try_sends_the_same(room):
    room.mailer.lost_answers = 1

    failure = await room.fails()
    assert (type(failure), failure.cause) == (Transient, Cause.TIMEOUT)
    assert room.status() is MailStatus.UNKNOWN
    await room.send(attempt=2)

    assert room.ids == [MAIL]
    assert room.store.signed == 1


async def test_an_unknown_outcome_is_repeated_even_when_its_link_has_run_out(room):
    room.mailer.lost_answers = 1
    await room.fails()
    room.time.advance(hours=2)
    await room.send(attempt=2)

    assert room.ids == [MAIL]


async def test_one_unknown_try_is_not_forgotten_for_later_refusals(room):
    room.mailer.lost_answers = 1
    await room.fails()
    room.mailer.refusals = [LATER]
    failure = await room.fails(attempt=2)
    room.time.advance(hours=2)
    await room.send(attempt=3)

    assert failure.retry_after == 3
    assert room.ids == [MAIL]


async def test_a_process_that_died_while_sending_is_an_unknown_outcome(room):
    room.emails.failures["accepted"] = DATABASE_AWAY  # accepted, and nobody could write it down
    await room.fails()
    assert room.status() is MailStatus.SENDING

    room.time.advance(hours=2)
    await room.send(attempt=2)

    assert room.ids == [MAIL]
    assert room.status() is MailStatus.ACCEPTED


async def test_a_crash_between_rendering_and_sending_sends_the_kept_rendering(room):
    room.lose_the_confirmation_of_a_new_rendering()
    await room.fails()
    room.time.advance(minutes=5)
    await room.send(attempt=2)

    assert room.store.signed == 1
    assert room.mailer.mailbox[0].rendered_at == room.time() - timedelta(minutes=5)


async def test_refused_for_now_is_sent_again_while_its_link_works(room):
    room.mailer.refusals = [LATER]
    failure = await room.fails()
    room.time.advance(minutes=14)
    await room.send(attempt=2)

    assert failure is LATER
    assert room.ids == [MAIL]
    assert room.emails.errors == [str(LATER)]


async def test_refused_for_now_is_rendered_anew_when_its_link_has_run_out(room):
    room.mailer.refusals = [LATER, LATER]
    await room.fails()
    room.time.advance(minutes=15)
    await room.fails(attempt=2)
    room.time.advance(minutes=15)
    outcome = await room.send(attempt=3)

    assert list(room.emails.kept) == [MAIL, f"{MAIL}.2", f"{MAIL}.3"]
    assert room.ids == [f"{MAIL}.3"]
    assert room.mailer.mailbox[0].link_expires_at == room.time() + timedelta(minutes=15)
    assert outcome.message_id == MAIL


async def test_refused_for_good_is_refused_and_a_deliberate_new_try_is_rendered_anew(room):
    room.mailer.refusals = [NEVER]
    failure = await room.fails()
    await room.send(attempt=2, email="corrected@bitloot.test")

    assert failure is NEVER
    assert room.status() is MailStatus.REFUSED
    assert [(each.id, each.recipient) for each in room.mailer.mailbox] == [(f"{MAIL}.2", "corrected@bitloot.test")]


async def test_an_unknown_outcome_is_repeated_for_23_hours_only(room):
    room.mailer.lost_answers = 1
    await room.fails()
    room.time.advance(hours=22, minutes=59)
    room.mailer.refusals = [LATER]
    assert (await room.fails(attempt=2)).cause is Cause.RATE_LIMITED

    room.time.advance(minutes=1)
    room.mailer.memory.clear()
    failure = await room.fails(attempt=3)

    assert (type(failure), failure.cause) == (Refused, Cause.MAIL_OUTCOME_UNKNOWN)
    assert room.ids == [MAIL]


async def test_a_mail_of_unknown_outcome_is_sent_again_under_a_new_number_only(room):
    room.mailer.lost_answers = 1
    await room.fails()
    room.time.advance(hours=24)
    room.mailer.memory.clear()
    assert (await room.fails(attempt=2)).cause is Cause.MAIL_OUTCOME_UNKNOWN
    assert (await room.fails(attempt=3)).cause is Cause.MAIL_OUTCOME_UNKNOWN
    await room.send(attempt=4, number=2)

    assert room.ids == [MAIL, f"{ORDER}/mail/2"]


async def test_a_retry_says_the_same_whoever_sends_by_then(room):
    room.mailer.lost_answers = 1
    await room.fails()
    room.ports = replace(room.ports, sender="New name <new@bitloot.test>")
    await room.send(attempt=2)
    await room.send(attempt=3, number=2)

    assert [each.sender for each in room.mailer.mailbox] == [
        "BitLoot <orders@bitloot.test>",
        "New name <new@bitloot.test>",
    ]


async def test_a_try_that_another_worker_finished_meanwhile_is_reported_as_sent(room):
    room.lose_the_confirmation_of_a_new_rendering()
    await room.fails()
    await room.emails.accepted(MAIL, "accepted-elsewhere")
    outcome = await room.send(attempt=2)

    assert room.ids == []
    assert outcome.provider_message_id == "accepted-elsewhere"


async def test_where_nothing_can_be_repeated_an_unknown_outcome_is_for_a_human(room):
    room.mailer.repeatable_for = timedelta(0)
    room.mailer.lost_answers = 1
    await room.fails()
    room.mailer.memory.clear()
    failure = await room.fails(attempt=2)

    assert (type(failure), failure.cause) == (Refused, Cause.MAIL_OUTCOME_UNKNOWN)
    assert room.ids == [MAIL]


async def test_where_nothing_can_be_repeated_a_process_that_died_while_sending_is_for_a_human(room):
    room.mailer.repeatable_for = timedelta(0)
    room.emails.failures["accepted"] = DATABASE_AWAY
    await room.fails()
    room.mailer.memory.clear()
    failure = await room.fails(attempt=2)

    assert (type(failure), failure.cause) == (Refused, Cause.MAIL_OUTCOME_UNKNOWN)
    assert room.ids == [MAIL]


async def test_where_nothing_can_be_repeated_a_try_that_began_unheard_of_is_for_a_human(room):
    room.mailer.repeatable_for = timedelta(0)
    room.lose_the_confirmation_of_a_new_rendering()
    await room.fails()

    assert (await room.fails(attempt=2)).cause is Cause.MAIL_OUTCOME_UNKNOWN
    assert room.ids == []


async def test_a_rendering_that_could_not_be_kept_is_made_anew(room):
    room.mailer.repeatable_for = timedelta(0)
    room.emails.failures["begin_new"] = DATABASE_AWAY
    await room.fails()
    await room.send(attempt=2)

    assert room.ids == [MAIL]


async def test_where_nothing_can_be_repeated_what_was_refused_for_now_is_sent_later(room):
    room.mailer.repeatable_for = timedelta(0)
    room.mailer.refusals = [LATER]
    await room.fails()
    await room.send(attempt=2)

    assert room.ids == [MAIL]


async def test_without_direct_links_a_mail_links_to_the_page_alone_and_stays_true(room):
    room.ports = replace(room.ports, direct_link=False)
    room.mailer.refusals = [LATER]
    await room.fails()
    room.time.advance(days=3)
    await room.send(attempt=2)

    assert room.store.signed == 0
    assert room.ids == [MAIL]


async def test_what_has_lost_its_texts_meanwhile_is_rendered_anew(room):
    room.ports = replace(room.ports, direct_link=False)
    room.mailer.refusals = [LATER]
    await room.fails()
    kept = room.emails.kept[MAIL]
    room.emails.kept[MAIL] = replace(kept, message=replace(kept.message, html="", text=""))  # as retention does
    room.time.advance(days=31)
    await room.send(attempt=2)

    assert room.ids == [f"{MAIL}.2"]
    assert room.mailer.mailbox[0].html


async def test_a_confirmation_links_to_nothing_but_itself(room):
    await room.send(kind=MailKind.CONFIRM, email="right@bitloot.test")
    (mail,) = room.mailer.mailbox

    assert f"https://shop.test/o/email/{ORDER}/1/right@bitloot.test" in mail.text
    assert f"https://shop.test/o/{ORDER}" not in mail.text


async def test_lost_links_are_those_of_all_orders_of_the_address(room):
    other = order_id("another of the same buyer")
    room.emails.orders["buyer@bitloot.test"] = [
        OrderOfAddress(ORDER, 3, room.time(), "Half-Life 3"),
        OrderOfAddress(other, 1, room.time(), "Portal 3"),
    ]
    await room.send(kind=MailKind.LOST)

    assert f"https://shop.test/o/{ORDER}/3\n" in room.mailer.mailbox[0].text
    assert f"https://shop.test/o/{other}/1\n" in room.mailer.mailbox[0].text


async def test_two_mails_of_one_order_are_two_mails(room):
    await room.send()
    await room.send(attempt=2, number=2)

    assert room.ids == [MAIL, f"{ORDER}/mail/2"]


async def test_without_a_link_nothing_is_kept(room):
    room.store.failures = [Transient(Cause.STORAGE_UNAVAILABLE, "storage: EndpointConnectionError")]
    await room.fails()

    assert room.emails.kept == {}


async def test_an_address_with_a_line_break_is_refused(room):
    failure = await room.fails(email="a@b.c\r\nBcc: d@e.f")

    assert (type(failure), failure.cause) == (Refused, Cause.BAD_RECIPIENT)
    assert room.emails.kept == {}
