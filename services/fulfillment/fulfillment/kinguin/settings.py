"""The settings of the kinguin worker."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from bitloot.sealing import SealingPublicKey
from bitloot.settings import BaseUrl, HttpSettings, KafkaSettings, PostgresSettings, Secret


def _available(value: object) -> object:
    if value == "esa":
        raise ValueError("this dialect is not available yet")
    return value


Dialect = Annotated[Literal["reservations"], BeforeValidator(_available)]
"""What Kinguin's API is spoken to in."""


class KinguinSettings(KafkaSettings, PostgresSettings, HttpSettings):
    """What the kinguin worker is told by its environment."""

    kinguin_dialect: Dialect = Field("reservations", description="reservations")
    kinguin_base_url: BaseUrl = Field(description="the address below which /reservations is found")
    kinguin_auth_url: BaseUrl = Field(
        description="the address of the token endpoint, or its base: without a path that ends in /token, "
        "/auth/token is appended"
    )
    kinguin_client_id: str = Field(min_length=1, description="the id of our account's API client")
    kinguin_client_secret: Secret = Field(description="the secret of our account's API client")
    sealing_public_key: SealingPublicKey = Field(description="the public key to seal codes with, as id:base64")

    kinguin_concurrency: int = Field(64, ge=1, le=1000, description="how many calls may be under way at once")
    kinguin_connect_seconds: float = Field(3.0, gt=0, le=60, description="the longest wait for a connection")
    kinguin_call_seconds: float = Field(
        10.0, gt=0, le=300, description="the longest time for one call, with its token and its second try"
    )

    @model_validator(mode="after")
    def _connects_in_time(self) -> Self:
        if self.kinguin_connect_seconds >= self.kinguin_call_seconds:
            raise ValueError("KINGUIN_CONNECT_SECONDS must be less than KINGUIN_CALL_SECONDS")
        return self

    @property
    def claim_time(self) -> timedelta:
        """How long an effect is ours: a purchase is two calls, and ends by itself well before its claim does.

        A claim that ended while the call was still under way would lose a reservation's id.
        """
        return timedelta(seconds=2 * self.kinguin_call_seconds + 5)
