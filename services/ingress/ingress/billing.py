"""Invoices and payments at NOWPayments: made, read and listed.

`POST /invoice` and `POST /payment` know no idempotency key: a repeat makes a second one. So whoever creates holds a
claim in the effect ledger, and only what it brought home is ever shown to the buyer: what a lost answer has left there
is known to nobody and paid by nobody (contract "NOWPayments", section 7).
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_UP, Context, Decimal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitloot.canonical_json import JsonValue
from bitloot.contracts.effects import CreatePayment
from bitloot.contracts.events import PaymentFacts, PaymentInstructions, PaymentStatus
from bitloot.errors import Cause, Malformed, Refused
from bitloot.ids import OrderId, PaymentId
from ingress import fields
from ingress.addresses import Addresses
from ingress.gateway import Gateway
from ingress.notification import NotAccepted
from ingress.payment_facts import order_named, read_facts, required

_PAGE_SIZE = 100
_MOST_PAGES = 5
"""Each click of a buyer on the page of an invoice makes a payment, and an order remembers each that is found."""
_MOST_PLACES = 18
_LONGEST_LIFE = timedelta(days=365)
_ROUNDING = Context(prec=80)  # more than 18 digits before and after the point


class _Invoice(BaseModel):
    """What we read of an invoice; `id` is documented as a string and has been seen as a number."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str = Field(pattern=r"^[\x21-\x7e]{1,64}\z")
    invoice_url: str = Field(pattern=r"^https?://[\x21-\x7e]+$", max_length=2000)


class _Address(BaseModel):
    """What we read of a new payment beside what all payments have."""

    pay_address: str = Field(pattern=r"^[\x21-\x7e]{1,256}\z")
    payin_extra_id: str | None = Field(None, pattern=r"^[\x21-\x7e]{0,128}\z", coerce_numbers_to_str=True)
    network: str | None = Field(None, pattern=r"^[\x20-\x7e]{0,40}\z")
    network_precision: int | None = Field(None, ge=0, le=_MOST_PLACES)


class Billing:
    """NOWPayments, as far as orders are concerned. Raises the four families of `bitloot.errors`."""

    def __init__(self, gateway: Gateway, addresses: Addresses) -> None:
        self._gateway = gateway
        self._addresses = addresses

    async def create(self, wish: CreatePayment) -> PaymentInstructions:
        """Make an invoice, or a payment in the coin that the wish names."""
        if wish.pay_currency is None:
            page = self._addresses.status_url(wish.order_id, wish.placed_at)
            body = self._body(wish, {"success_url": page, "cancel_url": page})
            return await self._gateway.post("create_invoice", "invoice", lambda answer: _invoice(answer, wish), body)
        body = self._body(wish, {"pay_currency": wish.pay_currency})
        return await self._gateway.post("create_payment", "payment", lambda answer: _payment(answer, wish), body)

    async def read(self, order: OrderId, payment: PaymentId) -> PaymentFacts:
        """Return what is said of a payment of the order. Raises `Refused(CONFLICT)` when it is another order's."""

        def read(answer: JsonValue) -> PaymentFacts:
            facts = _facts(_object(answer, "GET payment"), order)
            if facts.payment_id != payment:
                raise Malformed(Cause.BAD_ANSWER, "GET payment: an answer about another payment")
            return facts

        return await self._gateway.get("payment", f"payment/{payment}", read)

    async def find(self, order: OrderId, invoice: str) -> tuple[PaymentFacts, ...]:
        """Return the payments of an invoice, those of the order, the newest first and of the newest 500.

        Of all but the newest 100 only those are told to which money may have come.
        """
        found: dict[PaymentId, PaymentFacts] = {}
        for page in range(_MOST_PAGES):
            query = {
                "invoiceId": invoice,
                "limit": str(_PAGE_SIZE),
                "page": str(page),
                "sortBy": "created_at",
                "orderBy": "desc",
            }
            listed = await self._gateway.get_as_user(
                "payments", "payment/", lambda answer: _page(answer, order, invoice), query
            )
            # A payment that new ones have moved to this page is there twice.
            found |= {facts.payment_id: facts for facts in listed if facts and (page == 0 or _may_have_money(facts))}
            if len(listed) < _PAGE_SIZE:
                break
        return tuple(found.values())

    def _body(self, wish: CreatePayment, more: Mapping[str, str]) -> bytes:
        texts = {
            "price_currency": wish.currency,
            "order_id": wish.order_id,
            "order_description": f"BitLoot order {wish.order_id}",
            "ipn_callback_url": self._addresses.notify_url,
            **more,
        }
        members = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in texts.items()]
        # A JSON number with every digit of the amount: a float would round long ones.
        return ("{" + ",".join([f'"price_amount":{format(wish.amount, "f")}', *members]) + "}").encode()


