"""What NOWPayments says of a payment, in a notification or when it is asked: the same members, read the same way."""

from typing import Any

from bitloot.contracts.events import PaymentFacts, PaymentStatus
from bitloot.ids import PaymentId
from ingress import fields
from ingress.fields import Document


def payment_status(word: str) -> PaymentStatus:
    """Return the status that a word of the provider means; `UNKNOWN` for one that we do not know."""
    word = word.lower()
    try:
        return PaymentStatus.CANCELED if word == "cancelled" else PaymentStatus(word)
    except ValueError:
        return PaymentStatus.UNKNOWN


def read_facts(document: Document) -> PaymentFacts:
    """Read a payment. Raises `NotAccepted`, which names the field that is not what it should be."""
    return PaymentFacts(**read_members(document))


def read_members(document: Document) -> dict[str, Any]:
    """Read what `PaymentFacts` is made of, for records that have these members, too. Raises as `read_facts` does."""
    provider_status = required(fields.word(document, "payment_status"), "payment_status")
    return {
        "payment_id": PaymentId(required(fields.identifier(document, "payment_id"), "payment_id")),
        "parent_payment_id": _payment_id(fields.identifier(document, "parent_payment_id")),
        "invoice_id": fields.identifier(document, "invoice_id"),
        "provider_status": provider_status,
        "status": payment_status(provider_status),
        "price_amount": fields.exact_amount(document, "price_amount"),
        "price_currency": fields.currency(document, "price_currency"),
        "pay_amount": fields.coin_amount(document, "pay_amount"),
        "pay_currency": fields.currency(document, "pay_currency"),
        "actually_paid": fields.coin_amount(document, "actually_paid"),
        "outcome_amount": fields.coin_amount(document, "outcome_amount"),
        "outcome_currency": fields.currency(document, "outcome_currency"),
        "provider_updated_at": fields.instant(document, "updated_at"),
    }


def order_named(document: Document) -> str:
    """Return whatever the order is called; another shop's account may use numbers, or nothing."""
    match document.get("order_id"):
        case None:
            return ""
        case str(text):
            return text
        case int(number) if not isinstance(number, bool):
            return str(number)
        case _:
            raise fields.refuse("order_id", "a text")


def required(value: str | None, name: str) -> str:
    """Return the value. Raises `NotAccepted` when there is none."""
    if value is None:
        raise fields.refuse(name, "there")
    return value


def _payment_id(plain: str | None) -> PaymentId | None:
    return None if plain is None else PaymentId(plain)
