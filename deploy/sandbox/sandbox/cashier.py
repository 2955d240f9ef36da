"""Plays the buyer: pays an order and lets NOWPayments tell about it."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, TypeAlias, cast

from pydantic import Field, JsonValue

from sandbox.clock import Clock
from sandbox.dials import ControlModel, Panel, Seconds
from sandbox.ipn import notification, signature, spelled
from sandbox.javascript import Json
from sandbox.payments import Book, Invoice, Payment, Terms
from sandbox.webhooks import Outcome, Webhook, Webhooks

_PAID = ("waiting", "confirming", "confirmed", "sending", "finished")
_DEFAULT_COIN = "btc"

Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
PaymentNumber = Annotated[int, Field(ge=1, le=2**53 - 1)]
Notification: TypeAlias = dict[str, Json]


class Pay(ControlModel):
    """Body of `POST /_pay/{orderId}`; every member is optional."""

    statuses: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(_PAID, max_length=1000)
    # In coins; without it all that was asked for, half of it when `partially_paid`, nothing while `waiting`.
    actually_paid: Amount | None = None
    # What the notification claims. The order's own price when absent.
    price_amount: Amount | None = None
    price_currency: str | None = None
    pay_amount: Amount | None = None
    pay_currency: str | None = None
    # The invoice that is paid, as on its page; the order's newest when absent.
    invoice_id: PaymentNumber | None = None
    # The order's payment when absent; an unknown number makes a new payment.
    payment_id: PaymentNumber | None = None
    # Makes a repeated deposit: a new payment, unless `payment_id` says which.
    parent_payment_id: PaymentNumber | None = None
    # Each notification is sent so often; the dial `webhookDuplicates` plus one when absent.
    repeat: int | None = Field(default=None, ge=1, le=1000)
    # Seconds between one notification and the next.
    delay: Seconds = 0.0
    # All at once instead of one after another.
    parallel: bool = False
    # The payment moves and nothing is sent: every notification is lost.
    silent: bool = False
    # Attempts for each until a 2xx; the dial `webhookAttempts` when absent.
    attempts: int | None = Field(default=None, ge=1, le=100)
    # Set last into every notification, also unknown members.
    fields: dict[str, JsonValue] = Field(default_factory=dict)
    # Left out of every notification.
    omit: frozenset[str] = frozenset()
    ipn_url: str | None = None


class UnknownOrderError(LookupError):
    """Nobody asked for money for this order, and the request names no price."""


class Cashier:
    """Pays by order id."""

    def __init__(self, panel: Panel, book: Book, webhooks: Webhooks, clock: Clock) -> None:
        self._panel = panel
        self._book = book
        self._webhooks = webhooks
        self._clock = clock
        self._last_update_ms = 0

    async def pay(self, order_id: str, wish: Pay) -> list[dict[str, object]]:
        """Send the notifications and return an entry per sending, in the order of sending.

        Raises UnknownOrderError when neither an invoice nor a payment nor the wish names the price.
        """
        payment = self._payment(order_id, wish)
        repeat = wish.repeat or 1 + self._panel.dials.webhook_duplicates
        sendings: list[tuple[str, Notification]] = []
        for status in wish.statuses:
            told = self._tell(payment, status, wish)
            sendings.extend([(status, told)] * repeat)
        if self._panel.dials.webhook_shuffle:
            self._panel.chance.shuffle(sendings)
        if wish.parallel:
            return list(await asyncio.gather(*(self._send(order_id, payment, wish, *each) for each in sendings)))
        answers = []
        for position, each in enumerate(sendings):
            if position and wish.delay:
                await asyncio.sleep(wish.delay)
            answers.append(await self._send(order_id, payment, wish, *each))
        return answers

    def _payment(self, order_id: str, wish: Pay) -> Payment:
        """Find the payment that is meant, or open it on the terms of the invoice or of the wish."""
        invoice = self._invoice(order_id, wish)
        known = self._book.payment_of(order_id, None if wish.invoice_id is None else invoice)
        if wish.payment_id is not None and wish.payment_id in self._book.payments:
            return self._book.payments[wish.payment_id]
        if known is not None and wish.payment_id is None and wish.parent_payment_id is None:
            return known
        terms = self._terms(order_id, wish, known, invoice)
        return self._book.open_payment(terms, self._clock(), wish.payment_id)

    def _invoice(self, order_id: str, wish: Pay) -> Invoice | None:
        if wish.invoice_id is None:
            return self._book.invoice_of(order_id)
        invoice = self._book.invoices.get(wish.invoice_id)
        if invoice is None or invoice.order_id != order_id:
            raise UnknownOrderError(order_id)
        return invoice

    def _terms(self, order_id: str, wish: Pay, known: Payment | None, invoice: Invoice | None) -> Terms:
        priced = known or invoice
        if priced is not None:
            return Terms(
                order_id=order_id,
                order_description=priced.order_description,
                price_amount=priced.price_amount,
                price_currency=priced.price_currency,
                pay_currency=(wish.pay_currency or priced.pay_currency or _DEFAULT_COIN).lower(),
                pay_amount=wish.pay_amount,
                ipn_callback_url=priced.ipn_callback_url,
                invoice_id=invoice.id if invoice else None,
                parent_payment_id=wish.parent_payment_id,
            )
        if wish.price_amount is None or wish.price_currency is None:
            raise UnknownOrderError(order_id)
        return Terms(
            order_id=order_id,
            price_amount=wish.price_amount,
            price_currency=wish.price_currency,
            pay_currency=(wish.pay_currency or _DEFAULT_COIN).lower(),
            pay_amount=wish.pay_amount,
            parent_payment_id=wish.parent_payment_id,
        )

    def _tell(self, payment: Payment, status: str, wish: Pay) -> Notification:
        """Move the payment on and word the notification about it."""
        now, arrived = self._clock(), _arrived(payment, status, wish)
        payment.pay_amount = wish.pay_amount or payment.pay_amount
        payment.pay_currency = (wish.pay_currency or payment.pay_currency).lower()
        payment.move(status, arrived, now)
        # No two updates carry the same time, as far as whole milliseconds can tell.
        self._last_update_ms = max(self._last_update_ms + 1, int(now * 1000))
        told = notification(payment, status, arrived, self._last_update_ms)
        claims: dict[str, Json] = {
            "price_amount": wish.price_amount,
            "price_currency": wish.price_currency,
            "pay_amount": wish.pay_amount,
            "pay_currency": wish.pay_currency,
            "parent_payment_id": wish.parent_payment_id,
        }
        told.update({name: value for name, value in claims.items() if value is not None})
        # JsonValue is Json without decimals, but mypy does not see that recursive unions match.
        told.update(cast("Mapping[str, Json]", wish.fields))
        return {name: value for name, value in told.items() if name not in wish.omit}

    async def _send(
        self, order_id: str, payment: Payment, wish: Pay, status: str, told: Notification
    ) -> dict[str, object]:
        dials = self._panel.dials
        url = wish.ipn_url or payment.ipn_callback_url or f"{dials.ingress_url.rstrip('/')}/webhooks/nowpayments"
        webhook = Webhook(
            provider="nowpayments",
            event=status,
            url=url,
            body=spelled(told, dials.ipn_spelling),
            order_ids=(order_id,),
            headers=lambda: {
                "x-nowpayments-sig": signature(self._panel.dials.nowpayments_ipn_secret.get_secret_value(), told)
            },
        )
        if wish.silent or self._webhooks.dropped(webhook):
            outcome = Outcome(attempts=0, status=None, body="", error="dropped")
        else:
            outcome = await self._webhooks.deliver(webhook, wish.attempts)
        return {
            "orderId": order_id,
            "paymentId": payment.payment_id,
            "paymentStatus": status,
            "status": outcome.status,
            "body": outcome.body,
            "attempts": outcome.attempts,
            "error": outcome.error,
        }


def _arrived(payment: Payment, status: str, wish: Pay) -> Decimal:
    if status == "waiting":
        return Decimal(0)
    if wish.actually_paid is not None:
        return wish.actually_paid
    due = wish.pay_amount or payment.pay_amount
    if status == "partially_paid":
        return (due / 2).quantize(Decimal("1e-8"))
    if status in ("expired", "failed"):
        return Decimal(0)
    return due
