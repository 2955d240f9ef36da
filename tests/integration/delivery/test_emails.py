"""What every store of messages does: the one in memory and PostgreSQL's."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bitloot.contracts.events import MailKind
from bitloot.errors import Cause, Refused, Transient
from bitloot.ids import MessageId, order_id
from bitloot.ledger import open_pool
from delivery.emails import PostgresEmails
from delivery.mail import Message
from delivery.sending import Email, MailStatus
from tests.fakes.buyers import keep_key, sealed
from tests.fakes.emails import FakeEmails

ORDER = order_id("emails-suite")
BASE = MessageId(f"{ORDER}/mail/1")
MESSAGE = Message(
    id=BASE,
    order_id=ORDER,
    kind=MailKind.KEYS,
    sender="BitLoot <orders@bitloot.test>",
    recipient="buyer@bitloot.test",
    subject="Your BitLoot Order",
    html="<p>“Hi”</p>",
    text="“Hi”\n",
    link_expires_at=datetime(2026, 3, 1, 12, 15, tzinfo=UTC),
    rendered_at=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
)


@pytest.fixture
async def pool(database):
    async with open_pool(database) as pool:
        await keep_key(pool, ORDER)
        yield pool


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
def emails(request):
    return FakeEmails() if request.param == "memory" else postgres_emails(request.getfixturevalue("pool"))


def postgres_emails(pool):
    return PostgresEmails(pool, former_sender="former@bitloot.test")


async def newest(emails, order=ORDER):
    return (await emails.look(order, BASE)).newest


async def status(emails):
    return (await newest(emails)).status


async def not_now(emails, message=MESSAGE):
    """Keep a message whose first try is known to have come to nothing."""
    await emails.begin_new(message)
    await emails.failed(message.id, MailStatus.RENDERED, "rate_limited: Resend answered 429")


async def test_a_message_comes_back_as_it_was(emails):
    assert await newest(emails) is None
    assert await emails.begin_new(MESSAGE) == Email(MESSAGE, MailStatus.SENDING)
    assert await newest(emails) == Email(MESSAGE, MailStatus.SENDING, None)


async def test_the_key_of_the_buyer_comes_with_it(emails):
    address = sealed(ORDER, "buyer@bitloot.test")

    assert (await emails.look(ORDER, BASE)).key.open(address) == "buyer@bitloot.test"
    await emails.begin_new(MESSAGE)
    assert (await emails.look(ORDER, BASE)).key.open(address) == "buyer@bitloot.test"


async def test_the_first_rendering_under_an_id_stands(emails):
    await not_now(emails)
    other = replace(MESSAGE, text="another link")

    assert await emails.begin_new(other) == Email(MESSAGE, MailStatus.SENDING)
    assert await newest(emails) == Email(MESSAGE, MailStatus.SENDING)


async def test_to_keep_what_is_being_sent_is_to_begin_another_try_of_it(emails):
    await emails.begin_new(MESSAGE)

    assert await emails.begin_new(replace(MESSAGE, text="another link")) == Email(MESSAGE, MailStatus.UNKNOWN)


async def test_the_newest_rendering_has_the_highest_number(emails):
    for number in range(1, 12):
        suffix = f".{number}" if number > 1 else ""
        await emails.begin_new(replace(MESSAGE, id=MessageId(f"{BASE}{suffix}")))
    await emails.begin_new(replace(MESSAGE, id=MessageId(f"{ORDER}/mail/12")))

    assert (await newest(emails)).message.id == f"{BASE}.11"
    assert await newest(emails, order_id("another")) is None


async def test_a_try_that_ends_well(emails):
    await not_now(emails)

    assert (await emails.begin(BASE)).status is MailStatus.SENDING
    await emails.accepted(BASE, "provider-1")
    assert await newest(emails) == Email(MESSAGE, MailStatus.ACCEPTED, "provider-1")


@pytest.mark.parametrize("end", [MailStatus.RENDERED, MailStatus.REFUSED, MailStatus.UNKNOWN])
async def test_a_try_that_fails(emails, end):
    await emails.begin_new(MESSAGE)
    await emails.failed(BASE, end, "why")

    assert await status(emails) is end


async def test_a_try_without_an_end_is_unknown_to_the_next(emails):
    await emails.begin_new(MESSAGE)

    assert (await emails.begin(BASE)).status is MailStatus.UNKNOWN
    await emails.failed(BASE, MailStatus.RENDERED, "refused this time")
    assert await status(emails) is MailStatus.UNKNOWN
    assert (await emails.begin(BASE)).status is MailStatus.UNKNOWN
    await emails.accepted(BASE, "provider-1")
    assert await status(emails) is MailStatus.ACCEPTED


async def test_what_is_accepted_stays_accepted(emails):
    await emails.begin_new(MESSAGE)
    await emails.accepted(BASE, "provider-1")
    await emails.accepted(BASE, "provider-2")
    await emails.failed(BASE, MailStatus.UNKNOWN, "late")

    assert await emails.begin(BASE) == Email(MESSAGE, MailStatus.ACCEPTED, "provider-1")


async def test_mails_that_are_looked_for_together_are_each_found(emails):
    bases = [MessageId(f"{ORDER}/mail/{number}") for number in range(1, 13)]
    for base in bases[:6]:
        await emails.begin_new(replace(MESSAGE, id=base))
    found = await asyncio.gather(*(emails.look(ORDER, base) for base in (*bases, *bases)))

    kept = [each.newest and each.newest.message.id for each in found]
    assert kept == [*bases[:6], *[None] * 6] * 2
    assert all(each.key.open(sealed(ORDER, "buyer@bitloot.test")) == "buyer@bitloot.test" for each in found)


# --- What only the database can show --------------------------------------------------------------


async def test_tries_are_counted_for_people(pool):
    emails = postgres_emails(pool)
    await not_now(emails)
    await emails.begin(BASE)
    await emails.failed(BASE, MailStatus.RENDERED, "rate_limited: Resend answered 429")
    row = await pool.fetchrow("select kind, attempts, last_error, last_attempt_at, accepted_at from emails")

    assert (row["kind"], row["attempts"], row["last_error"]) == ("keys", 2, "rate_limited: Resend answered 429")
    assert row["last_attempt_at"] is not None
    assert row["accepted_at"] is None


async def test_a_message_from_before_senders_were_kept_has_the_former_one(pool):
    emails = postgres_emails(pool)
    await emails.begin_new(MESSAGE)
    await pool.execute("update emails set sender = null")

    assert (await newest(emails)).message == replace(MESSAGE, sender="former@bitloot.test")


async def test_two_workers_keep_one_rendering(pool):
    emails = postgres_emails(pool)
    kept = await asyncio.gather(*(emails.begin_new(replace(MESSAGE, text=f"link {number}")) for number in range(8)))

    assert len({each.message.text for each in kept}) == 1


async def test_a_database_that_is_away_is_transient():
    async with open_pool("postgresql://nobody@127.0.0.1:9/none") as pool:
        emails = postgres_emails(pool)
        for call in (emails.look(ORDER, BASE), emails.begin_new(MESSAGE), emails.begin(BASE)):
            with pytest.raises(Transient) as failure:
                await call
            assert failure.value.cause is Cause.DATABASE_UNAVAILABLE


async def test_nothing_is_kept_of_a_buyer_whose_data_is_being_erased(pool):
    """The erasure has begun and not ended: keeping waits for its end, and then does not happen."""
    emails = postgres_emails(pool)
    async with pool.acquire() as erasing:
        async with erasing.transaction():
            await erasing.execute("update personal_keys set key = null, erased_at = now()")
            keeping = asyncio.create_task(emails.begin_new(MESSAGE))
            await blocked(pool)
        with pytest.raises(Refused) as failure:
            await keeping

    assert failure.value.cause is Cause.BUYER_ERASED
    assert await pool.fetchval("select count(*) from emails") == 0


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ("update personal_keys set key = null, erased_at = now()", Cause.BUYER_ERASED),
        ("delete from personal_keys", Cause.UNKNOWN_KEY_ID),
    ],
)
async def test_without_a_key_nothing_opens_and_what_was_kept_is_still_found(pool, change, cause):
    emails = postgres_emails(pool)
    await emails.begin_new(MESSAGE)
    await pool.execute(change)
    looked = await emails.look(ORDER, BASE)

    assert looked.newest == Email(MESSAGE, MailStatus.SENDING)
    with pytest.raises(Refused) as failure:
        looked.key.open(sealed(ORDER, "buyer@bitloot.test"))
    assert failure.value.cause is cause


async def blocked(pool):
    """Wait until somebody waits for somebody else's transaction."""
    async with asyncio.timeout(60):
        while not await pool.fetchval("select exists (select from pg_locks where not granted)"):
            await asyncio.sleep(0.02)
