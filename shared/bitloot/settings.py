"""Settings: one frozen class per service, read from the environment once, in `__main__`, and passed down.

A service combines the parts it needs and adds its own fields; a field's description says what to set it to::

    class Settings(KafkaSettings, HttpSettings):
        shop_token: Secrets = Field(description="the shop's bearer token, the current one first")

    settings = Settings.load()

A missing or malformed setting ends the start-up with one sentence per setting. Values are never echoed.
"""

import os
import re
import socket
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from bitloot.crash_points import watched

EXIT_BAD_SETTINGS = 2  # the same as a bad command line

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_INSTANCE = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9.:%_-]{1,253}", re.ASCII)
_BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", re.ASCII)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*", re.ASCII)
_MAX_PORT = 65535


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
    return value


def _not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("it names nothing")
    return values


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _filled(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise ValueError("it is empty")
    return value


def _base_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # of the port, or of a bracket; its text quotes the address
        whole = False
    if not whole or any(each.isspace() for each in value):
        raise ValueError("it is not an http or https address")
    if parts.query or parts.fragment:
        raise ValueError("it has a query or a fragment")
    return value.rstrip("/")


def _brokers(value: str) -> str:
    forms = [_BROKER.fullmatch(each.strip()) for each in value.split(",")]
    if not all(form and 0 < int(form[1]) <= _MAX_PORT for form in forms):
        raise ValueError("it is not written as host:port, or several of these with commas between")
    return value


def _database_address(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        whole = parts.scheme in {"postgresql", "postgres"} and (parts.port or parts.hostname or parts.query)
    except ValueError:  # of the port, or of a bracket; its text quotes the address
        whole = False
    if not whole:
        raise ValueError("it is not an address of PostgreSQL")
    return value


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("it is neither a name nor an address of this machine")
    return value


def _path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError("it is not written as /path, without a slash at its end")
    return value


def _instance(value: str) -> str:
    if not _INSTANCE.fullmatch(value):
        raise ValueError("it has other characters than letters, digits, dots, dashes and underscores, or is too long")
    return value


def _readable(value: Path) -> Path:
    if not value.is_file() or not os.access(value, os.R_OK):
        raise ValueError("it is not a file that this process may read")
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Secret = Annotated[SecretStr, BeforeValidator(_strip), AfterValidator(_filled)]
"""One secret, surrounding white space removed, never empty."""

Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split), AfterValidator(_not_empty)]
"""Comma-separated secrets, the current one first, then those still accepted; never empty."""

Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Comma-separated words; may be empty."""

BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""An http or https address without its trailing slash, so that paths are appended with one."""

DatabaseUrl = Annotated[Secret, AfterValidator(_database_address)]
"""The address of a PostgreSQL database, with its password."""

LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]


class Settings(BaseSettings):
    """What every process has: frozen, read from the environment only, unknown variables ignored."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,  # `NAME=` means "not set": an empty secret must never be accepted
        str_strip_whitespace=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    service_instance: Annotated[str, AfterValidator(_instance)] = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="a name for this process that no other running process has",
    )
    log_level: LogLevel = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    otel_exporter_otlp_endpoint: BaseUrl | None = Field(
        None, description="the address of an OpenTelemetry collector that takes OTLP over HTTP, or nothing"
    )
    crash_points: Annotated[Path, AfterValidator(watched)] | None = Field(
        None, description="for tests only: a directory that tells where to die, see bitloot.crash_points"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_one_line(cls, value: object) -> object:
        """Refuse what no setting can hold: a line break in a secret would end in a header, or in a log line."""
        if isinstance(value, str) and _CONTROL.search(value.strip()):
            raise ValueError("it has a line break or another control character in it")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments (for tests), then the environment; no files."""
        return init_settings, env_settings

    @classmethod
    def load(cls) -> Self:
        """Read the environment; print one sentence for each bad setting to stderr and exit with status 2."""
        try:
            return cls()
        except ValidationError as error:
            complaints = [_complaint(cls, details) for details in error.errors()]
        except SettingsError:
            # Raised when a variable is not the JSON that a complex field wants. Our list types never do that.
            complaints = [f"A setting of {cls.__name__} is not valid JSON."]
        return _refuse(complaints)


