"""What each kind of mail says. Pure."""

from dataclasses import dataclass
from typing import Final, assert_never

from bitloot.contracts.events import MailKind

SUBJECT: Final = "Your BitLoot Order"


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a mail; `button` is on the link to the order page, `note` below everything."""

    subject: str
    headline: str
    paragraphs: tuple[str, ...]
    button: str
    note: str = "Whoever has these links can see your order. Please do not forward this mail."


_ANSWERS = "You do not have to do anything: we write to you. If you write to us, name the order number below."
_REVIEWS: Final = {
    "underpaid": "Your payment arrived, but it is less than the price of the order.",
    "payment_mismatch": "A payment arrived whose amount or currency is not that of your order.",
    "late_payment": "Your payment arrived after its time had run out.",
    "payment_stalled": "Your payment was seen on its way and has not arrived for days.",
    "out_of_stock": "Your payment is safe with us, but our supplier has no key for you at the moment.",
    "not_visible": "Your payment is safe with us, but our supplier has no key for you at the moment.",
    "price_changed": "Your payment is safe with us, but our supplier's price has changed since.",
    "refunded_while_buying": "Your payment is going back while we were getting your keys.",
}
_REVIEW = "Your payment is safe with us, but something needs a person's eye before we can go on."


def review_words(cause: str) -> str:
    """Return what a buyer is told of an order that waits for a person for that cause."""
    return _REVIEWS.get(cause, _REVIEW)


def words(kind: MailKind, about: str, keys: int) -> Words:  # noqa: PLR0911 - one return for each kind
    """Return what a mail of a kind says, for an order of so many keys; `about` is the cause of a review or an end."""
    key, are = ("key", "is") if keys == 1 else (f"{keys} keys", "are")
    match kind:
        case MailKind.KEYS:
            see = "see your key" if keys == 1 else "see your keys"
            return Words(
                SUBJECT,
                f"Your {key} {are} ready",
                (f"Thank you for your order. Open your order page and press “Reveal” to {see}, as often as you like.",),
                "Open my order page",
                f"These links open your {'key' if keys == 1 else 'keys'} for anybody. Please do not forward this mail.",
            )
        case MailKind.PAGE:
            return Words(
                "Your BitLoot order page",
                "Your order page",
                ("Here you see where your order is. Your keys appear there as soon as they are ready.",),
                "Open my order page",
            )
        case MailKind.LOST:
            return Words(
                "Your BitLoot order pages",
                "Your order pages",
                ("Somebody, we hope you, asked for new links to the orders of this mail address:",),
                "Open my newest order",
                "If it was not you, there is nothing to do. Whoever has these links can see your orders: "
                "please do not forward this mail.",
            )
        case MailKind.CONFIRM:
            return Words(
                "Confirm your mail address for BitLoot",
                "Is this your mail address?",
                (
                    "Somebody who has the link to a BitLoot order, we hope you, wants its mails sent to this address.",
                    "When you confirm it, earlier links to the order stop working and new ones are sent here.",
                ),
                "Confirm my address",
                "If you did not ask for this, do nothing: nothing changes then.",
            )
        case MailKind.REVIEW:
            return Words(
                "We are looking into your BitLoot order",
                "We are looking into your order",
                (review_words(about), _ANSWERS),
                "See my order",
            )
        case MailKind.REFUNDED:
            return Words(
                "Your BitLoot order was refunded",
                "Your order was refunded",
                ("Your payment was sent back, and no key was delivered. We are sorry that it did not work out.",),
                "See my order",
            )
        case MailKind.CANCELED:
            paid = "The payment failed." if about == "failed" else "No payment arrived in time."
            return Words(
                "Your BitLoot order was canceled",
                "Your order was canceled",
                (f"{paid} No key was bought. If you did pay, write to us with the order number below.",),
                "See my order",
            )
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(kind)
