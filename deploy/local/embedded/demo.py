"""One order from the shop to the codes behind the link in the mail, each step shown and proven."""

import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from rich.console import Console

from embedded.commands import down, up
from embedded.errors import DemoFailed
from embedded.rundir import RunDir

_ITEMS = (
    {"productId": "5c9b5f7a2539a4e8f1831f01", "title": "Celeste", "quantity": 2, "unitPrice": "9.99"},
    {"productId": "5c9b5f7a2539a4e8f1831f02", "title": "Hollow Knight", "quantity": 1, "unitPrice": "14.99"},
)
_KEYS = sum(item["quantity"] for item in _ITEMS if isinstance(item["quantity"], int))
_POLL_SECONDS = 0.1
_ORDER_SECONDS = 30.0
_ENDED_OTHERWISE = frozenset({"needs_review", "canceled", "refunded", "failed"})


@dataclass(frozen=True, slots=True)
class Placed:
    """The shop's side of an order."""

    order_id: str
    status_url: str
    email: str


def demo(
    running: AbstractContextManager[dict[str, Any]], console: Console, *, patience_seconds: float = _ORDER_SECONDS
) -> None:
    """Run one order through the stack that `running` yields the facts of.

    Raises DemoFailed when any of it does not really happen.
    """
    with running as facts, client(facts) as reached:
        _show(facts, reached, console, patience_seconds=patience_seconds)


@contextmanager
def embedded_stack(run: RunDir, console: Console) -> Iterator[dict[str, Any]]:
    """Yield the facts of the embedded stack; start it for that and stop it afterwards, unless it is up already."""
    started = up(run, console)
    try:
        facts = run.stack()
        if facts is None:
            raise DemoFailed("the stack went down")
        yield facts
    finally:
        if started:
            down(run, console)


def _show(
    facts: dict[str, Any], client: httpx.Client, console: Console, *, patience_seconds: float = _ORDER_SECONDS
) -> None:
    placed = place(facts, client)
    console.print(f"\nOrder {placed.order_id}: 2 x Celeste, 1 x Hollow Knight")
    pay(facts, client, placed)
    finish(facts, client, placed, console, patience_seconds=patience_seconds)


def finish(
    facts: dict[str, Any], client: httpx.Client, placed: Placed, console: Console, *, patience_seconds: float
) -> None:
    """Follow an order that is paid to its end, and compare what the buyer got with what was sold. Raises DemoFailed."""
    _follow(_statuses(client, placed, patience_seconds), console)
    mail = _mail(facts, client, placed)
    link = _link(facts, mail)
    codes = _codes(client, link)
    _compare(codes, facts, client, placed)
    console.print(f"\nOrder page   {placed.status_url}", soft_wrap=True)
    console.print(f"Mail         {mail['subject']}, to {placed.email}")
    console.print(f"Link in it   {link}", soft_wrap=True)
    console.print("Codes there  " + "\n             ".join(codes) + "\n")


def place(facts: dict[str, Any], client: httpx.Client) -> Placed:
    """Place an order as the shop does. Raises DemoFailed."""
    email = f"demo-{uuid.uuid4().hex[:8]}@bitloot.test"
    answer = client.post(
        f"{facts['ingress_url']}/orders",
        headers={"Authorization": f"Bearer {facts['shop_token']}", "Idempotency-Key": uuid.uuid4().hex},
        json={"email": email, "currency": "eur", "items": _ITEMS},
    )
    order = _json(answer, "placing the order")
    return Placed(order["orderId"], order["statusUrl"], email)


def pay(facts: dict[str, Any], client: httpx.Client, placed: Placed) -> None:
    """Pay as the buyer does. Raises DemoFailed."""
    notices = _json(client.post(f"{facts['sandbox_url']}/_pay/{placed.order_id}"), "paying")
    refused = [notice for notice in notices if notice["status"] != httpx.codes.OK]
    if refused:
        raise DemoFailed(f"the ingress did not take the payment's notifications: {refused}")


