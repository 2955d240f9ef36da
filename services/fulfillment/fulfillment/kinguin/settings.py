"""The settings of the kinguin worker."""

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from bitloot.code_hashes import CodeHashSettings
from bitloot.sealing import SealingPublicKey
from bitloot.settings import BaseUrl, HttpSettings, KafkaSettings, PostgresSettings, Secret
from fulfillment.dialects import Dialect

_RATE: Final = re.compile(r"([A-Za-z0-9]{2,20})\s*=\s*([0-9]{1,9}(?:\.[0-9]{1,12})?)", re.ASCII)

_NEEDED_BY: Final = {
    "kinguin_auth_url": "reservations",
    "kinguin_client_id": "reservations",
    "kinguin_client_secret": "reservations",
    "kinguin_api_key": "esa",
}


def _read_rates(value: object) -> object:
    if not isinstance(value, str):
        return value
    rates: dict[str, Decimal] = {}
    for pair in filter(None, (each.strip() for each in value.split(","))):
        form = _RATE.fullmatch(pair)
        if form is None or not Decimal(form[2]):
            raise ValueError("it is not written as CURRENCY=RATE, with rates above 0")
        currency = form[1].lower()
        if currency in rates:
            raise ValueError("it has two rates for one currency")
        if currency == "eur" and Decimal(form[2]) != 1:
            raise ValueError("a euro is one euro")
        rates[currency] = Decimal(form[2])
    return rates


Rates = Annotated[Mapping[str, Decimal], NoDecode, BeforeValidator(_read_rates)]
"""What one unit of a currency (lower case) is in EUR, written `USD=0.92,GBP=1.17`."""


class KinguinSettings(KafkaSettings, PostgresSettings, HttpSettings, CodeHashSettings):
    """What the kinguin worker is told by its environment."""

    kinguin_dialect: Dialect = Field("reservations", description="reservations or esa")
    kinguin_base_url: BaseUrl = Field(
        description="the address below which /reservations is found, or in the esa dialect /v2/order"
    )
    kinguin_auth_url: BaseUrl | None = Field(
        None,
        description="the address of the token endpoint, or its base: without a path that ends in /token, "
        "/auth/token is appended",
    )
    kinguin_client_id: str | None = Field(None, min_length=1, description="the id of our account's API client")
    kinguin_client_secret: Secret | None = Field(None, description="the secret of our account's API client")
    kinguin_api_key: Secret | None = Field(None, description="the API key of our store")
    sealing_public_key: SealingPublicKey = Field(description="the public key to seal codes with, as id:base64")

    kinguin_concurrency: int = Field(
        64,
        ge=1,
        le=1000,
        description="how many calls may be under way at once; all workers together no more than the limit serves "
        "within KINGUIN_WAIT_SECONDS",
    )
    kinguin_connect_seconds: float = Field(3.0, gt=0, le=60, description="the longest wait for a connection")
    kinguin_call_seconds: float = Field(
        10.0, gt=0, le=300, description="the longest time for one call, with its token and its second try"
    )
    kinguin_calls_per_minute: int = Field(
        2000, ge=1, le=1_000_000, description="how many calls a minute our account may make, all workers together"
    )
    kinguin_wait_seconds: float = Field(
        5.0, ge=1, le=300, description="the longest wait for a turn under that limit, before a call is put off"
    )

    kinguin_price_allowance: Decimal = Field(
        Decimal(0), ge=0, le=1000, description="how many percent more than the buyer paid a key may cost (esa)"
    )
    kinguin_eur_rates: Rates = Field(
        default_factory=dict, description="what other currencies are in EUR, as USD=0.92,GBP=1.17 (esa)"
    )
    kinguin_key_type: Literal["any", "text"] = Field(
        "any", description="text to take no images as keys, else any (esa)"
    )
    kinguin_balance_alert: Decimal = Field(
        Decimal(0), ge=0, description="the balance in EUR below which to warn, 0 for never (esa)"
    )
    kinguin_balance_seconds: float = Field(
        300.0, ge=1, le=86_400, description="how often the balance is read, by one of the workers (esa)"
    )

    @field_validator(*_NEEDED_BY)
    @classmethod
    def _is_there(cls, value: object, info: ValidationInfo) -> object:
        """Complain about what this dialect cannot do without, as about any other setting."""
        if value is None and info.data.get("kinguin_dialect") == _NEEDED_BY[info.field_name or ""]:
            raise PydanticCustomError("missing", "this dialect needs it")
        return value

    @model_validator(mode="after")
    def _connects_in_time(self) -> Self:
        if self.kinguin_connect_seconds >= self.kinguin_call_seconds:
            raise ValueError("KINGUIN_CONNECT_SECONDS must be less than KINGUIN_CALL_SECONDS")
        return self

    @property
    def claim_time(self) -> timedelta:
        """How long an effect is ours: a purchase ends by itself well before its claim does.

        A claim that ended while the call was still under way would lose a purchase's id. A purchase is two calls
        (reserve, give) in the one dialect and at most four in the other (prices, order, prices, order).
        """
        calls = 2 if self.kinguin_dialect == "reservations" else 4
        return timedelta(seconds=calls * (self.kinguin_wait_seconds + self.kinguin_call_seconds) + 5)

    @property
    def account(self) -> str:
        """A name for our account that all of its workers have, and that gives no secret away."""
        secret = self.kinguin_api_key.get_secret_value() if self.kinguin_api_key is not None else ""
        whose = self.kinguin_client_id if self.kinguin_dialect == "reservations" else secret
        digest = hashlib.sha256(f"{self.kinguin_base_url}\n{whose}".encode()).hexdigest()
        return f"kinguin:{self.kinguin_dialect}:{digest[:12]}"
