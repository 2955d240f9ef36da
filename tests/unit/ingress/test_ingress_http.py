"""What all endpoints share: an answer only when it is stored, health, headers."""

import uuid
from typing import Any

import pytest

from bitloot.contracts.topics import WEBHOOKS_LOG, Topic
from bitloot.health import Health
from bitloot.kafka import ProducerFailed
from bitloot.metrics import WEBHOOKS_ACCEPTED, WEBHOOKS_NOT_STORED
from ingress.app import Ports, build
from tests.fakes.producer import FakeProducer
from tests.unit.ingress import rig as rigs
from tests.unit.ingress.conftest import Lines, Start
from tests.unit.ingress.rig import IPN_SECRET, SECRETS, Rig, ipn, leaks, refusal


async def send_ipn(rig: Rig) -> Any:
    return await rig.ipn(ipn())


async def send_kinguin(rig: Rig) -> Any:
    return await rig.kinguin({"event": "give", "reservationId": "r-1"})


async def send_esa(rig: Rig) -> Any:
    return await rig.esa({"orderId": "X", "status": "completed"})


async def send_resend(rig: Rig) -> Any:
    return await rig.resend({"type": "email.sent", "data": {"email_id": "1"}})


WEBHOOKS = {
    "nowpayments": (send_ipn, 200),
    "kinguin": (send_kinguin, 200),
    "kinguin esa": (send_esa, 204),
    "resend": (send_resend, 204),
}


@pytest.mark.parametrize("name", WEBHOOKS)
async def test_no_answer_of_success_before_the_broker_has_acknowledged(rig: Rig, lines: Lines, name: str):
    send, status = WEBHOOKS[name]
    counter = WEBHOOKS_NOT_STORED.labels(name.split(maxsplit=1)[0])
    before = counter._value.get()
    rig.producer.away = True

    response = await send(rig)

    await refusal(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert counter._value.get() == before + 1
    assert len(lines.of("webhook.not_stored")) == 1
    assert not lines.of("webhook.accepted")

    rig.producer.away = False
    assert (await send(rig)).status == status


class LogAway(FakeProducer):
    """Acknowledges all but the log."""

    async def _acknowledge(self, topic: Topic, key: str, value: bytes) -> None:
        self.away = topic is WEBHOOKS_LOG
        await super()._acknowledge(topic, key, value)


class EventsAway(FakeProducer):
    """Acknowledges the log only."""

    async def _acknowledge(self, topic: Topic, key: str, value: bytes) -> None:
        self.away = topic is not WEBHOOKS_LOG
        await super()._acknowledge(topic, key, value)


class Broken(FakeProducer):
    """Has failed for good."""

    async def _acknowledge(self, topic: Topic, key: str, value: bytes) -> None:
        raise ProducerFailed("OutOfOrderSequenceNumber")


@pytest.mark.parametrize("producer", [LogAway, EventsAway, Broken])
async def test_both_records_must_be_acknowledged(start: Start, producer: type[FakeProducer]):
    rig = await start(rigs.settings(), producer())

    await refusal(await rig.ipn(ipn()), 503)


async def test_an_order_is_not_accepted_by_a_producer_that_failed(start: Start):
    rig = await start(rigs.settings(), Broken())

    await refusal(await rig.order(rigs.order()), 503)


async def test_accepted_notifications_count_by_secret(rig: Rig):
    counter = WEBHOOKS_ACCEPTED.labels("nowpayments", "previous")
    before = counter._value.get()

    await rig.ipn(ipn(), secret=rigs.IPN_SECRET_BEFORE)

    assert counter._value.get() == before + 1


async def test_health_and_metrics(rig: Rig):
    await rig.ipn(ipn())
    for path in ("/healthz", "/readyz"):
        assert (await rig.client.get(path)).status == 200
    metrics = await (await rig.client.get("/metrics")).text()
    assert 'bitloot_webhooks_accepted_total{provider="nowpayments",secret="current"}' in metrics
    assert 'route="/webhooks/nowpayments"' in metrics


async def test_a_notification_joins_the_trace_of_its_order(rig: Rig, lines: Lines):
    await rig.ipn(ipn(), traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    (line,) = lines.of("webhook.accepted")
    assert line["trace_id"] == uuid.UUID(line["order_id"]).hex


async def test_odd_headers_are_logged_without_harm(rig: Rig):
    response = await rig.ipn(ipn(), **{"User-Agent": "é\udcff" * 400, "X-Forwarded-For": "203.0.113.9"})

    assert response.status == 200
    headers = rig.logged[0].headers
    assert len(headers["user-agent"]) <= 300
    assert headers["x-forwarded-for"] == "203.0.113.9"


def test_the_scan_for_leaks_finds_what_is_planted():
    assert leaks("nothing here") == []
    for secret in SECRETS:
        assert leaks(f'{{"x": "{secret}"}}')
    assert leaks("https://keys.example.test/o/ASLkRVAaTITrrOOgQUL8W7UAAAABAGt7eoAbjWzOYwqSgoEok_tQOpp4")


def test_secrets_are_not_shown_by_the_settings():
    settings = rigs.settings()

    assert IPN_SECRET.get_secret_value() not in repr(settings)
    assert leaks(repr(settings)) == []


def test_building_opens_nothing():
    # No loop runs here: whatever connects belongs in `open_ports`.
    assert build(rigs.settings(), Ports(object(), object(), object(), object(), object()), Health())  # type: ignore[arg-type]
