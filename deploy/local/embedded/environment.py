"""The settings of one run: what the person gave, else the sandbox's addresses and secrets made for the occasion."""

import base64
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nacl.public import PrivateKey

from embedded.errors import EmbeddedError
from embedded.services import SANDBOX, Instance, tables_dir

Settings = dict[str, str]

# Ours to say: they name processes that we start. A DATABASE_URL left in somebody's shell must not get our
# tables.
_OURS: Final = frozenset(
    {
        "KAFKA_BOOTSTRAP_SERVERS",
        "DATABASE_URL",
        "INGRESS_URL",
        "HTTP_HOST",
        "HTTP_PORT",
        "FAUST_DATADIR",
        "SERVICE_INSTANCE",
    }
)
_R2: Final = ("R2_ENDPOINT_URL", "R2_BUCKET", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY")
_SEALING: Final = ("SEALING_PUBLIC_KEY", "SEALING_PRIVATE_KEYS")
_STOCK: Final = ("STOCK_SEALING_PUBLIC_KEY", "STOCK_SEALING_PRIVATE_KEYS")
_SELLER: Final = (
    "KINGUIN_SELLER_BASE_URL",
    "KINGUIN_ENVOY_BASE_URL",
    "KINGUIN_SELLER_AUTH_URL",
    "KINGUIN_SELLER_CLIENT_ID",
    "KINGUIN_SELLER_CLIENT_SECRET",
)
_LISTING: Final = ("NOWPAYMENTS_EMAIL", "NOWPAYMENTS_PASSWORD")
_OPTIONAL: Final = (
    "EMAILS_PER_SECOND",
    "EMAIL_DIRECT_LINK",
    "EMAIL_PROVIDER",
    "KEYS_RETENTION",
    "KINGUIN_ALLOWED_IPS",
    "TRUSTED_PROXIES",
    "KINGUIN_SELLER_WEBHOOK_URL",
    "LINK_LIFETIME",
    "PAYMENT_TOLERANCE",
    "SMTP_URL",
)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of the stack are; the URLs have no slash at the end."""

    kafka: str
    postgres: str
    s3_endpoint: str
    s3_bucket: str
    s3_access_key: str
    s3_secret_key: str
    ingress: str
    admin: str
    order_page: str
    sandbox: str


def settings(addresses: Addresses, given: Mapping[str, str]) -> Settings:
    """Return every setting of the system by name.

    `given` is the person's environment: a provider setting found there wins over the sandbox's. Raises
    EmbeddedError when it holds only some of settings that belong together.
    """
    _refuse_parts(given, _R2)
    _refuse_parts(given, _SEALING)
    _refuse_parts(given, _STOCK)
    _refuse_parts(given, _SELLER)
    _refuse_parts(given, _LISTING)
    ours = {**_addresses(addresses, given.get("KINGUIN_DIALECT", "reservations")), **_secrets()}
    ours |= _seller(addresses, ours | {name: given[name] for name in ours if given.get(name)})
    if given.get("KINGUIN_SELLER_BASE_URL"):
        del ours["KINGUIN_SELLER_WEBHOOK_URL"]  # a real account must not be told to send its news to this machine
    if given.get("RESEND_BASE_URL") or given.get("EMAIL_PROVIDER") == "smtp":
        del ours["EMAILS_PER_SECOND"]
    if given.get("NOWPAYMENTS_API_KEY"):
        for name in _LISTING:  # a real account has users of its own
            del ours[name]
    chosen = {name: given[name] for name in (*ours, *_LISTING, *_OPTIONAL) if given.get(name) and name not in _OURS}
    return ours | chosen


def current(value: str) -> str:
    """Return the first of several secrets: the one in use, before those that are only accepted still."""
    return value.split(",", 1)[0].strip()


def environment(everything: Settings, needs: Iterable[str], base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of one process: `base` without any setting of ours, and of those the ones it needs."""
    known = {*everything, *_LISTING, *_OPTIONAL, *_OURS}
    plain = {name: value for name, value in base.items() if name not in known}
    return plain | {name: everything[name] for name in needs if name in everything} | {"PYTHONUNBUFFERED": "1"}


def environment_of(instance: Instance, everything: Settings, data_dir: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a service's process, given all settings of the run."""
    own = {"HTTP_HOST": "127.0.0.1", "HTTP_PORT": str(instance.port), "SERVICE_INSTANCE": instance.name}
    if "FAUST_DATADIR" in instance.service.needs:
        own["FAUST_DATADIR"] = str(tables_dir(data_dir, instance))
    if instance.service is SANDBOX:  # a provider signs with one secret, however many we still accept
        everything = {name: current(value) for name, value in everything.items()}
    return environment(everything | own, instance.service.needs | own.keys(), base)


def _addresses(addresses: Addresses, dialect: str) -> Settings:
    sandbox = addresses.sandbox
    return {
        "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka,
        "DATABASE_URL": addresses.postgres,
        "R2_ENDPOINT_URL": addresses.s3_endpoint,
        "R2_BUCKET": addresses.s3_bucket,
        "R2_ACCESS_KEY_ID": addresses.s3_access_key,
        "R2_SECRET_ACCESS_KEY": addresses.s3_secret_key,
        "INGRESS_URL": addresses.ingress,
        "INGRESS_PUBLIC_URL": addresses.ingress,
        "PUBLIC_URL": addresses.order_page,
        "KINGUIN_DIALECT": dialect,
        "KINGUIN_BASE_URL": f"{sandbox}/kinguin-esa" if dialect == "esa" else f"{sandbox}/kinguin",
        "KINGUIN_AUTH_URL": f"{sandbox}/kinguin-id/auth/token",
        "NOWPAYMENTS_BASE_URL": f"{sandbox}/nowpayments",
        "PAYMENT_POLL_AFTER": "5",  # people try things out here
        "RESEND_BASE_URL": f"{sandbox}/resend",
        "EMAIL_FROM": "BitLoot <orders@bitloot.test>",
        "EMAILS_PER_SECOND": "1000",  # the sandbox's account takes more; a real one is asked as slowly as it wants
    }


def _seller(addresses: Addresses, chosen: Settings) -> Settings:
    """Return the settings of the seller's side: the sandbox has one account and one secret for both sides."""
    seller = f"{addresses.sandbox}/kinguin-seller"
    return {
        "KINGUIN_SELLER_BASE_URL": f"{seller}/sales-manager-api/api/v1",
        "KINGUIN_ENVOY_BASE_URL": f"{seller}/envoy2/api/v1",
        "KINGUIN_SELLER_AUTH_URL": f"{addresses.sandbox}/kinguin-id/auth/token",
        "KINGUIN_SELLER_CLIENT_ID": current(chosen["KINGUIN_CLIENT_ID"]),
        "KINGUIN_SELLER_CLIENT_SECRET": current(chosen["KINGUIN_CLIENT_SECRET"]),
        "KINGUIN_SELLER_WEBHOOK_URL": f"{addresses.ingress}/webhooks/kinguin-seller",
        "OFFERS_SECONDS": "5",  # people try things out here
    }


def _key_pair() -> tuple[str, str]:
    """Make a public and a private key as settings."""
    key, key_id = PrivateKey.generate(), f"run-{secrets.token_hex(4)}"
    public, private = (base64.b64encode(bytes(half)).decode() for half in (key.public_key, key))
    return f"{key_id}:{public}", f"{key_id}:{private}"


def _secrets() -> Settings:
    """Make secrets that live as long as the run."""
    (sealing_public, sealing_private), (stock_public, stock_private) = _key_pair(), _key_pair()
    return {
        "SHOP_TOKEN": secrets.token_hex(24),
        "ADMIN_TOKEN": secrets.token_hex(24),
        "ORDER_LINK_SECRETS": secrets.token_hex(32),
        "KINGUIN_CLIENT_ID": f"client-{secrets.token_hex(8)}",
        "KINGUIN_CLIENT_SECRET": secrets.token_hex(24),
        "KINGUIN_API_KEY": secrets.token_hex(16),
        "KINGUIN_WEBHOOK_SECRET": secrets.token_hex(24),
        "NOWPAYMENTS_API_KEY": secrets.token_hex(16),
        "NOWPAYMENTS_EMAIL": "owner@bitloot.test",
        "NOWPAYMENTS_PASSWORD": secrets.token_hex(16),
        "NOWPAYMENTS_IPN_SECRET": secrets.token_hex(24),
        "RESEND_API_KEY": f"re_{secrets.token_hex(16)}",
        # The form that Svix gives out: the secret is what the base64 stands for.
        "RESEND_WEBHOOK_SECRET": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "SEALING_PUBLIC_KEY": sealing_public,
        "SEALING_PRIVATE_KEYS": sealing_private,
        "STOCK_SEALING_PUBLIC_KEY": stock_public,
        "STOCK_SEALING_PRIVATE_KEYS": stock_private,
        "STOCK_HASH_KEY": secrets.token_hex(32),
        "CODE_HASH_KEYS": f"run-{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "KINGUIN_SELLER_WEBHOOK_SECRET": secrets.token_hex(24),
    }


def _refuse_parts(given: Mapping[str, str], group: tuple[str, ...]) -> None:
    missing = [name for name in group if not given.get(name)]
    if missing and len(missing) < len(group):
        raise EmbeddedError(f"{', '.join(group)} belong together; the environment lacks {', '.join(missing)}.")
