"""NOWPayments' API: payments, invoices, estimates. Notifications are sent by `Cashier`."""

import hmac
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.calls import Answer, Call, Endpoint, Provider, Refusal
from sandbox.clock import Clock, iso
from sandbox.dials import Panel
from sandbox.javascript import Json, stringify
from sandbox.payments import NETWORKS, RATES, Book, Invoice, Payment, Terms, coins_for, new_id

_CODES = {400: "INVALID_REQUEST_PARAMS", 401: "AUTH_REQUIRED", 403: "INVALID_API_KEY", 404: "NOT_FOUND"}
_FIXED_RATE_SECONDS = 20 * 60
_FLOATING_RATE_SECONDS = 7 * 24 * 3600
_BEARER_SECONDS = 5 * 60

# Beyond it, coins with eight digits behind the point would no longer fit a decimal of 28 digits.
_MOST = Decimal(10) ** 15
Amount = Annotated[Decimal, Field(gt=0, le=_MOST, decimal_places=18)]
Word = Annotated[str, Field(min_length=1, max_length=2000)]
M = TypeVar("M", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True)

    price_amount: Amount
    price_currency: Word
    ipn_callback_url: Word | None = None
    order_id: Annotated[str, Field(max_length=255)] | None = None
    order_description: str | None = None


class PaymentBody(_Body):
    """`POST /payment`; members that we do not know are ignored, as they are there."""

    pay_currency: Word
    pay_amount: Amount | None = None
    purchase_id: Word | None = None
    is_fixed_rate: bool = False


class InvoiceBody(_Body):
    """`POST /invoice`."""

    pay_currency: Word | None = None
    success_url: Word | None = None
    cancel_url: Word | None = None
    partially_paid_url: Word | None = None


def answer(status: int, content: Json) -> Answer:
    """Answer with numbers as JavaScript spells them."""
    return Answer(status, stringify(content).encode())


def error(status: int, code: str | None = None, message: str = "simulated") -> Answer:
    """Answer in NOWPayments' shape."""
    code = code or _CODES.get(status, "INTERNAL_ERROR")
    return answer(status, {"status": False, "statusCode": status, "code": code, "message": message})


