"""Everything that `PUT /_settings` can change while the sandbox runs."""

import base64
import binascii
import random
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic.alias_generators import to_camel

from sandbox.settings import Secret, Settings

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Share = Annotated[float, Field(ge=0, le=1)]

SECRETS = frozenset(
    {
        "nowpayments_ipn_secret",
        "nowpayments_api_key",
        "kinguin_webhook_secret",
        "kinguin_client_secret",
        "kinguin_api_key",
        "resend_api_key",
        "resend_webhook_secret",
    }
)


class ControlModel(BaseModel):
    """Bodies of the control plane: camelCase or snake_case names, a typo is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )


class Dials(ControlModel):
    """How the providers behave now."""

    ingress_url: str = Field(min_length=1)
    nowpayments_ipn_secret: Secret
    nowpayments_api_key: Secret
    kinguin_webhook_secret: Secret
    kinguin_client_id: str = Field(min_length=1)
    kinguin_client_secret: Secret
    kinguin_api_key: Secret
    resend_api_key: Secret
    resend_webhook_secret: Secret

    seed: int = 0
    # Added to every provider call, before its effect.
    latency: Seconds = 0.0

    # From give to delivered.
    key_delay: Seconds = 0.2
    codes_field: Literal["codes", "keys"] = "codes"
    codes_in_webhook: bool = False
    order_id_in_webhook: bool = True
    not_delivered_status: Literal[404, 409] = 409
    lookup: bool = True
    # A new reservation is not found by the look-up for so long.
    lookup_delay: Seconds = 0.0
    token_lifetime: int = Field(default=3600, ge=0)

    # Calls a minute of one account, 0 for as many as it likes.
    reservations_rate_limit: int = Field(default=0, ge=0)
    esa_rate_limit: int = Field(default=2000, ge=0)
    seller_write_limit: int = Field(default=2000, ge=0)
    seller_read_limit: int = Field(default=4000, ge=0)

    # ESA: any product id is for sale at `product_price` EUR, unless `PUT /_products` said something else.
    any_product: bool = True
    product_price: Decimal = Field(default=Decimal("1.00"), gt=0, le=1_000_000, decimal_places=2)
    # Share of the keys that come as pictures where the order does not force text, and which kinds.
    image_keys: Share = 0.0
    image_types: tuple[Literal["image/png", "image/jpeg", "image/gif"], ...] = Field(
        default=("image/png", "image/jpeg", "image/gif"), min_length=1
    )
    # Between one key of an order and the next: a partial delivery for a while.
    key_spread: Seconds = 0.0
    # Shares of orders that Kinguin never ends, cancels or refunds; of keys that it cancels while the others come.
    order_stuck: Share = 0.0
    order_canceled: Share = 0.0
    order_refunded: Share = 0.0
    key_canceled: Share = 0.0
    # What an order is called in the end when only some of its keys came. Nothing says; this is the worst for a buyer.
    partial_status: Literal["completed", "canceled", "refunded", "processing"] = "completed"
    key_pages: Literal["stable", "shuffled", "repeated"] = "stable"
    # "Should be unique" is all that is known of external ids.
    external_ids: Literal["repeatable", "refused"] = "repeatable"
    payment_price: Literal["number", "text"] = "number"
    billing_address: bool = True
    # Addresses that may order and fetch keys; empty allows all.
    buyer_ips: tuple[str, ...] = ()
    # Rejected webhooks in a row after which ESA sends no more, 0 for never.
    disable_after: int = Field(default=0, ge=0)
    # Misspelled in Kinguin's own documentation.
    esa_content_type: str = "aplication/json"

    # Selling on Kinguin: the stock that was granted, and how long a seller has from payment to the key.
    declared_stock_limit: int = Field(default=1000, ge=0)
    dispatch_limit: Seconds = 900.0
    # From reserve to give.
    pay_delay: Seconds = 0.0
    seller_webhook_path: str = "/webhooks/kinguin"

    ipn_spelling: Literal["canonical", "respelled"] = "canonical"
    # In the price currency; a smaller payment is refused.
    min_amount: float = Field(default=0.0, ge=0, le=1e12)

    # Calls per second of the whole team. High, so that load tests meet it only when they ask for it.
    resend_rate_limit: int = Field(default=10_000, ge=1)
    resend_events: tuple[Literal["email.sent", "email.delivered"], ...] = ()

    # Copies beside the first.
    webhook_duplicates: int = Field(default=0, ge=0, le=100)
    # Each webhook waits between 0 and this, so that later ones overtake.
    webhook_shuffle: Seconds = 0.0
    webhook_drop: Share = 0.0
    # 6 attempts wait 0.2, 0.4, 0.8, 1.6 and 3.2 s between them: long enough for a restart, short enough to give up.
    webhook_attempts: int = Field(default=6, ge=1, le=100)
    webhook_backoff: Seconds = 0.2
    webhook_backoff_max: Seconds = 5.0
    webhook_timeout: float = Field(default=10.0, gt=0, le=600)

    @model_validator(mode="after")
    def _resend_can_sign(self) -> Self:
        if self.resend_events:
            svix_key(self.resend_webhook_secret)
        return self


def svix_key(secret: SecretStr) -> bytes:
    """Return the bytes to sign with; ValueError when the secret is not `whsec_` and base64."""
    text = secret.get_secret_value().strip().removeprefix("whsec_")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("the Resend webhook secret must be whsec_ followed by base64") from error


_ALIASES = {name: to_camel(name) for name in Dials.model_fields}


class Panel:
    """Holds the dials in force. Components keep the panel and read a dial when they need it."""

    def __init__(self, settings: Settings) -> None:
        known = settings.model_dump(include=set(Dials.model_fields))
        self._initial = Dials.model_validate(known)
        self.reset()

    def reset(self) -> None:
        """Go back to what the environment said."""
        self.dials = self._initial
        self.chance = random.Random(self.dials.seed)  # noqa: S311 - repeatable on purpose

    def change(self, wanted: dict[str, object]) -> None:
        """Set the named dials and leave the others; a pydantic ValidationError changes nothing."""
        # By alias, so that a complaint names the member as the control plane spells it.
        named = {_ALIASES.get(name, name): value for name, value in wanted.items()}
        self.dials = Dials.model_validate({**self.dials.model_dump(by_alias=True), **named})
        self.chance = random.Random(self.dials.seed)  # noqa: S311 - repeatable on purpose

    def shown(self) -> dict[str, object]:
        """Return the dials as JSON without the secrets."""
        return self.dials.model_dump(mode="json", by_alias=True, exclude=set(SECRETS))
