"""A shop and its buyers: place orders at a steady pace and pay them, as patient as real ones."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from bitloot.ids import OrderId, order_id

_RETRY_SECONDS = 1.0
_UNIT_PRICE = "5.00"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order."""

    product: str
    quantity: int


@dataclass(slots=True)
class Sale:
    """One order as the shop knows it.

    `accepted`: answered with 201. `paid`: the notification `finished` was answered with 200.
    """

    order: OrderId
    key: str
    email: str
    lines: tuple[Line, ...]
    accepted: bool = False
    paid: bool = False
    problems: list[str] = field(default_factory=list)


class Shop:
    """Places and pays orders. `answers` counts what `POST /orders` said, `none` where nobody answered."""

    def __init__(self, client: httpx.AsyncClient, stack: Mapping[str, str], seed: int) -> None:
        self._client = client
        self._stack = stack
        self._seed = seed
        self._dice = random.Random(f"{seed}/shop")  # noqa: S311 - repeatable on purpose
        self.sales: list[Sale] = []
        self.answers: Counter[str] = Counter()
        self.payments: Counter[str] = Counter()

    async def trade(self, *, seconds: float, per_second: float, patience: float) -> None:
        """Place orders for `seconds`; return when all are accepted and paid, or `patience` seconds later."""
        begun = time.monotonic()
        deadline = begun + seconds + patience
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * per_second)):
                await asyncio.sleep(begun + number / per_second - time.monotonic())
                sale = self._wish(number)
                self.sales.append(sale)
                group.create_task(self._serve(sale, self._payment(), self._dice.random() < 0.2, deadline))

    def _wish(self, number: int) -> Sale:
        key = f"chaos-{self._seed}-{number}"
        lines = tuple(Line(f"game-{n}", self._dice.randint(1, 3)) for n in range(1, self._dice.randint(1, 3) + 1))
        return Sale(order_id(key), key, f"buyer-{number}@example.com", lines)

    def _payment(self) -> Mapping[str, object]:
        """Choose how the notifications of a payment come."""
        return self._dice.choice(
            (
                {"statuses": ["finished"]},
                {"statuses": ["waiting", "finished"], "repeat": 3},
                {"parallel": True, "repeat": 2},
                {"attempts": 2},
            )
        )

    async def _serve(self, sale: Sale, payment: Mapping[str, object], twice: bool, deadline: float) -> None:  # noqa: FBT001 - drawn by the caller
        tries = [self._placed(sale, deadline) for _ in range(2 if twice else 1)]
        sale.accepted = all(await asyncio.gather(*tries))
        if sale.accepted:
            sale.paid = await self._paid(sale, payment, deadline)

    async def _placed(self, sale: Sale, deadline: float) -> bool:
        while time.monotonic() < deadline:
            try:
                answer = await self._client.post(
                    f"{self._stack['ingress_url']}/orders",
                    headers={"Authorization": f"Bearer {self._stack['shop_token']}", "Idempotency-Key": sale.key},
                    json=_order(sale),
                )
            except httpx.TransportError:
                self.answers["none"] += 1
            else:
                self.answers[str(answer.status_code)] += 1
                if answer.status_code == 201:
                    if answer.json()["orderId"] != sale.order:
                        sale.problems.append(f"answered as another order: {answer.json()['orderId']}")
                    return True
                if answer.status_code != 503:
                    sale.problems.append(f"POST /orders answered {answer.status_code}: {answer.text[:200]}")
            await asyncio.sleep(_RETRY_SECONDS)
        return False

    async def _paid(self, sale: Sale, payment: Mapping[str, object], deadline: float) -> bool:
        """Have the sandbox notify until `finished` is accepted: a provider goes on for hours, not for six tries."""
        while time.monotonic() < deadline:
            try:
                answer = await self._client.post(f"{self._stack['sandbox_url']}/_pay/{sale.order}", json=payment)
                told = answer.raise_for_status().json()
            except httpx.HTTPStatusError as error:  # the invoice could not be made: pay without it
                payment = {**payment, "priceAmount": str(_total(sale)), "priceCurrency": "eur"}
                self.payments[f"sandbox {error.response.status_code}"] += 1
            except httpx.TransportError:
                self.payments["sandbox none"] += 1
            else:
                self.payments.update(str(each["status"] or "none") for each in told)
                sale.problems += [
                    f"IPN {each['paymentStatus']} answered {each['status']}: {each['body'][:200]}"
                    for each in told
                    if each["status"] not in {None, 200, 503}
                ]
                if any(each["paymentStatus"] == "finished" and each["status"] == 200 for each in told):
                    return True
            await asyncio.sleep(_RETRY_SECONDS)
        return False


def _order(sale: Sale) -> Mapping[str, object]:
    return {"email": sale.email, "currency": "eur", "items": _items(sale.lines)}


def _items(lines: Sequence[Line]) -> Sequence[Mapping[str, object]]:
    return [
        {"productId": line.product, "title": line.product, "quantity": line.quantity, "unitPrice": _UNIT_PRICE}
        for line in lines
    ]


def _total(sale: Sale) -> int:
    return 5 * sum(line.quantity for line in sale.lines)
