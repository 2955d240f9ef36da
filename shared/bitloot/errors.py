"""The errors that every service speaks, named by what the caller does next.

    BitLootError
    ├── Transient     try again later, and not before `retry_after` seconds have passed
    ├── Refused       the other side understood and said no: record it, tell the order
    ├── Malformed     the input cannot be used and never will be: dead letter
    └── Unknown       the effect may or may not have happened: ask the provider before anything else

Adapters translate the errors of their libraries into these four; nothing above an adapter catches an
httpx, asyncpg or S3 error. Each error carries a `cause`, a stable word that may be stored, counted and
grouped by, and a `detail`, a sentence for people. Neither ever holds a secret, a key or a provider's raw
answer.
"""

from enum import StrEnum


class Cause(StrEnum):
    """Why something failed. Stored and used as a metric label: members are added, never renamed."""

    # The other side, or the way to it
    PROVIDER_UNAVAILABLE = "provider_unavailable"  # connection refused, 5xx
    RATE_LIMITED = "rate_limited"  # 429
    QUOTA_EXCEEDED = "quota_exceeded"  # a day's or a month's allowance is used up
    TIMEOUT = "timeout"  # no answer in time; for an effect this is `Unknown`, for a read `Transient`
    BAD_ANSWER = "bad_answer"  # an answer that its contract does not allow
    AUTHORIZATION = "authorization"  # our credentials were refused
    REJECTED = "rejected"  # any other refusal of a request that the provider understood
    NOT_FOUND = "not_found"  # the thing asked for does not exist there
    CONFLICT = "conflict"  # it exists there already, with other content
    NOT_READY = "not_ready"  # accepted, but its result is not there yet
    UNKNOWN_RESERVATION = "unknown_reservation"  # a notice of a reservation that no order has claimed in time
    CANNOT_ASK = "cannot_ask"  # the provider offers no way to find out what happened
    MAIL_OUTCOME_UNKNOWN = "mail_outcome_unknown"  # it may have been sent, too long ago to be repeated as the same

    # Buying and selling
    OUT_OF_STOCK = "out_of_stock"  # no offer for the product
    NOT_VISIBLE = "not_visible"  # there is an offer, but it is not on sale
    SOLD_ALONE = "sold_alone"  # a pre-order among others: the market sells it in an order of its own only
    PRICE_CHANGED = "price_changed"  # the offer costs more than the order allows
    INSUFFICIENT_BALANCE = "insufficient_balance"  # our account at the market is empty
    CANCELED = "canceled"  # the provider ended the purchase
    REFUNDED = "refunded"  # the provider sent the money back
    QUANTITY_MISMATCH = "quantity_mismatch"  # fewer or more keys than were bought
    DUPLICATE_KEY = "duplicate_key"  # the same code twice
    BAD_CODES = "bad_codes"  # codes that came, but must not be handed on: too many, twice, empty, unprintable
    UNSUPPORTED_MEDIA = "unsupported_media"  # a code that is no text
    AMOUNT_TOO_SMALL = "amount_too_small"  # less than the payment provider takes in that coin
    COIN_UNAVAILABLE = "coin_unavailable"  # the coin cannot be paid with (now)
    AMOUNT_MISMATCH = "amount_mismatch"  # a payment of another amount or currency
    BAD_RECIPIENT = "bad_recipient"  # the mail address is refused for good

    # What came in
    BAD_JSON = "bad_json"  # not JSON, or JSON that no honest sender writes
    TOO_LARGE = "too_large"  # more bytes than allowed
    TOO_DEEP = "too_deep"  # nested deeper than allowed
    BAD_RECORD = "bad_record"  # JSON, but not a record of the expected shape and version
    BAD_SIGNATURE = "bad_signature"  # the sender could not prove who it is
    UNKNOWN_KEY_ID = "unknown_key_id"  # sealed with a key that is not held here
    BROKEN_BOX = "broken_box"  # sealed bytes that do not open
    BUYER_ERASED = "buyer_erased"  # the key of the buyer's personal data was destroyed
    BAD_LINK = "bad_link"  # an order page token that was never minted here
    LINK_EXPIRED = "link_expired"  # an order page token past its time

    # Our own parts
    BROKER_UNAVAILABLE = "broker_unavailable"  # Kafka did not acknowledge
    DATABASE_UNAVAILABLE = "database_unavailable"  # PostgreSQL cannot be reached
    STORAGE_UNAVAILABLE = "storage_unavailable"  # object storage cannot be reached
    ABANDONED = "abandoned"  # a worker claimed it and died before it could tell what happened
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"  # the last allowed attempt failed
    DEFECT = "defect"  # a bug: an exception that nobody translated


class BitLootError(Exception):
    """Base of all expected errors: a stable `cause` and a `detail` for people, free of secrets."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(cause, detail)
        self.cause = cause
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}"


class Transient(BitLootError):  # noqa: N818 - the families are named by what the caller does
    """It may work later; `retry_after` is the least wait in seconds that the other side asked for."""

    def __init__(self, cause: Cause, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(cause, detail)
        self.retry_after = retry_after


class Refused(BitLootError):  # noqa: N818 - see Transient
    """The other side understood and said no; asking again changes nothing."""


class Malformed(BitLootError):  # noqa: N818 - see Transient
    """The input cannot be understood; reading it again changes nothing."""


class Unknown(BitLootError):  # noqa: N818 - see Transient
    """The effect was asked for and its outcome never came back: it may have happened."""
