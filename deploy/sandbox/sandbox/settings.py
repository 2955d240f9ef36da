"""What the environment says: where to listen, where to send webhooks, which secrets the providers share."""

from typing import Annotated

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Secret = Annotated[SecretStr, Field(min_length=1)]


class Settings(BaseSettings):
    """Read once at the start. What may change while running is in `Dials`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8090, ge=0, le=65535)
    ingress_url: str = Field(min_length=1)

    nowpayments_ipn_secret: Secret
    nowpayments_api_key: Secret
    kinguin_webhook_secret: Secret
    kinguin_client_id: Annotated[str, Field(min_length=1)]
    kinguin_client_secret: Secret
    kinguin_api_key: Secret
    resend_api_key: Secret
    resend_webhook_secret: Secret

    # About 1 kB a call and 8 kB a mail: some 1 GB when both are full, which a load test of an hour does not reach.
    max_calls: int = Field(default=200_000, ge=1)
    max_mails: int = Field(default=100_000, ge=1)
    max_purchases: int = Field(default=1_000_000, ge=1)


def complaint(error: ValidationError) -> str:
    """One sentence that names every setting at fault, never its value."""
    faults = [f"{str(each['loc'][0]).upper()}: {each['msg'].lower()}" for each in error.errors() if each["loc"]]
    return "sandbox cannot start; " + "; ".join(faults)
