"""The payments and invoices that NOWPayments knows, and its rates."""

import secrets
from collections import defaultdict
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from sandbox.clock import iso
from sandbox.javascript import Json

# Units of fiat for one coin. Invented and fixed: a test must get the same amount every day.
RATES = {
    "btc": Decimal(60_000),
    "eth": Decimal(3_000),
    "ltc": Decimal(80),
    "xmr": Decimal(150),
    "sol": Decimal(140),
    "xrp": Decimal("0.5"),
    "usdttrc20": Decimal(1),
    "usdc": Decimal(1),
}


@dataclass(frozen=True, slots=True)
class Network:
    """What carries a coin: how many digits of it, and whether a deposit is lost without its memo or tag."""

    name: str
    precision: int
    memo: bool = False


NETWORKS = {
    "btc": Network("btc", 8),
    "eth": Network("eth", 8),
    "ltc": Network("ltc", 8),
    "xmr": Network("xmr", 8),
    "sol": Network("sol", 6),
    "xrp": Network("xrp", 6, memo=True),
    "usdttrc20": Network("trx", 6),
    "usdc": Network("eth", 6),
}
_PRECISION = 8
_RANK = {"waiting": 0, "confirming": 1, "confirmed": 2, "sending": 3, "partially_paid": 4, "expired": 5, "failed": 5}
_RANK |= {"cancelled": 5, "canceled": 5, "finished": 6, "refunded": 7}


@dataclass(slots=True)
class Payment:
    """One deposit address and what arrived there."""

    payment_id: int
    order_id: str | None
    order_description: str | None
    price_amount: Decimal
    price_currency: str
    pay_amount: Decimal
    pay_currency: str
    purchase_id: str
    pay_address: str
    payin_extra_id: str | None
    ipn_callback_url: str | None
    invoice_id: int | None
    parent_payment_id: int | None
    created_at: float
    updated_at: float
    status: str = "waiting"
    actually_paid: Decimal = Decimal(0)
    valid_until: float | None = None

    def move(self, status: str, arrived: Decimal, now: float) -> None:
        """Move forward; what is told again or late, and words that nobody knows, leave the payment as it is."""
        rank = _RANK.get(status)
        if rank is None or rank < _RANK[self.status] or (rank == _RANK[self.status] and arrived < self.actually_paid):
            return
        self.status, self.actually_paid, self.updated_at = status, arrived, now

    def expire(self, now: float) -> None:
        """End a payment that nothing came for in time."""
        if self.status == "waiting" and self.valid_until is not None and now >= self.valid_until:
            self.status, self.updated_at = "expired", now

    def shown(self) -> dict[str, Json]:
        """Return the members that every answer about a payment has; `payment_id` is a number."""
        network = NETWORKS.get(self.pay_currency, Network(self.pay_currency, _PRECISION))
        return {
            "payment_id": self.payment_id,
            "parent_payment_id": self.parent_payment_id,
            "invoice_id": self.invoice_id,
            "payment_status": self.status,
            "pay_address": self.pay_address,
            "payin_extra_id": self.payin_extra_id,
            "price_amount": self.price_amount,
            "price_currency": self.price_currency,
            "pay_amount": self.pay_amount,
            "pay_currency": self.pay_currency,
            "actually_paid": self.actually_paid,
            "order_id": self.order_id,
            "order_description": self.order_description,
            "purchase_id": self.purchase_id,
            "ipn_callback_url": self.ipn_callback_url,
            "network": network.name,
            "network_precision": network.precision,
            "smart_contract": None,
            "amount_received": None,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
            "type": "crypto2crypto",
        }


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a buyer is sent to; payments appear when the buyer picks a coin."""

    id: int
    token_id: str
    order_id: str | None
    order_description: str | None
    price_amount: Decimal
    price_currency: str
    pay_currency: str | None
    ipn_callback_url: str | None
    success_url: str | None
    cancel_url: str | None
    partially_paid_url: str | None
    created_at: float


@dataclass(frozen=True, slots=True)
class Terms:
    """What a new payment is for."""

    order_id: str | None
    price_amount: Decimal
    price_currency: str
    pay_currency: str
    order_description: str | None = None
    pay_amount: Decimal | None = None
    purchase_id: str | None = None
    ipn_callback_url: str | None = None
    invoice_id: int | None = None
    parent_payment_id: int | None = None


def coins_for(amount: Decimal, coin: str) -> Decimal:
    """Return the price in `coin`, rounded up: down would be short."""
    return (amount / RATES.get(coin, Decimal(1))).quantize(Decimal(1).scaleb(-_PRECISION), ROUND_UP)


def new_id() -> int:
    """Return ten digits. By chance, so that a restarted sandbox does not repeat the ids of the last one."""
    return 1_000_000_000 + secrets.randbelow(9_000_000_000)


class Book:
    """Payments and invoices by id and by order."""

    def __init__(self) -> None:
        self.payments: dict[int, Payment] = {}
        self.invoices: dict[int, Invoice] = {}
        self._payments_of: defaultdict[str, list[Payment]] = defaultdict(list)
        self._invoice_of: dict[str, Invoice] = {}

    def open_payment(self, terms: Terms, now: float, payment_id: int | None = None) -> Payment:
        """Make a payment; without an id it gets a new one."""
        coin = terms.pay_currency
        payment = Payment(
            payment_id=payment_id or new_id(),
            order_id=terms.order_id,
            order_description=terms.order_description,
            price_amount=terms.price_amount,
            price_currency=terms.price_currency.lower(),
            pay_amount=terms.pay_amount or coins_for(terms.price_amount, coin),
            pay_currency=coin,
            purchase_id=terms.purchase_id or str(new_id()),
            pay_address=f"sandbox-{coin}-{secrets.token_hex(12)}",
            payin_extra_id=str(secrets.randbelow(10**9)) if coin in NETWORKS and NETWORKS[coin].memo else None,
            ipn_callback_url=terms.ipn_callback_url,
            invoice_id=terms.invoice_id,
            parent_payment_id=terms.parent_payment_id,
            created_at=now,
            updated_at=now,
        )
        self.payments[payment.payment_id] = payment
        if payment.order_id is not None:
            self._payments_of[payment.order_id].append(payment)
        return payment

    def add_invoice(self, invoice: Invoice) -> None:
        """Keep an invoice; the newest of an order is the one that is paid."""
        self.invoices[invoice.id] = invoice
        if invoice.order_id is not None:
            self._invoice_of[invoice.order_id] = invoice

    def payment_of(self, order_id: str, invoice: Invoice | None = None) -> Payment | None:
        """Return the order's newest payment, of an invoice where one is given, that is not a repeated deposit."""
        wanted = (
            each
            for each in reversed(self._payments_of[order_id])
            if not each.parent_payment_id and (invoice is None or each.invoice_id == invoice.id)
        )
        return next(wanted, None)

    def invoice_of(self, order_id: str) -> Invoice | None:
        """Return the order's newest invoice."""
        return self._invoice_of.get(order_id)