class KafkaSettings(Settings):
    """For processes that talk to Kafka."""

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_brokers)] = Field(
        description="host:port of one or more brokers, separated by commas"
    )
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)
    ] = Field("PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, as the brokers' listener has it")
    kafka_sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)] = (
        Field("SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, with SASL only")
    )
    kafka_username: str | None = Field(None, description="this service's user at the brokers, with SASL only")
    kafka_password: Secret | None = Field(None, description="the password of KAFKA_USERNAME, with SASL only")
    kafka_ca_file: Annotated[Path, AfterValidator(_readable)] | None = Field(
        None, description="a PEM file with the authority of the brokers' certificates; without it the system's are used"
    )

    @model_validator(mode="after")
    def _whole_credentials(self) -> Self:
        """With SASL there are a user and a password, and without it a password would go nowhere in silence."""
        sasl = self.kafka_security_protocol.startswith("SASL")
        given = [value for value in (self.kafka_username, self.kafka_password) if value]
        if sasl and len(given) < 2:
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs KAFKA_USERNAME and KAFKA_PASSWORD"
            )
        if given and not sasl:
            raise ValueError("KAFKA_USERNAME and KAFKA_PASSWORD need KAFKA_SECURITY_PROTOCOL=SASL_SSL")
        if self.kafka_ca_file and not self.kafka_security_protocol.endswith("SSL"):
            raise ValueError("KAFKA_CA_FILE needs KAFKA_SECURITY_PROTOCOL=SASL_SSL or SSL")
        return self


class PostgresSettings(Settings):
    """For processes that talk to PostgreSQL."""

    database_url: DatabaseUrl = Field(
        description="the database's address, as postgresql://user:password@host:port/name"
    )


class HttpSettings(Settings):
    """For processes that answer HTTP, if only health and metrics."""

    http_host: Annotated[str, AfterValidator(_host)] = Field("127.0.0.1", description="the address to listen on")
    http_port: int = Field(8080, ge=0, le=65535, description="the port to listen on, or 0 for any free one")
    probe_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="a port for /healthz, /readyz and /metrics alone, or nothing to have them at HTTP_PORT",
    )

    base_path: Annotated[str, AfterValidator(_path)] = Field(
        "",
        description="the path below which everything but /healthz, /readyz and /metrics is served, as /shop, "
        "where the proxy in front does not take it away",
    )

    @property
    def health_port(self) -> int:
        """Where a process without HTTP of its own serves health and metrics."""
        return self.http_port if self.probe_port is None else self.probe_port


def _complaint(cls: type[Settings], details: ErrorDetails) -> str:
    field = str(details["loc"][0]) if details["loc"] else ""
    if field not in cls.model_fields:
        return f"The settings contradict each other: {details['msg'].removeprefix('Value error, ')}."
    name = field.upper()
    description = cls.model_fields[field].description
    fix = f" Set it to {description}." if description else ""
    if details["type"] == "missing":
        return f"{name} is not set.{fix}"
    return f"{name} cannot be used: {_reason(details, os.environ.get(name, ''))}.{fix}"


def _reason(details: ErrorDetails, value: str) -> str:
    reason = details["msg"].removeprefix("Value error, ").rstrip(".")
    # Some validators quote what they were given.
    quotes = any(part in reason for part in (value, *value.split(",")) if part.strip())
    return "its value is malformed" if quotes else reason[:1].lower() + reason[1:]


def _refuse(complaints: list[str]) -> NoReturn:
    for complaint in complaints:
        sys.stderr.write(f"{complaint}\n")
    raise SystemExit(EXIT_BAD_SETTINGS)
