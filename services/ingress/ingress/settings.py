"""What the ingress is told by its environment."""

from datetime import timedelta

from pydantic import Field

from bitloot.code_hashes import CodeHashSettings
from bitloot.proxies import Networks, NetworkWords, ProxySettings, parsed
from bitloot.sealing import SealingPublicKey
from bitloot.settings import BaseUrl, HttpSettings, KafkaSettings, PostgresSettings, Secret, Secrets
from bitloot.settings import Settings as CommonSettings
from bitloot.signing import SvixSecrets
from ingress.addresses import Addresses


class BillingSettings(CommonSettings):
    """How NOWPayments is asked for invoices and payments, and where it sends buyers and notifications."""

    public_url: BaseUrl = Field(description="the address under which buyers reach the order page")
    ingress_public_url: BaseUrl = Field(description="the address under which providers reach this service")
    order_link_secrets: Secrets = Field(
        description="the secret that signs order page links; a comma and previous ones may follow"
    )
    order_link_days: int = Field(90, ge=1, le=3650, description="how many days the link to an order's page works")
    nowpayments_base_url: BaseUrl = Field(
        "https://api.nowpayments.io/v1", description="the address of NOWPayments' API, with its version"
    )
    nowpayments_api_key: Secret = Field(description="the API key of the NOWPayments account")
    nowpayments_seconds: float = Field(
        5.0, gt=0, le=60, description="how many seconds a call to NOWPayments may take at most"
    )

    @property
    def addresses(self) -> Addresses:
        """Return where buyers and the provider reach us."""
        return Addresses(
            public_url=self.public_url,
            notify_url=f"{self.ingress_public_url}/webhooks/nowpayments",
            link_secrets=self.order_link_secrets,
            link_lifetime=timedelta(days=self.order_link_days),
        )


class Settings(KafkaSettings, PostgresSettings, HttpSettings, ProxySettings, BillingSettings, CodeHashSettings):
    """One class for the process; see `bitloot.settings`."""

    shop_token: Secrets = Field(description="the shop's bearer token; a comma and the previous one may follow")
    sealing_public_key: SealingPublicKey = Field(
        description="the key that codes are sealed with, as <key id>:<base64>; see `python -m bitloot.sealing`"
    )

    nowpayments_ipn_secret: Secrets = Field(
        description="the IPN secret of the NOWPayments account; a comma and the previous one may follow"
    )
    kinguin_webhook_secret: Secrets = Field(
        description="the secret that Kinguin sends along; a comma and the previous one may follow"
    )
    kinguin_allowed_ips: NetworkWords = Field(
        (), description="the addresses or networks that may send Kinguin's notifications, or nothing for all"
    )
    kinguin_seller_webhook_secret: Secrets | None = Field(
        None,
        description="the secret that Kinguin sends along with news of our sales, or nothing where nothing is sold; "
        "a comma and the previous one may follow",
    )
    resend_webhook_secret: SvixSecrets = Field(
        description="the whsec_ secret of the Resend endpoint; a comma and the previous one may follow"
    )

    order_max_items: int = Field(10, ge=1, le=100, description="how many lines an order may have")
    order_max_quantity: int = Field(1000, ge=1, le=1000, description="how many keys one line may ask for")
    publish_seconds: float = Field(
        5.0, gt=0, le=60, description="how many seconds Kafka may take to acknowledge before we answer 503"
    )
    order_index_seconds: float = Field(
        1.0, gt=0, le=30, description="how many seconds Postgres may take to tell what it knows of an order"
    )

    @property
    def kinguin_networks(self) -> Networks:
        """Return the allow list, parsed."""
        return parsed(self.kinguin_allowed_ips)
