"""Every setting of every service: what is missing or malformed ends the start-up with one sentence that names it.

The services' settings are found, not listed, so that a new setting has to say here how it can be malformed.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest

import admin_api.settings
import bitloot.topics
import delivery.settings
import fulfillment.kinguin.settings
import fulfillment.selling.settings
import fulfillment.settings
import ingress.payments.settings
import ingress.settings
from bitloot.settings import EXIT_BAD_SETTINGS, PostgresSettings, Settings
from embedded import environment as local

_ADDRESSES = local.Addresses(
    kafka="127.0.0.1:9092",
    postgres="postgresql://bitloot:hunter2@127.0.0.1:5432/bitloot",
    s3_endpoint="http://127.0.0.1:8333",
    s3_bucket="keys",
    s3_access_key="access",
    s3_secret_key="secret",
    ingress="http://127.0.0.1:8001",
    admin="http://127.0.0.1:8002",
    order_page="http://127.0.0.1:8003",
    sandbox="http://127.0.0.1:8004",
)

CLASSES: tuple[type[Settings], ...] = (
    admin_api.settings.ApiSettings,
    admin_api.settings.RebuildSettings,
    admin_api.settings.SinkSettings,
    bitloot.topics.Settings,
    delivery.settings.OrderPageSettings,
    delivery.settings.WorkerSettings,
    fulfillment.kinguin.settings.KinguinSettings,
    fulfillment.selling.settings.SellerSettings,
    fulfillment.settings.Settings,
    ingress.payments.settings.PaymentsSettings,
    ingress.settings.Settings,
    PostgresSettings,  # what the migrator reads
)

# What the form of a setting forbids. A setting that may be any text has only the form of all: one line.
BY_TYPE: dict[str, str] = dict.fromkeys(("int", "float", "Decimal", "timedelta", "bool"), "xyzzy")
BY_NAME: dict[str, str] = {
    "base_path": "shop/",
    "code_hash_keys": "k1:AAAA",
    "crash_points": "/there/is/no/such/directory",
    "database_url": "mysql://user:hunter2@host/name",
    "email_from": "nobody",
    "faust_datadir": __file__,
    "http_host": "not a host",
    "kafka_bootstrap_servers": "kafka:http",
    "kafka_ca_file": "/there/is/no/such/file",
    "kafka_sasl_mechanism": "GSSAPI",
    "kafka_security_protocol": "TLS",
    "kinguin_allowed_ips": "10.0.0.0/99",
    "trusted_proxies": "10.0.0.0/99",
    "kinguin_dialect": "soap",
    "kinguin_eur_rates": "USD:0.9",
    "kinguin_key_type": "audio",
    "log_level": "LOUD",
    "r2_bucket": "a bucket",
    "resend_webhook_secret": "re_123",
    "sealing_private_keys": "k1:AAAA",
    "sealing_public_key": "k1:AAAA",
    "service_instance": "xyzzy/1",
    "stock_hash_key": "xyzzy",
    "stock_sealing_private_keys": "k1:AAAA",
    "stock_sealing_public_key": "k1:AAAA",
    "support_email": "nobody",
}
ANY_TEXT = "a secret\nof two lines"


def _kinds(annotation: Any) -> Iterator[str]:
    """Yield the names of the plain types that an annotation is made of."""
    if get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from _kinds(each)
    else:
        yield getattr(annotation, "__name__", str(annotation))


def malformed(cls: type[Settings], name: str) -> str:
    if name in BY_NAME:
        return BY_NAME[name]
    if name.endswith(("_url", "_endpoint")):
        return "ftp://files.example"
    kinds = _kinds(cls.model_fields[name].annotation)
    return next((BY_TYPE[kind] for kind in kinds if kind in BY_TYPE), ANY_TEXT)


EVERY = [
    pytest.param(cls, name, id=f"{cls.__module__}.{cls.__name__}-{name}")
    for cls in CLASSES
    for name in cls.model_fields
]
NEEDED = [each for each in EVERY if each.values[0].model_fields[each.values[1]].is_required()]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in {name.upper() for cls in CLASSES for name in cls.model_fields}:
        monkeypatch.delenv(name, raising=False)
    for name, value in local.settings(_ADDRESSES, {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FAUST_DATADIR", str(tmp_path / "tables"))
    return monkeypatch


def complaints(cls: type[Settings], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as stop:
        cls.load()
    assert stop.value.code == EXIT_BAD_SETTINGS
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def _descendants(cls: type[Settings]) -> Iterator[type[Settings]]:
    for each in cls.__subclasses__():
        yield each
        yield from _descendants(each)


def test_no_services_settings_are_left_out():
    """A class that another one builds on is a part, not what a process reads."""
    services = {"admin_api", "delivery", "fulfillment", "ingress"}
    found = {each for each in _descendants(Settings) if each.__module__.split(".")[0] in services}
    parts = {parent for each in found for parent in each.__bases__}
    assert found - parts <= set(CLASSES)


@pytest.mark.parametrize("cls", CLASSES)
def test_what_the_local_stack_sets_is_enough(cls: type[Settings]):
    cls.load()


@pytest.mark.parametrize(("cls", "name"), EVERY)
def test_a_malformed_setting_is_one_sentence(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cls: type[Settings], name: str
):
    value = malformed(cls, name)
    environment.setenv(name.upper(), value)

    (complaint,) = complaints(cls, capsys)

    assert complaint.startswith(f"{name.upper()} cannot be used: ")
    assert f". Set it to {cls.model_fields[name].description}." in complaint
    assert value not in complaint


@pytest.mark.parametrize(("cls", "name"), EVERY)
def test_a_line_break_is_told_for_every_setting(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cls: type[Settings], name: str
):
    environment.setenv(name.upper(), f"{os.environ.get(name.upper(), 'x')}\nX-Injected: 1")

    (complaint,) = complaints(cls, capsys)

    assert complaint.startswith(f"{name.upper()} cannot be used: it has a line break")


@pytest.mark.parametrize(("cls", "name"), NEEDED)
def test_a_missing_setting_is_one_sentence(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cls: type[Settings], name: str
):
    environment.delenv(name.upper())

    assert complaints(cls, capsys) == [f"{name.upper()} is not set. Set it to {cls.model_fields[name].description}."]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka-1:9092, kafka-2:9092"),
        ("KAFKA_BOOTSTRAP_SERVERS", "[::1]:9092"),
        ("DATABASE_URL", "postgres:///bitloot?host=/run/postgresql"),
        ("DATABASE_URL", "postgresql://u:p%40ss@db.internal:5432/bitloot?sslmode=verify-full"),
        ("HTTP_HOST", "::"),
        ("SHOP_TOKEN", "of a file\n"),
    ],
)
def test_unusual_and_right(environment: pytest.MonkeyPatch, name: str, value: str):
    environment.setenv(name, value)
    ingress.settings.Settings.load()
