"""`bitloot doctor`: every setting and everything that the settings point to, each with one plain sentence."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import asyncpg
import httpx
from aiokafka.errors import KafkaError
from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.text import Text

from admin_api.migrations import available
from admin_api.settings import ApiSettings, SinkSettings
from bitloot.cluster import layout_complaint, look_at
from bitloot.contracts.topics import TOPICS
from bitloot.http_client import open_client
from bitloot.settings import Settings
from bitloot.signing import nowpayments_sign, nowpayments_verify

_SECONDS = 5.0
_REACHED = (
    ("Kinguin", "KINGUIN_BASE_URL"),
    ("Kinguin's sign-in", "KINGUIN_AUTH_URL"),
    ("NOWPayments", "NOWPAYMENTS_BASE_URL"),
    ("Resend", "RESEND_BASE_URL"),
    ("the storage of keys", "R2_ENDPOINT_URL"),
)


class Grade(StrEnum):
    """How something is."""

    OK = "ok"
    SKIPPED = "skipped"  # it cannot be judged from here
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at one thing has shown."""

    about: str
    grade: Grade
    sentence: str


async def run(environ: Mapping[str, str] = os.environ) -> int:
    """Look at everything, tell it, and return 0 when nothing is wrong, else 1."""
    found = await examine(environ)
    console = Console(file=sys.stdout)
    marks = {Grade.OK: "green", Grade.SKIPPED: "yellow", Grade.WRONG: "red"}
    for each in found:
        line = Text.assemble((f"{each.grade:<8}", marks[each.grade]), f"{each.about}: {each.sentence}")
        console.print(line, soft_wrap=True)
    return int(any(each.grade is Grade.WRONG for each in found))


async def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Return all findings, settings first."""
    found = [*_settings("sink", SinkSettings), *_settings("admin-api", ApiSettings), _payments_secret(environ)]
    looks: Sequence[tuple[str, Callable[[], Awaitable[str]], bool]] = (
        ("PostgreSQL", lambda: _postgres(environ["DATABASE_URL"]), "DATABASE_URL" in environ),
        ("Kafka", _kafka, "KAFKA_BOOTSTRAP_SERVERS" in environ),
        (
            "the admin API",
            lambda: _reach(f"{environ['BITLOOT_ADMIN_URL'].rstrip('/')}/readyz", strict=True),
            bool(environ.get("BITLOOT_ADMIN_URL")),
        ),
        (
            "the identity provider",
            lambda: _reach(f"{environ['OIDC_ISSUER'].rstrip('/')}/.well-known/openid-configuration", strict=True),
            bool(environ.get("OIDC_ISSUER")),
        ),
        *((name, lambda url=url: _reach(environ[url]), bool(environ.get(url))) for name, url in _REACHED),
    )
    found += await asyncio.gather(*(_look(*each) for each in looks))
    return found


def _settings(process: str, kind: type[Settings]) -> list[Finding]:
    about = f"settings of {process}"
    try:
        kind()
    except ValidationError as error:
        return [
            Finding(about, Grade.WRONG, f"{_name(each['loc'])} {each['msg'].removeprefix('Value error, ')}")
            for each in error.errors(include_input=False, include_context=False)
        ]
    return [Finding(about, Grade.OK, "all are there and well formed.")]


def _name(loc: tuple[int | str, ...]) -> str:
    return f"{str(loc[0]).upper()}:" if loc else "They contradict each other:"


def _payments_secret(environ: Mapping[str, str]) -> Finding:
    """Sign a sample as NOWPayments does and check it as the ingress does: a secret that is unusable shows here."""
    about = "the secret of NOWPayments"
    secrets = [SecretStr(each) for each in environ.get("NOWPAYMENTS_IPN_SECRET", "").split(",") if each.strip()]
    if not secrets:
        return Finding(about, Grade.SKIPPED, "NOWPAYMENTS_IPN_SECRET is not set here.")
    sample = b'{"payment_id":1,"payment_status":"finished"}'
    good = all(nowpayments_verify(sample, nowpayments_sign(sample, each), secrets).accepted for each in secrets)
    return Finding(about, Grade.OK if good else Grade.WRONG, "signs and verifies a sample." if good else "is unusable.")


async def _look(about: str, look: Callable[[], Awaitable[str]], given: bool) -> Finding:  # noqa: FBT001 - see above
    if not given:
        return Finding(about, Grade.SKIPPED, "its address is not set here.")
    try:
        async with asyncio.timeout(_SECONDS):
            complaint = await look()
    except TimeoutError:
        complaint = f"It does not answer within {_SECONDS:g} s."
    except (OSError, KafkaError, httpx.HTTPError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        complaint = f"It cannot be reached: {type(error).__name__}."
    except (httpx.InvalidURL, ValueError):
        complaint = "Its address is malformed."
    return Finding(about, Grade.WRONG, complaint) if complaint else Finding(about, Grade.OK, "answers.")


async def _postgres(dsn: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        if await connection.fetchval("select to_regclass('schema_migrations')") is None:
            return "It has never been migrated: run `bitloot migrate`."
        applied = {row["version"] for row in await connection.fetch("select version from schema_migrations")}
    finally:
        await connection.close()
    missing = [each.name for each in available() if each.version not in applied]
    return f"It lacks {', '.join(missing)}: run `bitloot migrate`." if missing else ""


async def _kafka() -> str:
    names = [topic.name for topic in TOPICS]
    return layout_complaint(await look_at(SinkSettings(), names), names) or ""


async def _reach(url: str, *, strict: bool = False) -> str:
    async with open_client(at_once=1, timeout=_SECONDS) as client:  # as the services themselves reach it
        answer = await client.get(url)
    return f"It answers {answer.status_code}." if answer.status_code >= (400 if strict else 500) else ""
