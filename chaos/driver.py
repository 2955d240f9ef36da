"""A shop and its buyers: place orders at a steady pace and pay them, as patient as real ones."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import httpx

from chaos.sales import Fate, Sale

_RETRY_SECONDS = 1.0
_TWICE = 0.2
"""The share of orders that are posted twice at the same time."""


class Shop:
    """Places and pays orders: `wanted` are those to be placed, `sales` those that were.

    `answers` counts what `POST /orders` said, `none` where nobody answered.
    """

    def __init__(self, client: httpx.AsyncClient, stack: Mapping[str, str], seed: int, sales: Sequence[Sale]) -> None:
        self._client = client
        self._stack = stack
        self._dice = random.Random(f"{seed}/shop")  # noqa: S311 - repeatable on purpose
        self.wanted = sales
        self.sales: list[Sale] = []
        self.answers: Counter[str] = Counter()
        self.payments: Counter[str] = Counter()

    async def trade(self, *, per_second: float, patience: float) -> None:
        """Place the orders; return when all are accepted and paid, or `patience` seconds after the last."""
        begun = time.monotonic()
        deadline = begun + len(self.wanted) / per_second + patience
        async with asyncio.TaskGroup() as group:
            for number, sale in enumerate(self.wanted):
                await asyncio.sleep(begun + number / per_second - time.monotonic())
                self.sales.append(sale)
                group.create_task(self._serve(sale, self._payment(sale), self._dice.random() < _TWICE, deadline))

    def _payment(self, sale: Sale) -> Mapping[str, object]:
        """Choose how the notifications of a payment come."""
        last = sale.last_word
        return self._dice.choice(
            (
                {"statuses": [last]},
                {"statuses": ["waiting", last], "repeat": 3},
                {"statuses": ["waiting", "confirming", "confirmed", "sending", last], "parallel": True, "repeat": 2},
                {"statuses": ["waiting", "confirming", "confirmed", "sending", last], "attempts": 2},
            )
        )

    async def _serve(self, sale: Sale, payment: Mapping[str, object], twice: bool, deadline: float) -> None:  # noqa: FBT001 - drawn by the caller
        tries = [self._placed(sale, deadline) for _ in range(2 if twice else 1)]
        sale.accepted = all(await asyncio.gather(*tries))
        if sale.accepted and sale.fate is not Fate.UNPAID:
            sale.paid = await self._paid(sale, payment, deadline)

    async def _offered(self, sale: Sale) -> str | None:
        """Return the id of the invoice that the order's page offers, or None while it offers none.

        A buyer pays what he is shown. An order that NOWPayments could not be asked about gets its way to pay later.
        """
        try:
            answer = await self._client.get(f"{sale.page}/status")
            url = answer.json().get("payUrl") if answer.is_success else None
        except httpx.TransportError:
            return None
        return str(url).rpartition("/")[2] if url else None

    async def _placed(self, sale: Sale, deadline: float) -> bool:
        while time.monotonic() < deadline:
            try:
                answer = await self._client.post(
                    f"{self._stack['ingress_url']}/orders",
                    headers={"Authorization": f"Bearer {self._stack['shop_token']}", "Idempotency-Key": sale.key},
                    json=sale.body,
                )
            except httpx.TransportError:
                self.answers["none"] += 1
            else:
                self.answers[str(answer.status_code)] += 1
                if answer.status_code == 201:
                    sale.page = answer.json()["statusUrl"]
                    if answer.json()["orderId"] != sale.order:
                        sale.problems.append(f"answered as another order: {answer.json()['orderId']}")
                    return True
                if answer.status_code != 503:
                    sale.problems.append(f"POST /orders answered {answer.status_code}: {answer.text[:200]}")
            await asyncio.sleep(_RETRY_SECONDS)
        return False

    async def _paid(self, sale: Sale, payment: Mapping[str, object], deadline: float) -> bool:
        """Have the sandbox notify until the last word is accepted: a provider goes on for hours, not for six tries."""
        while time.monotonic() < deadline and (invoice := await self._offered(sale)) is None:
            self.payments["nothing offered"] += 1
            await asyncio.sleep(_RETRY_SECONDS)
        while time.monotonic() < deadline:
            try:
                wish = {**payment, "invoiceId": invoice}
                answer = await self._client.post(f"{self._stack['sandbox_url']}/_pay/{sale.order}", json=wish)
                told = answer.raise_for_status().json()
            except httpx.HTTPStatusError as error:  # a distorted answer may have offered an invoice that is none
                self.payments[f"sandbox {error.response.status_code}"] += 1
                invoice = await self._offered(sale) or invoice
            except httpx.TransportError:
                self.payments["sandbox none"] += 1
            else:
                self.payments.update(str(each["status"] or "none") for each in told)
                sale.problems += [
                    f"IPN {each['paymentStatus']} answered {each['status']}: {each['body'][:200]}"
                    for each in told
                    if each["status"] not in {None, 200, 503}
                ]
                if any(each["paymentStatus"] == sale.last_word and each["status"] == 200 for each in told):
                    return True
            await asyncio.sleep(_RETRY_SECONDS)
        return False
