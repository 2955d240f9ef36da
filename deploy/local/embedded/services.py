"""Which processes make the system, what each of them may know, and how many of each run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from embedded.errors import EmbeddedError
from embedded.ports import free_ports


class Stage(IntEnum):
    """When a service stops: the highest first. They start together, for none needs another to start."""

    OUTSIDE = 0
    """The providers' simulators: a worker's last call still finds them."""
    WORKERS = 1
    """What moves orders on."""
    DOORS = 2
    """What lets requests in."""


@dataclass(frozen=True, slots=True)
class Service:
    """One kind of process: `python -m module`, set up by environment variables alone."""

    name: str
    module: str
    stage: Stage
    needs: frozenset[str]
    """Names of the settings that it gets, beside those that all get.

    Nobody gets a secret it has no use for.
    """
    scales: bool = False
    """Whether several may run. The doors have one address each."""


_KAFKA = ("KAFKA_BOOTSTRAP_SERVERS",)
_POSTGRES = ("DATABASE_URL",)
_R2 = ("R2_ENDPOINT_URL", "R2_BUCKET", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY")
_LINKS = ("PUBLIC_URL", "ORDER_LINK_SECRETS")
_KINGUIN = ("KINGUIN_CLIENT_ID", "KINGUIN_CLIENT_SECRET", "KINGUIN_API_KEY")

_NOWPAYMENTS = ("INGRESS_PUBLIC_URL", "NOWPAYMENTS_API_KEY", "NOWPAYMENTS_BASE_URL")
_STOCK_KEYS = ("STOCK_SEALING_PUBLIC_KEY", "STOCK_HASH_KEY")
_CODE_HASHES = ("CODE_HASH_KEYS",)

SANDBOX = Service(
    "sandbox",
    "sandbox",
    Stage.OUTSIDE,
    frozenset(
        {
            *_KINGUIN,
            "INGRESS_URL",
            "KINGUIN_WEBHOOK_SECRET",
            "NOWPAYMENTS_API_KEY",
            "NOWPAYMENTS_IPN_SECRET",
            "RESEND_API_KEY",
            "RESEND_WEBHOOK_SECRET",
        }
    ),
)

SERVICES = (
    Service("sink", "admin_api.sink", Stage.WORKERS, frozenset({*_KAFKA, *_POSTGRES}), scales=True),
    Service(
        "fulfillment",
        "fulfillment",
        Stage.WORKERS,
        frozenset({*_KAFKA, "FAUST_DATADIR", "KINGUIN_DIALECT", "PAYMENT_POLL_AFTER", "PAYMENT_TOLERANCE"}),
        scales=True,
    ),
    Service(
        "kinguin",
        "fulfillment.kinguin",
        Stage.WORKERS,
        frozenset(
            {
                *_KAFKA,
                *_POSTGRES,
                *_KINGUIN,
                *_CODE_HASHES,
                "KINGUIN_DIALECT",
                "KINGUIN_BASE_URL",
                "KINGUIN_AUTH_URL",
                "SEALING_PUBLIC_KEY",
            }
        ),
        scales=True,
    ),
    Service(
        "payments",
        "ingress.payments",
        Stage.WORKERS,
        frozenset({*_KAFKA, *_POSTGRES, *_LINKS, *_NOWPAYMENTS, "NOWPAYMENTS_EMAIL", "NOWPAYMENTS_PASSWORD"}),
        scales=True,
    ),
    Service(
        "delivery",
        "delivery",
        Stage.WORKERS,
        frozenset(
            {
                *_KAFKA,
                *_POSTGRES,
                *_R2,
                *_LINKS,
                "EMAILS_PER_SECOND",
                "EMAIL_DIRECT_LINK",
                "EMAIL_FROM",
                "EMAIL_PROVIDER",
                "KEYS_RETENTION",
                "LINK_LIFETIME",
                "SMTP_URL",
                "RESEND_API_KEY",
                "RESEND_BASE_URL",
                "SEALING_PRIVATE_KEYS",
            }
        ),
        scales=True,
    ),
    Service(
        "seller",
        "fulfillment.selling",
        Stage.WORKERS,
        frozenset(
            {
                *_KAFKA,
                *_POSTGRES,
                "KINGUIN_ENVOY_BASE_URL",
                "KINGUIN_SELLER_AUTH_URL",
                "KINGUIN_SELLER_BASE_URL",
                "KINGUIN_SELLER_CLIENT_ID",
                "KINGUIN_SELLER_CLIENT_SECRET",
                "KINGUIN_SELLER_WEBHOOK_SECRET",
                "KINGUIN_SELLER_WEBHOOK_URL",
                "OFFERS_SECONDS",
                "STOCK_SEALING_PRIVATE_KEYS",
            }
        ),
        scales=True,
    ),
    Service(
        "admin-api",
        "admin_api",
        Stage.DOORS,
        frozenset({*_KAFKA, *_POSTGRES, *_STOCK_KEYS, *_CODE_HASHES, "ADMIN_TOKEN", "TRUSTED_PROXIES"}),
    ),
    Service(
        "order-page",
        "delivery.order_page",
        Stage.DOORS,
        frozenset({*_KAFKA, *_POSTGRES, *_R2, "LINK_LIFETIME", "ORDER_LINK_SECRETS", "TRUSTED_PROXIES"}),
    ),
    Service(
        "ingress",
        "ingress",
        Stage.DOORS,
        frozenset(
            {
                *_KAFKA,
                *_POSTGRES,
                *_LINKS,
                *_NOWPAYMENTS,
                *_CODE_HASHES,
                "KINGUIN_ALLOWED_IPS",
                "TRUSTED_PROXIES",
                "KINGUIN_SELLER_WEBHOOK_SECRET",
                "KINGUIN_WEBHOOK_SECRET",
                "NOWPAYMENTS_IPN_SECRET",
                "RESEND_WEBHOOK_SECRET",
                "SEALING_PUBLIC_KEY",
                "SHOP_TOKEN",
            }
        ),
    ),
)
"""All but the sandbox."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of a service, with the port of its HTTP server."""

    service: Service
    number: int
    port: int

    @property
    def name(self) -> str:
        """The service's name and a number from 1: `kinguin-2`."""
        return f"{self.service.name}-{self.number}"

    @property
    def url(self) -> str:
        """Address of its HTTP server, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Command:
    """Something to run once before any service starts, as `python -m module`."""

    name: str
    module: str
    needs: frozenset[str]


TOPICS = Command("topics", "bitloot.topics", frozenset(_KAFKA))
MIGRATIONS = Command("migrations", "admin_api.migrate", frozenset(_POSTGRES))


def parse_workers(text: str) -> dict[str, int]:
    """Read `fulfillment=2,kinguin=3` into counts by service. Raises EmbeddedError naming what is wrong."""
    scalable = {service.name for service in SERVICES if service.scales}
    counts: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, count = part.partition("=")
        if name not in scalable:
            raise EmbeddedError(f"WORKERS: {name!r} is none of {', '.join(sorted(scalable))}.")
        if not count.isdecimal() or not 1 <= int(count) <= 16:
            raise EmbeddedError(f"WORKERS: {part!r} should say how many, from 1 to 16, as in {name}=2.")
        counts[name] = int(count)
    return counts


def instances(
    workers: Mapping[str, int], ports_of: Callable[[int], tuple[int, ...]] = free_ports
) -> tuple[Instance, ...]:
    """Lay out all processes, the sandbox first, with a port for each: `ports_of` returns as many as it is told."""
    wanted = [
        (service, number) for service in (SANDBOX, *SERVICES) for number in range(1, workers.get(service.name, 1) + 1)
    ]
    ports = ports_of(len(wanted))
    return tuple(Instance(*one, port) for one, port in zip(wanted, ports, strict=True))


def first(all_instances: Sequence[Instance], name: str) -> Instance:
    """Return the first instance of the service called `name`."""
    return next(instance for instance in all_instances if instance.service.name == name)


def tables_dir(data_dir: Path, instance: Instance) -> Path:
    """Where an instance keeps its tables: a RocksDB belongs to one process."""
    return data_dir / "tables" / instance.name
