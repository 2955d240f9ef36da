"""NOWPayments' instant payment notifications: their fields, their spelling, their signature."""

import hashlib
import hmac
from decimal import Decimal

from sandbox.javascript import Json, Number, number, stringify
from sandbox.payments import Payment

# A fee that was really seen: Python spells it 8.3e-05, which broke a live integration.
_DEPOSIT_FEE = Decimal("0.000083")


def signature(secret: str, notification: Json) -> str:
    """Return the `x-nowpayments-sig` of a notification: keys sorted at every depth, HMAC-SHA512, lower-case hex."""
    message = stringify(notification, sort=True).encode()
    return hmac.new(secret.strip().encode(), message, hashlib.sha512).hexdigest()


def spelled(notification: Json, spelling: str) -> bytes:
    """Return the body: `canonical` is the signed text itself, `respelled` means the same in other characters."""
    if spelling == "canonical":
        return stringify(notification, sort=True).encode()
    return stringify(notification, comma=", ", colon=" : ", spell=_respell).encode()


def _respell(value: Number) -> str:
    """Spell fractions unlike JavaScript; whole numbers stay plain, because ids must be plain digits."""
    text = number(value)
    if text == "null" or float(text).is_integer():
        return text
    if abs(float(text)) < 1e-3:
        return f"{Decimal(text):E}"
    return text + "0"


def notification(payment: Payment, status: str, actually_paid: Decimal, updated_at_ms: int) -> dict[str, Json]:
    """Return the documented fields in the documented order."""
    settled = status in ("finished", "partially_paid", "sending")
    outcome = (actually_paid * Decimal("0.995")).quantize(Decimal("1e-8")) if settled else Decimal(0)
    return {
        "payment_id": payment.payment_id,
        "parent_payment_id": payment.parent_payment_id,
        "invoice_id": payment.invoice_id,
        "payment_status": status,
        "pay_address": payment.pay_address,
        "payin_extra_id": payment.payin_extra_id,
        "price_amount": payment.price_amount,
        "price_currency": payment.price_currency,
        "pay_amount": payment.pay_amount,
        "actually_paid": actually_paid,
        "actually_paid_at_fiat": 0,
        "pay_currency": payment.pay_currency,
        "order_id": payment.order_id,
        "order_description": payment.order_description,
        "purchase_id": payment.purchase_id,
        "outcome_amount": outcome,
        "outcome_currency": payment.pay_currency,
        "payment_extra_ids": None,
        "fee": {
            "currency": payment.pay_currency,
            "depositFee": _DEPOSIT_FEE if settled else 0,
            "withdrawalFee": 0,
            "serviceFee": 0,
        },
        "updated_at": updated_at_ms,
    }
