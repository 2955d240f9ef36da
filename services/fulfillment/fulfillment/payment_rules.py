"""What a payment means: the order of its statuses, and the checks before it pays for anything. Pure.

Contract "NOWPayments", sections 3 and 6. The words of a status only move forward; from one end to another they move
where `_REVERSALS` says so, and such a move is told to a human.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from bitloot.contracts.events import PaymentFacts, PaymentInstructions, PaymentStatus
from bitloot.contracts.state import PaymentState, PaymentVerdict

TOLERANCE = Decimal("0.01")
"""The part of the asked coins that may be missing from a `finished` payment."""
LIFETIME = timedelta(days=7)
"""A floating-rate payment lives so long, an invoice's payments too."""
AFTERMATH = timedelta(days=1)
"""For so long after its end a payment is still asked about: money may be on its way."""

_S = PaymentStatus
_RANK = {_S.UNKNOWN: -1, _S.WAITING: 0, _S.CONFIRMING: 1, _S.CONFIRMED: 2, _S.SENDING: 3}
ENDED = frozenset({_S.EXPIRED, _S.FAILED, _S.CANCELED})
MOVING = frozenset({_S.CONFIRMING, _S.CONFIRMED, _S.SENDING})
_REVERSALS = {
    _S.PARTIALLY_PAID: {_S.FINISHED, _S.CANCELED, _S.REFUNDED},  # the rest came, or the merchant has decided
    _S.EXPIRED: {_S.PARTIALLY_PAID, _S.FINISHED, _S.REFUNDED},  # money arrived after all
    _S.FAILED: {_S.PARTIALLY_PAID, _S.FINISHED, _S.REFUNDED},
    _S.CANCELED: {_S.FINISHED, _S.REFUNDED},
    _S.FINISHED: {_S.REFUNDED},
    _S.REFUNDED: frozenset[PaymentStatus](),
}
"""The moves from an end to another one. `UNKNOWN` is a word that we do not know: it is kept and changes nothing."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What an order asks for, as far as its payments are judged by it."""

    total: Decimal
    currency: str
    offers: tuple[PaymentInstructions, ...]
    payments: tuple[PaymentState, ...]
    placed: bool
    paid: bool
    closed: bool
    tolerance: Decimal = TOLERANCE

    def offer_of(self, payment: PaymentFacts | PaymentState) -> PaymentInstructions | None:
        """Return the offer that a payment answers: one that we created, or an invoice that it belongs to."""
        for offer in self.offers:
            if offer.payment_id is not None and offer.payment_id == payment.payment_id:
                return offer
            if offer.invoice_id is not None and offer.invoice_id == payment.invoice_id:
                return offer
        return None


class Judgment(NamedTuple):
    """A verdict, and why a human must hear of it: without a cause nobody must."""

    verdict: PaymentVerdict
    cause: str = ""
    detail: str = ""


def is_news(known: PaymentState, facts: PaymentFacts) -> bool:
    """Tell whether a payment moves forward by this. Order of arrival is not promised."""
    if facts.status is known.status is _S.PARTIALLY_PAID:
        return (facts.actually_paid or 0) > (known.actually_paid or 0)
    if known.status in _REVERSALS:
        return facts.status in _REVERSALS[known.status]
    return facts.status in _REVERSALS or _RANK[facts.status] > _RANK[known.status]


def is_reversal(known: PaymentState | None, status: PaymentStatus) -> bool:
    """Tell whether a payment that had ended now ends otherwise."""
    return known is not None and known.status in _REVERSALS and status is not known.status


def is_open(status: PaymentStatus) -> bool:
    """Tell whether something may still come of a payment, as far as it is worth asking."""
    return status in _RANK or status in {_S.PARTIALLY_PAID, _S.EXPIRED, _S.FAILED}


def asked_until(offer: PaymentInstructions | None, since: datetime) -> datetime:
    """Return until when a payment that is known `since` then is asked about."""
    end = offer.valid_until if offer is not None and offer.valid_until is not None else since + LIFETIME
    return end + AFTERMATH


def judge(bill: Bill, payment: PaymentState, known: PaymentState | None, *, read: bool) -> Judgment:  # noqa: PLR0911 - one line per row of the contract's table
    """Return what a payment means. `read`: NOWPayments was asked, and has not only told.

    Only what was read is accepted; what a notification tells is to be read first.
    """
    if not bill.placed:
        return Judgment(PaymentVerdict.OPEN)
    came = described(payment)
    if payment.status in ENDED and payment.actually_paid:
        detail = f"The payment is {payment.provider_status}, but money came: {came}"
        return Judgment(PaymentVerdict.ENDED, "money_in_ended_payment", detail)
    if payment.status in ENDED or payment.status is _S.REFUNDED:
        return Judgment(PaymentVerdict.ENDED)
    if payment.status not in {_S.FINISHED, _S.PARTIALLY_PAID}:
        return Judgment(PaymentVerdict.OPEN)
    if payment.parent_payment_id is not None:
        return _deposit(bill, payment)
    offer = bill.offer_of(payment)
    if offer is None and (read or payment.invoice_id is not None or not bill.offers):
        detail = f"Money came, but in no payment that this order was offered: {came}"
        return Judgment(PaymentVerdict.FOREIGN, "foreign_payment", detail)
    if bill.paid:
        return Judgment(PaymentVerdict.EXTRA, "extra_payment", f"More money came for this order: {came}")
    if payment.status is _S.PARTIALLY_PAID:
        return Judgment(PaymentVerdict.UNDERPAID, "underpaid", f"The buyer paid {came}")
    return _settled(bill, payment, known, offer, read=read)