def _follow(statuses: Iterable[dict[str, Any]], console: Console) -> None:
    """Print each step once the order page knows its time, until the order is fulfilled."""
    begun: datetime | None = None
    shown: set[str] = set()
    for status in statuses:
        for step in status["steps"]:
            if step["at"] is None or step["name"] in shown:
                continue
            shown.add(step["name"])
            at = datetime.fromisoformat(step["at"])
            begun = begun or at
            console.print(f"  {step['label']:<40}{(at - begun).total_seconds():6.2f} s")
        if status["status"] in _ENDED_OTHERWISE:
            raise DemoFailed(f"the order ended as {status['status']}: {status['headline']}")
        if status["status"] == "fulfilled" and all(step["done"] for step in status["steps"]):
            return


def _statuses(client: httpx.Client, placed: Placed, patience_seconds: float) -> Iterator[dict[str, Any]]:
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        yield _json(client.get(f"{placed.status_url}/status"), "asking for the status")
        time.sleep(_POLL_SECONDS)
    raise DemoFailed(f"the order was not fulfilled within {patience_seconds:.0f} s")


def _mail(facts: dict[str, Any], client: httpx.Client, placed: Placed) -> dict[str, Any]:
    found = _json(client.get(f"{facts['sandbox_url']}/_mail", params={"to": placed.email}), "reading the mail")
    if found["total"] != 1:
        raise DemoFailed(f"{found['total']} mails went to {placed.email}, not one")
    mail: dict[str, Any] = found["items"][0]
    return mail


def _link(facts: dict[str, Any], mail: dict[str, Any]) -> str:
    match = re.search(rf"{re.escape(facts['s3_endpoint'])}/\S+", mail["text"])
    if match is None:
        raise DemoFailed("the mail has no link to the stored keys")
    return match[0]


def _codes(client: httpx.Client, link: str) -> Sequence[str]:
    codes: list[str] = _json(client.get(link), "opening the link")["codes"]
    if len(set(codes)) != _KEYS:
        raise DemoFailed(f"{len(set(codes))} different codes lie behind the link, not {_KEYS}")
    return codes


def _compare(codes: Sequence[str], facts: dict[str, Any], client: httpx.Client, placed: Placed) -> None:
    """Check with the seller: one purchase for each item, and exactly these codes."""
    query = {"orderId": placed.order_id, "parts": "purchases"}
    ledger = _json(client.get(f"{facts['sandbox_url']}/_ledger", params=query), "reading the ledger")
    sold = [key for purchase in ledger["purchases"] for key in purchase["keys"]]
    if len(ledger["purchases"]) != len(_ITEMS):
        raise DemoFailed(f"{len(ledger['purchases'])} purchases were made for {len(_ITEMS)} items")
    if sorted(sold) != sorted(codes):
        raise DemoFailed("the codes behind the link are not the ones that were sold")


@contextmanager
def client(facts: dict[str, Any]) -> Iterator[httpx.Client]:
    """Open a client; whatever cannot be reached ends the demo with a sentence."""
    reach: dict[str, str] = facts.get("reach", {})

    def go_there(request: httpx.Request) -> None:
        """Keep the name that was asked for, in its header too, and connect to where it is from here."""
        place = reach.get(request.url.netloc.decode())
        if place is not None:
            host, _, port = place.partition(":")
            request.url = request.url.copy_with(host=host, port=int(port))

    try:
        with httpx.Client(timeout=10, trust_env=False, event_hooks={"request": [go_there]}) as client:
            yield client
    except httpx.TransportError as error:
        raise DemoFailed(f"no answer ({error}); the logs are in {facts['log_dir']}") from error


def _json(answer: httpx.Response, doing: str) -> Any:
    if not answer.is_success:
        raise DemoFailed(f"{doing}: {answer.request.method} {answer.url.path} answered {answer.status_code}")
    return answer.json()
