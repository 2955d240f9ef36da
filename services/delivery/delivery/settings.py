"""Settings of the delivery worker and of the order page."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from bitloot.sealing import SealingPrivateKeys
from bitloot.settings import BaseUrl, HttpSettings, KafkaSettings, PostgresSettings, Secret, Secrets, Settings
from delivery.r2 import MAX_LINK_AGE

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


class StorageSettings(Settings):
    """Where the keys are."""

    r2_endpoint_url: BaseUrl = Field(description="the S3 address of the storage, without the bucket")
    r2_bucket: str = Field(
        min_length=3, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="the bucket's name"
    )
    r2_access_key_id: str = Field(min_length=1, description="the access key's id")
    r2_secret_access_key: Secret = Field(description="the access key's secret")
    r2_link_seconds: int = Field(
        900, ge=1, le=int(MAX_LINK_AGE.total_seconds()), description="how long a signed link works, in seconds"
    )

    @property
    def link_age(self) -> timedelta:
        """How long a signed link works."""
        return timedelta(seconds=self.r2_link_seconds)


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
    resend_base_url: BaseUrl = Field("https://api.resend.com", description="the address of Resend's API")
    resend_api_key: Secret = Field(description="Resend's API key; one that may only send is enough")
    resend_per_second: float = Field(
        2.0, gt=0, description="how many mails are sent per second until Resend's answers tell the limit"
    )
    email_from: Annotated[str, AfterValidator(_sender)] = Field(
        description="the sender of mails, as a@b.c or Name <a@b.c>"
    )
    delivery_concurrency: int = Field(64, ge=1, le=1000, description="how many orders are delivered at the same time")


class OrderPageSettings(KafkaSettings, PostgresSettings, HttpSettings, StorageSettings, PageLinkSettings):
    """Settings of `python -m delivery.order_page`."""

    support_email: Annotated[str, AfterValidator(_address)] | None = Field(
        None, description="the address that buyers may write to; shown on the page"
    )
    reveals_per_minute: int = Field(10, ge=1, description="how often one order's keys may be revealed in a minute")