class NowPayments:
    """The merchant's account."""

    def __init__(self, panel: Panel, book: Book, clock: Clock) -> None:
        self._panel = panel
        self._book = book
        self._clock = clock
        self._bearers: dict[str, float] = {}

    def provider(self) -> Provider:
        """Return all that answers for NOWPayments."""
        base = "/nowpayments"
        return Provider(
            "nowpayments",
            base,
            (
                Endpoint("GET", base + "/status", "status", self.status),
                Endpoint("POST", base + "/auth", "auth", self.sign_in, confidential=True),
                Endpoint("POST", base + "/payment", "payment", self.create_payment, _order_of),
                Endpoint("POST", base + "/invoice", "invoice", self.create_invoice, _order_of),
                Endpoint("GET", base + "/payment/", "payments", self.list_payments),
                Endpoint("GET", base + "/payment/{id}", "payment_status", self.read_payment, self._order_of_payment),
                Endpoint("GET", base + "/min-amount", "min_amount", self.min_amount),
                Endpoint("GET", base + "/estimate", "estimate", self.estimate),
                Endpoint("GET", base + "/currencies", "currencies", self.currencies),
                Endpoint("GET", base + "/full-currencies", "currencies", self.full_currencies),
                Endpoint("GET", base + "/merchant/coins", "coins", self.coins),
            ),
            error,
        )

    async def status(self, _: Call) -> Answer:
        """Tell that the service runs; the only call without a key."""
        return answer(200, {"message": "OK"})

    async def sign_in(self, call: Call) -> Answer:
        """Exchange `{email, password}`, whatever they are, for a bearer token of five minutes."""
        if not (call.member("email") and call.member("password")):
            raise Refusal(error(400, message="email and password are required"))
        now = self._clock()
        self._bearers = {token: end for token, end in self._bearers.items() if end > now}
        token = secrets.token_urlsafe(24)
        self._bearers[token] = now + _BEARER_SECONDS
        return answer(200, {"token": token})

    async def create_payment(self, call: Call) -> Answer:
        """`POST /payment` -> 201, `payment_id` as text. There is no idempotency: a repeat is a second payment."""
        self._authorize(call)
        body = _parsed(PaymentBody, call)
        coin = self._coin(body.pay_currency)
        self._enough(body.price_amount, body.price_currency)
        now = self._clock()
        payment = self._book.open_payment(
            Terms(
                order_id=body.order_id,
                order_description=body.order_description,
                price_amount=body.price_amount,
                price_currency=body.price_currency,
                pay_currency=coin,
                pay_amount=body.pay_amount,
                purchase_id=body.purchase_id,
                ipn_callback_url=body.ipn_callback_url,
            ),
            now,
        )
        lifetime = _FIXED_RATE_SECONDS if body.is_fixed_rate else _FLOATING_RATE_SECONDS
        payment.valid_until = now + lifetime
        extra: dict[str, Json] = {
            "payment_id": str(payment.payment_id),
            "valid_until": iso(payment.valid_until),
            "expiration_estimate_date": iso(now + _FIXED_RATE_SECONDS),
        }
        return answer(201, {**payment.shown(), **extra})

    async def create_invoice(self, call: Call) -> Answer:
        """`POST /invoice` -> 200, `id` and `price_amount` as text, and a page with a "Pay" button."""
        self._authorize(call)
        body = _parsed(InvoiceBody, call)
        coin = self._coin(body.pay_currency) if body.pay_currency else None
        self._enough(body.price_amount, body.price_currency)
        invoice = Invoice(
            id=new_id(),
            token_id=str(new_id()),
            order_id=body.order_id,
            order_description=body.order_description,
            price_amount=body.price_amount,
            price_currency=body.price_currency.lower(),
            pay_currency=coin,
            ipn_callback_url=body.ipn_callback_url,
            success_url=body.success_url,
            cancel_url=body.cancel_url,
            partially_paid_url=body.partially_paid_url,
            created_at=self._clock(),
        )
        self._book.add_invoice(invoice)
        return answer(200, _invoice_shown(invoice, str(call.request.url.origin())))

    async def read_payment(self, call: Call) -> Answer:
        """`GET /payment/{id}`: here `payment_id` is a number."""
        self._authorize(call)
        payment = self._payment(call)
        if payment is None:
            raise Refusal(error(404, "PAYMENT_NOT_FOUND", "no such payment"))
        payment.expire(self._clock())
        return answer(200, payment.shown())

    async def list_payments(self, call: Call) -> Answer:
        """`GET /payment/`, newest first unless `orderBy=asc`; wants the bearer token of `POST /auth` too."""
        self._authorize(call)
        if self._clock() >= self._bearers.get(call.bearer() or "", 0.0):
            raise Refusal(error(401, message="a bearer token from POST /auth is required"))
        query = call.request.query
        limit, page = _whole(query, "limit", 10, 1, 500), _whole(query, "page", 0, 0, 10**6)
        found = list(self._book.payments.values())
        if "invoiceId" in query:
            found = [each for each in found if str(each.invoice_id) == query["invoiceId"]]
        if query.get("orderBy", "desc").lower() != "asc":
            found.reverse()
        chosen = found[page * limit : (page + 1) * limit]
        for each in chosen:
            each.expire(self._clock())
        return answer(
            200,
            {
                "data": [each.shown() for each in chosen],
                "limit": limit,
                "page": page,
                "pagesCount": -(-len(found) // limit),
                "total": len(found),
            },
        )

    async def min_amount(self, call: Call) -> Answer:
        """Return the least that can be paid, in coins and in fiat."""
        self._authorize(call)
        query = call.request.query
        coin = self._coin(query.get("currency_from", ""))
        least = Decimal(str(self._panel.dials.min_amount))
        return answer(
            200,
            {
                "currency_from": coin,
                "currency_to": query.get("currency_to", coin).lower(),
                "min_amount": coins_for(least, coin),
                "fiat_equivalent": least,
            },
        )

    async def estimate(self, call: Call) -> Answer:
        """Return what `amount` of fiat is in coins."""
        self._authorize(call)
        query = call.request.query
        coin = self._coin(query.get("currency_to", ""))
        try:
            amount = Decimal(query.get("amount", ""))
        except ArithmeticError as fault:
            raise Refusal(error(400, message="amount must be a number")) from fault
        if not (amount.is_finite() and 0 <= amount <= _MOST):
            raise Refusal(error(400, message="amount is out of range"))
        return answer(
            200,
            {
                "currency_from": query.get("currency_from", "").lower(),
                "amount_from": amount,
                "currency_to": coin,
                "estimated_amount": str(coins_for(amount, coin)),
            },
        )

    async def currencies(self, call: Call) -> Answer:
        """Return the coins."""
        self._authorize(call)
        return answer(200, {"currencies": list(RATES)})

    async def full_currencies(self, call: Call) -> Answer:
        """Return the coins with what is told of each."""
        self._authorize(call)
        coins: list[Json] = [
            {
                "code": coin.upper(),
                "ticker": coin,
                "network": NETWORKS[coin].name,
                "extra_id_exists": NETWORKS[coin].memo,
            }
            for coin in RATES
        ]
        return answer(200, {"currencies": coins})

    async def coins(self, call: Call) -> Answer:
        """Return the coins that are switched on for the account."""
        self._authorize(call)
        return answer(200, {"selectedCurrencies": [coin.upper() for coin in RATES]})

    def _authorize(self, call: Call) -> None:
        given = call.request.headers.get("x-api-key", "")
        if not hmac.compare_digest(given.encode(), self._panel.dials.nowpayments_api_key.get_secret_value().encode()):
            raise Refusal(error(403, message="Invalid api key"))

    def _coin(self, name: str) -> str:
        if name.lower() not in RATES:
            raise Refusal(error(400, "CURRENCY_UNAVAILABLE", f"{name[:40]} is not available"))
        return name.lower()

    def _enough(self, amount: Decimal, currency: str) -> None:
        if amount < Decimal(str(self._panel.dials.min_amount)):
            message = f"amountTo is too small: at least {self._panel.dials.min_amount} {currency}"
            raise Refusal(error(400, "AMOUNT_MINIMAL_ERROR", message))

    def _payment(self, call: Call) -> Payment | None:
        text = call.request.match_info["id"]
        return self._book.payments.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 20 else None

    def _order_of_payment(self, call: Call) -> tuple[str, ...]:
        payment = self._payment(call)
        return (payment.order_id,) if payment and payment.order_id else ()


def _parsed(model: type[M], call: Call) -> M:
    try:
        return model.model_validate(call.json())
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Refusal(error(400, message=f"{place}: {first['msg']}")) from fault
    except ValueError as fault:
        raise Refusal(error(400, message="the body is not JSON")) from fault


def _whole(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text[:10]) <= most):
        raise Refusal(error(400, message=f"{name} must be from {least} to {most}"))
    return int(text)


def _order_of(call: Call) -> tuple[str, ...]:
    order_id = call.member("order_id")
    return (order_id,) if order_id else ()


def _invoice_shown(invoice: Invoice, origin: str) -> dict[str, Json]:
    return {
        "id": str(invoice.id),
        "token_id": invoice.token_id,
        "order_id": invoice.order_id,
        "order_description": invoice.order_description,
        "price_amount": f"{invoice.price_amount:f}",
        "price_currency": invoice.price_currency,
        "pay_currency": invoice.pay_currency,
        "ipn_callback_url": invoice.ipn_callback_url,
        "invoice_url": f"{origin}/nowpayments/invoices/{invoice.id}",
        "success_url": invoice.success_url,
        "cancel_url": invoice.cancel_url,
        "partially_paid_url": invoice.partially_paid_url,
        "created_at": iso(invoice.created_at),
        "updated_at": iso(invoice.created_at),
        "is_fixed_rate": False,
        "is_fee_paid_by_user": False,
    }