def _deposit(bill: Bill, payment: PaymentState) -> Judgment:
    """Judge more money to a used address, or another coin to it: never what an order is delivered for."""
    parent, came = payment.parent_payment_id, described(payment)
    offer = next((o for o in bill.offers if o.payment_id == parent), None)
    first = next((p for p in bill.payments if p.payment_id == parent), None)
    asked = (offer and offer.pay_currency) or (first and first.pay_currency)
    if asked is not None and payment.pay_currency is not None and payment.pay_currency != asked:
        detail = f"Another coin than {asked} came to the address of payment {parent}: {came}"
        return Judgment(PaymentVerdict.EXTRA, "wrong_asset", detail)
    detail = f"More money came to the address of payment {parent}: {came}"
    return Judgment(PaymentVerdict.EXTRA, "extra_payment", detail)


def _settled(  # noqa: PLR0911 - one line per check of the contract
    bill: Bill, payment: PaymentState, known: PaymentState | None, offer: PaymentInstructions | None, *, read: bool
) -> Judgment:
    """Check a `finished` payment against the order."""
    came = described(payment)
    if (payment.price_amount, payment.price_currency) != (bill.total, bill.currency):
        price = f"{payment.price_amount} {payment.price_currency}"
        detail = f"Paid for {price}, not for {bill.total} {bill.currency}"
        return Judgment(PaymentVerdict.MISMATCH, "payment_mismatch", detail)
    if offer is not None and offer.pay_currency not in {None, payment.pay_currency}:
        detail = f"Paid in another coin than {offer.pay_currency}: {came}"
        return Judgment(PaymentVerdict.MISMATCH, "payment_mismatch", detail)
    if bill.closed or (known is not None and known.status in ENDED):
        return Judgment(PaymentVerdict.LATE, "late_payment", f"Money came after the payment had ended: {came}")
    asked, paid = payment.pay_amount, payment.actually_paid
    if asked is None or paid is None:
        if not read:
            return Judgment(PaymentVerdict.CHECKING)
        detail = f"NOWPayments does not say how much came: {came}"
        return Judgment(PaymentVerdict.MISMATCH, "payment_mismatch", detail)
    if offer is not None and offer.pay_amount is not None:
        asked = max(asked, offer.pay_amount)
    if paid < asked * (1 - bill.tolerance):
        return Judgment(PaymentVerdict.UNDERPAID, "underpaid", f"Finished, but the buyer paid {came}")
    if not read:
        return Judgment(PaymentVerdict.CHECKING)
    if paid > asked * (1 + bill.tolerance):
        return Judgment(PaymentVerdict.ACCEPTED, "overpaid", f"The buyer paid more than was asked: {came}")
    return Judgment(PaymentVerdict.ACCEPTED)


def difference(told: PaymentState, read: PaymentFacts) -> str:
    """Say in which fact what was read is not what a notification had told; empty when it is the same."""
    facts = {
        "status": (told.status, read.status),
        "parent payment": (told.parent_payment_id, read.parent_payment_id),
        "price": (told.price_amount, read.price_amount),
        "price currency": (told.price_currency, read.price_currency),
        "amount": (told.pay_amount, read.pay_amount),
        "coin": (told.pay_currency, read.pay_currency),
    }
    return ", ".join(
        f"the {name} {heard} was told as {said}"
        for name, (said, heard) in facts.items()
        if said != heard and (said is not None or name == "parent payment")
    )


def lags(told: PaymentState, read: PaymentFacts) -> bool:
    """Tell whether NOWPayments, when asked, is still behind what its notification told."""
    return told.status is _S.FINISHED and read.status in _RANK


def described(payment: PaymentState) -> str:
    """Return a payment's money in words, such as `0.5 of 1 btc in payment 5000000001`."""
    paid, asked = _plain(payment.actually_paid), _plain(payment.pay_amount)
    return f"{paid} of {asked} {payment.pay_currency} in payment {payment.payment_id}"


def _plain(amount: Decimal | None) -> str:
    if amount is None:
        return "an unknown amount"
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
