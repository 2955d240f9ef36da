"""One order is one trace, from the payment's notification to the mail, through every process."""

import json
import uuid
from pathlib import Path

import httpx
import pytest

from embedded.spans import Receiver, Span, text, whole
from tests.e2e.test_orders import Shop

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


@pytest.fixture
async def shop(stack):
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield Shop(stack, client)


async def test_one_trace_goes_from_the_webhook_to_the_mail(shop: Shop, spans: Receiver):
    placed = (await shop.place([("trace-1", 1)])).json()
    order = placed["orderId"]
    await shop.pay(order)
    await shop.until(placed["statusUrl"], "fulfilled")

    trace = spans.until(order, whole)

    told = text(trace)
    by_id = {span.span_id: span for span in trace}
    services = {span.service for span in trace}
    assert services >= {"ingress", "fulfillment", "kinguin", "delivery"}, told
    assert _ancestors(by_id, _named(trace, "resend send"))[-1].service in {"ingress", "fulfillment"}, told
    parents = {span.name: by_id[span.parent_id].name for span in trace if span.parent_id in by_id}
    assert parents["kinguin reserve"] == "effect buy_key", told
    assert parents["kinguin.calls.v1 process"] == "orders.events.v1 process", told
    assert not [span.name for span in trace if span.failed], told


async def test_each_unit_of_work_is_one_line_with_order_and_trace(shop: Shop, spans: Receiver):
    placed = (await shop.place([("trace-3", 1)])).json()
    order = placed["orderId"]
    await shop.pay(order)
    await shop.until(placed["statusUrl"], "fulfilled")
    spans.until(order, whole)

    of_order = [line for line in _lines(Path(shop.stack["log_dir"]), order) if line.get("order_id") == order]
    assert {line.get("trace_id") for line in of_order} == {uuid.UUID(order).hex}
    assert {(line["service"], line["event"]) for line in of_order} >= {
        ("ingress", "order.accepted"),
        ("ingress", "webhook.accepted"),
        ("fulfillment", "order.decided"),
        ("kinguin", "kinguin.called"),
        ("delivery", "delivery.attempted"),
    }


async def test_no_span_holds_a_code_or_an_address(shop: Shop, spans: Receiver):
    placed = (await shop.place([("trace-2", 2)])).json()
    await shop.pay(placed["orderId"])
    await shop.until(placed["statusUrl"], "fulfilled")
    spans.until(placed["orderId"], whole)

    sold = [key for purchase in (await shop.ledger(placed["orderId"]))["purchases"] for key in purchase["keys"]]
    everything = b"".join(spans.bodies)
    assert len(sold) == 2
    assert placed["orderId"].encode() in everything
    for secret in (*sold, "@example.com", shop.stack["shop_token"], placed["statusUrl"].rsplit("/", 1)[-1]):
        assert secret.encode() not in everything


def _lines(directory: Path, word: str) -> list[dict]:
    return [
        json.loads(line)
        for file in directory.glob("*-1.log")
        for line in file.read_text(errors="replace").splitlines()
        if word in line and line.startswith("{")
    ]


def _named(trace: list[Span], name: str) -> Span:
    return next(span for span in trace if span.name == name)


def _ancestors(by_id: dict[str, Span], span: Span) -> list[Span]:
    found = [span]
    while found[-1].parent_id in by_id:
        found.append(by_id[found[-1].parent_id])
    return found
