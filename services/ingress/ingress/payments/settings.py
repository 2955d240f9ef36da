"""The settings of the payments worker."""

import hashlib
from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from bitloot.settings import HttpSettings, KafkaSettings, PostgresSettings, Secret
from ingress.gateway import Login
from ingress.settings import BillingSettings


class PaymentsSettings(KafkaSettings, PostgresSettings, HttpSettings, BillingSettings):
    """Settings of `python -m ingress.payments`."""

    nowpayments_email: str | None = Field(
        None, min_length=3, description="the email of a user of the NOWPayments account, who may list payments"
    )
    nowpayments_password: Secret | None = Field(None, description="the password of that user")
    nowpayments_calls_per_minute: int = Field(
        6000, ge=1, le=1_000_000, description="how many calls a minute the account may make; each 429 slows them down"
    )
    nowpayments_wait_seconds: float = Field(
        5.0, ge=1, le=300, description="the longest wait for a turn under that limit, before a call is put off"
    )
    payments_concurrency: int = Field(64, ge=1, le=1000, description="how many orders are asked about at the same time")

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if (self.nowpayments_email is None) != (self.nowpayments_password is None):
            raise ValueError("NOWPAYMENTS_EMAIL and NOWPAYMENTS_PASSWORD belong together")
        return self

    @property
    def login(self) -> Login | None:
        """Return who lists payments. Without, a payment of which no notification came is not found by its invoice."""
        if self.nowpayments_email is None or self.nowpayments_password is None:
            return None
        return Login(self.nowpayments_email, self.nowpayments_password)

    @property
    def claim_time(self) -> timedelta:
        """How long an effect is ours: signing in and one call, each with its wait, and room."""
        return timedelta(seconds=2 * (self.nowpayments_wait_seconds + self.nowpayments_seconds) + 5)

    @property
    def account(self) -> str:
        """A name for our account that all of its workers have, and that gives no secret away."""
        key = self.nowpayments_api_key.get_secret_value()
        digest = hashlib.sha256(f"{self.nowpayments_base_url}\n{key}".encode()).hexdigest()
        return f"nowpayments:{digest[:12]}"
