"""The mail provider in trouble for long: the order, its timers and the real sending together, on a clock that is set.

However it fails, the buyer has exactly one mail, and the order is fulfilled by it.
"""

from decimal import Decimal

import pytest

from bitloot.contracts.effects import SendMail
from bitloot.contracts.events import EffectFailed, Failure, Notice, PaymentStatus
from bitloot.contracts.state import OrderStatus
from bitloot.errors import Cause, Refused, Transient, Unknown
from bitloot.ids import outcome_id
from delivery.sending import MailPorts, send_mail
from fulfillment.order import wake_at
from tests.fakes.emails import FakeEmails
from tests.fakes.key_store import FakeKeyStore
from tests.fakes.mailer import FakeMailer
from tests.fakes.time import FakeTime
from tests.unit.fulfillment.order_world import START, World, payment, placed

DOWN = Transient(Cause.PROVIDER_UNAVAILABLE, "Resend: ConnectError")
BROKEN = Unknown(Cause.PROVIDER_UNAVAILABLE, "Resend answered 503")
QUOTA = Transient(Cause.QUOTA_EXCEEDED, "Resend answered 429 daily_quota_exceeded", retry_after=3600)


class Trouble(FakeMailer):
    """Fails until `over`; `accepts` tells whether it takes the mail all the same, and only its answer is lost."""

    def __init__(self, time, error, *, over, accepts=False):
        super().__init__()
        self._time, self._error, self._over, self._accepts = time, error, over, accepts
        self.asked = 0

    async def send(self, message):
        self.asked += 1
        if self._time() >= self._over:
            return await super().send(message)
        if self._accepts:
            await super().send(message)
        raise self._error


class Day:
    """An order whose keys are stored, and its mail."""

    def __init__(self):
        self.world = World()
        self.time = FakeTime(START)
        self.world.tell(placed(1))
        (buy,) = self.world.pay(payment(PaymentStatus.FINISHED, price_amount=Decimal(5)))
        self.world.tell(self.world.outcome(buy))
        (store,) = self.world.tell(self.world.notice(self.world.reservations[0], Notice.DELIVERED, codes=True))
        self.owed = list(self.world.tell(self.world.outcome(store)))

    async def pass_until(self, mailer, end):
        """Let the order's timers and the worker do their work until nothing is owed or the time has come."""
        store = FakeKeyStore(self.time)
        emails = FakeEmails()
        ports = MailPorts(
            emails=emails,
            mailer=mailer,
            links=store,
            page_of=lambda order, generation: f"https://shop.test/o/{order}/{generation}",
            confirmation_of=lambda *_: "",
            orders=emails,
            clock=self.time,
            sender="orders@bitloot.test",
        )
        while self.time() < end:
            while self.owed:
                effect = self.owed.pop(0)
                assert isinstance(effect, SendMail)
                self.owed += self.world.tell(await self._outcome(effect, ports))
            due = wake_at(self.world.order)
            if self.world.order.closed or due is None:
                return
            self.time.now = max(self.time.now, due)
            self.owed += self.world.fire_timer(self.time.now)

    async def _outcome(self, effect, ports):
        try:
            return await send_mail(effect, ports)
        except (Transient, Refused) as error:
            return EffectFailed(
                event_id=outcome_id(effect.effect_id, "effect.failed"),
                occurred_at=self.time(),
                order_id=effect.order_id,
                effect_id=effect.effect_id,
                failure=Failure.TRANSIENT if isinstance(error, Transient) else Failure.REFUSED,
                cause=error.cause,
                retry_after=getattr(error, "retry_after", None),
            )


@pytest.fixture
def day():
    return Day()


@pytest.mark.parametrize(
    ("error", "minutes", "accepts"),
    [
        (DOWN, 10, False),
        (BROKEN, 10, False),
        (BROKEN, 10, True),
        (Unknown(Cause.TIMEOUT, "Resend: ReadTimeout"), 10, True),
        (QUOTA, 180, False),
        (QUOTA, 20 * 60, False),
    ],
    ids=["down", "5xx", "5xx after accepting", "answers lost after accepting", "quota for 3 h", "quota for 20 h"],
)
async def test_whatever_fails_for_however_long_it_is_one_mail(day, error, minutes, accepts):
    day.time.now = day.world.now
    over = FakeTime(day.time())
    over.advance(minutes=minutes)
    end = FakeTime(over())
    end.advance(hours=3)
    mailer = Trouble(day.time, error, over=over(), accepts=accepts)
    await day.pass_until(mailer, end())

    assert day.world.order.status is OrderStatus.FULFILLED
    assert len(mailer.mailbox) == 1
    assert day.world.order.incidents == ()
    assert mailer.mailbox[0].id.startswith(f"{day.world.order.order_id}/mail/1")
    if error is QUOTA:
        assert mailer.asked <= minutes // 60 + 2  # about once an hour: it is not hammered


async def test_a_quota_that_does_not_come_back_is_for_a_human_and_the_page_has_the_keys(day):
    day.time.now = day.world.now
    over, end = FakeTime(day.time()), FakeTime(day.time())
    over.advance(days=30)
    end.advance(days=2)
    mailer = Trouble(day.time, QUOTA, over=over())
    await day.pass_until(mailer, end())

    assert (day.world.order.status, day.world.order.review.cause) == (OrderStatus.NEEDS_REVIEW, "quota_exceeded")
    assert mailer.mailbox == []
    assert day.world.order.object_key is not None
