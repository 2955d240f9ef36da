"""Settings of the delivery worker and of the order page."""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from bitloot.proxies import ProxySettings
from bitloot.sealing import SealingPrivateKeys
from bitloot.settings import BaseUrl, HttpSettings, KafkaSettings, PostgresSettings, Secret, Secrets, Settings
from delivery.r2 import MAX_LINK_AGE
from delivery.signature import Bucket
from delivery.smtp import server_of

_ADDRESS = re.compile(r"[^\s<>@]+@[^\s<>@]+")
_SENDER = re.compile(r"(?:[^<>@\r\n]*<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)")


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError("it is no mail address")
    return value


def _sender(value: str) -> str:
    if not _SENDER.fullmatch(value):
        raise ValueError("it is neither a@b.c nor Name <a@b.c>")
    return value


def _mail_server(value: SecretStr) -> SecretStr:
    server_of(value)
    return value


def _seconds(value: object) -> object:
    """Take a bare number for seconds; leave what pydantic reads by itself."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        return value


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
"""A span of time: seconds (`3600`), days (`30d`) or ISO 8601 (`PT1H`, `P30D`)."""


class StorageSettings(Settings):
    """Where the keys are."""

    r2_endpoint_url: BaseUrl = Field(description="the S3 address of the storage, without the bucket")
    r2_bucket: str = Field(
        min_length=3, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="the bucket's name"
    )
    r2_access_key_id: str = Field(min_length=1, description="the access key's id")
    r2_secret_access_key: Secret = Field(description="the access key's secret")
    link_lifetime: Duration = Field(
        timedelta(minutes=15),
        ge=timedelta(seconds=1),
        le=MAX_LINK_AGE,
        description="how long a signed link to keys works, in seconds (900) or as ISO 8601 (PT15M); at most 7 days",
    )

    def bucket(self) -> Bucket:
        """Return the bucket that holds the keys."""
        return Bucket(self.r2_endpoint_url, self.r2_bucket, self.r2_access_key_id, self.r2_secret_access_key)


class PageLinkSettings(Settings):
    """Links to order pages."""

    order_link_secrets: Secrets = Field(
        description="the secrets that sign links to order pages, the current one first, separated by commas"
    )


class WorkerSettings(KafkaSettings, PostgresSettings, HttpSettings, StorageSettings, PageLinkSettings):
    """Settings of `python -m delivery`."""

    sealing_private_keys: SealingPrivateKeys = Field(
        description="the private keys that open sealed codes, as <key id>:<base64>, separated by commas"
    )
    public_url: BaseUrl = Field(description="the address at which buyers reach the order page")
    order_link_days: int = Field(90, ge=1, le=3650, description="how long a link to an order page works, in days")
    email_provider: Literal["resend", "smtp"] = Field("resend", description="resend or smtp: how mails are sent")
    smtp_url: Annotated[Secret, AfterValidator(_mail_server)] | None = Field(
        None, description="the mail server, for smtp: smtps://user:password@host:465 or smtp://… with STARTTLS"
    )
    resend_base_url: BaseUrl = Field("https://api.resend.com", description="the address of Resend's API")
    resend_api_key: Secret | None = Field(
        None, description="Resend's API key, for resend; one that may only send is enough"
    )
    emails_per_second: float = Field(
        2.0, gt=0, le=10_000, description="how many mails all workers together send in a second at most"
    )
    email_direct_link: bool = Field(
        True,
        description="true or false: whether mails link to the keys themselves, beside the order page",
    )
    keys_retention: Duration | None = Field(
        None,
        ge=timedelta(days=1),
        description="how long keys are kept in the storage, in seconds or as ISO 8601 (P365D); for ever if unset",
    )
    email_from: Annotated[str, AfterValidator(_sender)] = Field(
        description="the sender of mails, as a@b.c or Name <a@b.c>"
    )
    delivery_concurrency: int = Field(64, ge=1, le=1000, description="how many orders are delivered at the same time")

    @model_validator(mode="after")
    def _has_a_mail_provider(self) -> Self:
        if self.email_provider == "resend" and self.resend_api_key is None:
            raise ValueError("RESEND_API_KEY is missing: set it, or EMAIL_PROVIDER=smtp with SMTP_URL")
        if self.email_provider == "smtp" and self.smtp_url is None:
            raise ValueError("SMTP_URL is missing: EMAIL_PROVIDER=smtp needs it")
        return self


class OrderPageSettings(
    KafkaSettings, PostgresSettings, HttpSettings, ProxySettings, StorageSettings, PageLinkSettings
):
    """Settings of `python -m delivery.order_page`."""

    support_email: Annotated[str, AfterValidator(_address)] | None = Field(
        None, description="the address that buyers may write to; shown on the page"
    )
    reveals_per_minute: int = Field(10, ge=1, description="how often one order's keys may be revealed in a minute")
