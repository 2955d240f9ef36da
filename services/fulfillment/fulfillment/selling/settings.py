"""The settings of the seller worker. Without KINGUIN_SELLER_BASE_URL nothing is sold: the worker says so and waits."""

import hashlib
from datetime import timedelta
from typing import Final, Self

from pydantic import Field, SecretStr, model_validator

from bitloot.sealing import SealingPrivateKeys
from bitloot.settings import BaseUrl, HttpSettings, KafkaSettings, PostgresSettings, Secret, Secrets

_NEEDED: Final = (
    "kinguin_envoy_base_url",
    "kinguin_seller_auth_url",
    "kinguin_seller_client_id",
    "kinguin_seller_client_secret",
    "stock_sealing_private_keys",
)


class SellerSettings(KafkaSettings, PostgresSettings, HttpSettings):
    """What the seller worker is told by its environment. The account may be another one than the buyer's."""

    kinguin_seller_base_url: BaseUrl | None = Field(
        None, description="the address of the sales manager, below which /offers is found; nothing to sell nothing"
    )
    kinguin_envoy_base_url: BaseUrl | None = Field(
        None, description="the address of Envoy, below which /subscription and /requests are found"
    )
    kinguin_seller_auth_url: BaseUrl | None = Field(
        None, description="the address of the token endpoint of the seller account, or its base"
    )
    kinguin_seller_client_id: str | None = Field(None, min_length=1, description="the id of the seller's API client")
    kinguin_seller_client_secret: Secret | None = Field(None, description="the secret of the seller account's client")
    stock_sealing_private_keys: SealingPrivateKeys | None = Field(
        None, description="the private keys of the stock, as <key id>:<base64>, separated by commas"
    )

    kinguin_seller_webhook_url: BaseUrl | None = Field(
        None,
        description="where Kinguin is to send news of sales: the ingress, /webhooks/kinguin-seller; "
        "nothing to leave its subscription as it is",
    )
    kinguin_seller_webhook_secret: Secrets | None = Field(
        None, description="what Kinguin is to send along, as the ingress knows it: the first of several"
    )

    seller_concurrency: int = Field(32, ge=1, le=1000, description="how many calls may be under way at once")
    seller_call_seconds: float = Field(10.0, gt=0, le=120, description="the longest time for one call")
    seller_wait_seconds: float = Field(
        5.0, ge=1, le=120, description="the longest wait for a turn under a limit, before a call is put off"
    )
    seller_writes_per_minute: int = Field(2000, ge=1, le=1_000_000, description="how many changes a minute, by all")
    seller_reads_per_minute: int = Field(4000, ge=1, le=1_000_000, description="how many reads a minute, by all")
    offers_seconds: float = Field(60.0, ge=1, le=86_400, description="how often our offers are read and kept in line")
    declared_stock_limit: int = Field(
        1000, ge=0, le=1_000_000, description="how many codes are declared for one offer at most"
    )
    offer_changes: int = Field(100, ge=1, le=1000, description="how many changes of declared stock one look may make")

    @property
    def selling(self) -> bool:
        """Whether anything is sold."""
        return self.kinguin_seller_base_url is not None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        missing = [name.upper() for name in _NEEDED if getattr(self, name) is None]
        if self.selling and missing:
            raise ValueError(f"KINGUIN_SELLER_BASE_URL is set, and {', '.join(missing)} not")
        if self.kinguin_seller_webhook_url is not None and self.kinguin_seller_webhook_secret is None:
            raise ValueError("KINGUIN_SELLER_WEBHOOK_URL is set, and KINGUIN_SELLER_WEBHOOK_SECRET not")
        return self

    @property
    def subscription(self) -> tuple[str, SecretStr] | None:
        """Where Kinguin is to send news, and with which secret; None to leave its subscription alone."""
        if self.kinguin_seller_webhook_url is None or self.kinguin_seller_webhook_secret is None:
            return None
        return self.kinguin_seller_webhook_url, self.kinguin_seller_webhook_secret[0]

    @property
    def claim_time(self) -> timedelta:
        """How long a hand-over is ours: a call ends by itself well before its claim does."""
        return timedelta(seconds=self.seller_wait_seconds + self.seller_call_seconds + 5)

    @property
    def account(self) -> str:
        """A name for the seller account that all of its workers have, and that gives no secret away."""
        whose = f"{self.kinguin_seller_base_url}\n{self.kinguin_seller_client_id}"
        return f"kinguin:seller:{hashlib.sha256(whose.encode()).hexdigest()[:12]}"
