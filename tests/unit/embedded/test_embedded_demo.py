"""The demo believes nothing: against a fake stack that cheats in one place, it must fail there."""

import io
import json

import httpx
import pytest
from rich.console import Console

from embedded.demo import _show, client
from embedded.errors import DemoFailed

FACTS = {
    "ingress_url": "http://ingress",
    "sandbox_url": "http://sandbox",
    "s3_endpoint": "http://s3",
    "shop_token": "token",
    "log_dir": "/logs",
}
ORDER = "3f1c1f6e-0000-4000-8000-000000000001"
STEPS = ("placed", "paid", "purchased", "stored", "mailed")


class FakeStack:
    """Answers as the services do."""

    def __init__(self) -> None:
        self.codes = ["A-1", "A-2", "B-1"]
        self.sold = [["A-1", "A-2"], ["B-1"]]
        self.mails = [{"subject": "Your BitLoot Order", "text": "Open it here:\n\nhttp://s3/bucket/keys?sig=1\n"}]
        self.notices = [{"paymentStatus": "finished", "status": 200}]
        self.statuses = [("purchasing", 3), ("fulfilled", 5)]
        self.order_status = 201

    def __call__(self, request: httpx.Request) -> httpx.Response:  # noqa: PLR0911 - one for each endpoint
        match request.method, request.url.host, request.url.path:
            case "POST", "ingress", "/orders":
                assert request.headers["Authorization"] == "Bearer token"
                assert request.headers["Idempotency-Key"]
                items = json.loads(request.content)["items"]
                assert sum(item["quantity"] for item in items) == len(self.sold[0]) + len(self.sold[1])
                placed = {"orderId": ORDER, "statusUrl": "http://page/o/token", "payUrl": "http://pay"}
                return httpx.Response(self.order_status, json=placed)
            case "POST", "sandbox", path if path == f"/_pay/{ORDER}":
                return httpx.Response(200, json=self.notices)
            case "GET", "page", "/o/token/status":
                return httpx.Response(200, json=self._status())
            case "GET", "sandbox", "/_mail":
                return httpx.Response(200, json={"items": self.mails, "total": len(self.mails)})
            case "GET", "sandbox", "/_ledger":
                return httpx.Response(200, json={"purchases": [{"keys": keys} for keys in self.sold]})
            case "GET", "s3", "/bucket/keys":
                return httpx.Response(200, json={"codes": self.codes})
        return httpx.Response(404)

    def _status(self) -> dict:
        status, done = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        steps = [
            {
                "name": name,
                "label": name.title(),
                "done": at < done,
                "at": f"2026-01-01T00:00:0{at}Z" if at < done else None,
            }
            for at, name in enumerate(STEPS)
        ]
        return {"status": status, "headline": "The headline", "steps": steps}


@pytest.fixture
def fake():
    return FakeStack()


def run(fake, **options) -> str:
    screen = io.StringIO()
    with httpx.Client(transport=httpx.MockTransport(fake)) as client:
        _show(FACTS, client, Console(file=screen, width=200), **options)
    return screen.getvalue()


def test_it_shows_five_steps_with_their_times_the_page_and_the_codes(fake):
    said = run(fake)
    lines = [line.split() for line in said.splitlines()]
    assert [line for line in lines if line and line[0].lower() in STEPS] == [
        ["Placed", "0.00", "s"],
        ["Paid", "1.00", "s"],
        ["Purchased", "2.00", "s"],
        ["Stored", "3.00", "s"],
        ["Mailed", "4.00", "s"],
    ]
    assert "http://page/o/token" in said
    assert all(code in said for code in fake.codes)


def test_a_refused_order(fake):
    fake.order_status = 401
    with pytest.raises(DemoFailed, match="placing the order: POST /orders answered 401"):
        run(fake)


def test_a_refused_notification(fake):
    fake.notices = [{"paymentStatus": "finished", "status": 503}]
    with pytest.raises(DemoFailed, match="did not take the payment's notifications"):
        run(fake)


def test_an_order_that_ends_otherwise(fake):
    fake.statuses = [("needs_review", 2)]
    with pytest.raises(DemoFailed, match="ended as needs_review: The headline"):
        run(fake)


def test_an_order_that_never_ends(fake):
    fake.statuses = [("purchasing", 2)]
    with pytest.raises(DemoFailed, match="was not fulfilled within"):
        run(fake, patience_seconds=0.2)


@pytest.mark.parametrize("count", [0, 2])
def test_any_number_of_mails_but_one(fake, count):
    fake.mails = fake.mails * count
    with pytest.raises(DemoFailed, match=f"{count} mails went to"):
        run(fake)


def test_a_mail_without_the_link(fake):
    fake.mails[0]["text"] = "Here you are: https://elsewhere.example/keys"
    with pytest.raises(DemoFailed, match="no link to the stored keys"):
        run(fake)


@pytest.mark.parametrize("codes", [["A-1", "A-2"], ["A-1", "A-1", "B-1"]])
def test_too_few_codes(fake, codes):
    fake.codes = codes
    with pytest.raises(DemoFailed, match="2 different codes lie behind the link, not 3"):
        run(fake)


def test_codes_that_nobody_sold(fake):
    fake.codes = ["A-1", "A-2", "forged"]
    with pytest.raises(DemoFailed, match="are not the ones that were sold"):
        run(fake)


def test_a_second_purchase(fake):
    fake.sold.append(["B-2"])
    with pytest.raises(DemoFailed, match="3 purchases were made for 2 items"):
        run(fake)


def test_a_service_that_is_gone_is_one_sentence():
    with pytest.raises(DemoFailed, match=r"no answer .* the logs are in /logs"), client(FACTS):
        raise httpx.ConnectError("refused")