def _invoice(answer: JsonValue, wish: CreatePayment) -> PaymentInstructions:
    document = _object(answer, "POST invoice")
    try:
        created = _Invoice.model_validate(document)
    except ValidationError:
        raise Malformed(Cause.BAD_ANSWER, "POST invoice: an answer without an invoice") from None
    _check_order(document, wish, "POST invoice")
    return PaymentInstructions(pay_url=created.invoice_url, invoice_id=created.id)


def _payment(answer: JsonValue, wish: CreatePayment) -> PaymentInstructions:
    document = _object(answer, "POST payment")
    try:
        address = _Address.model_validate(document)
        amount = fields.coin_amount(document, "pay_amount")
        payment = PaymentId(required(fields.identifier(document, "payment_id"), "payment_id"))
        coin = fields.currency(document, "pay_currency")
    except ValidationError:
        raise Malformed(Cause.BAD_ANSWER, "POST payment: an answer without an address") from None
    except NotAccepted as error:
        raise Malformed(Cause.BAD_ANSWER, f"POST payment: {error.detail}") from None
    _check_order(document, wish, "POST payment")
    if not amount or coin != wish.pay_currency:
        raise Malformed(Cause.BAD_ANSWER, "POST payment: an answer for another coin, or without an amount")
    return PaymentInstructions(
        payment_id=payment,
        pay_currency=coin,
        network=address.network or None,
        pay_address=address.pay_address,
        memo=address.payin_extra_id or None,
        pay_amount=rounded_up(amount, address.network_precision),
        valid_until=_within_reason(fields.instant(document, "valid_until"), wish.placed_at),
    )


def _within_reason(valid_until: datetime | None, placed_at: datetime) -> datetime | None:
    """Return an end that can be reckoned with; payments live a week (contract "NOWPayments", section 2)."""
    return valid_until if valid_until is not None and valid_until <= placed_at + _LONGEST_LIFE else None


def _check_order(document: dict[str, JsonValue], wish: CreatePayment, what: str) -> None:
    """Refuse what was made for another order: whoever paid it would get nothing."""
    if document.get("order_id") not in (None, wish.order_id):
        raise Malformed(Cause.BAD_ANSWER, f"{what}: an answer for another order")


def rounded_up(amount: Decimal, places: int | None) -> Decimal:
    """Return an amount that the network can carry: down would be short."""
    unit = Decimal(1).scaleb(-(_MOST_PLACES if places is None else places))
    rounded = amount.quantize(unit, ROUND_UP, context=_ROUNDING)
    return Decimal(fields.digits(rounded))


def _object(value: JsonValue, what: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise Malformed(Cause.BAD_ANSWER, f"{what}: an answer that is no object")
    return value


def _page(answer: JsonValue, order: OrderId, invoice: str) -> tuple[PaymentFacts | None, ...]:
    """Read a page of payments; None stands for one of another invoice, which may be anybody's."""
    listed = _object(answer, "GET payment/").get("data")
    if not isinstance(listed, list):
        raise Malformed(Cause.BAD_ANSWER, "GET payment/: an answer without a list")
    payments = [_object(each, "GET payment/") for each in listed]
    return tuple(_facts(each, order) if _is_of(each, invoice) else None for each in payments)


def _is_of(payment: dict[str, JsonValue], invoice: str) -> bool:
    """Tell whether a listed payment may be one of the invoice. Raises `Malformed` where it does not tell."""
    if "invoice_id" not in payment:
        raise Malformed(Cause.BAD_ANSWER, "GET payment/: a payment that does not tell its invoice")
    told = payment["invoice_id"]
    return isinstance(told, str | int) and str(told) == invoice


def _may_have_money(facts: PaymentFacts) -> bool:
    return bool(facts.actually_paid) or facts.status not in {PaymentStatus.WAITING, PaymentStatus.EXPIRED}


def _facts(document: dict[str, JsonValue], order: OrderId) -> PaymentFacts:
    try:
        facts, named = read_facts(document), order_named(document)
    except NotAccepted as error:
        raise Malformed(Cause.BAD_ANSWER, f"GET payment: {error.detail}") from None
    if named != order:
        raise Refused(Cause.CONFLICT, f"NOWPayments has payment {facts.payment_id} for another order")
    return facts
