from typing import Literal

import pytest
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from bitloot.settings import BaseUrl, HttpSettings, KafkaSettings, PostgresSettings, Secrets, Settings, Words

NAMES = (
    "KAFKA_BOOTSTRAP_SERVERS",
    "DATABASE_URL",
    "HTTP_HOST",
    "HTTP_PORT",
    "SERVICE_INSTANCE",
    "LOG_LEVEL",
    "SHOP_TOKEN",
    "ALLOWED",
    "PUBLIC_URL",
    "DIALECT",
)


class Example(KafkaSettings, PostgresSettings, HttpSettings):
    shop_token: Secrets = Field(description="the shop's bearer token")
    allowed: Words = Field((), description="addresses")
    public_url: BaseUrl = Field("http://127.0.0.1:1", description="where buyers find us")
    dialect: Literal["esa", "reservations"] = "esa"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@127.0.0.1/db")
    monkeypatch.setenv("SHOP_TOKEN", "current-token, previous-token,")
    return monkeypatch


def complaints(capsys: pytest.CaptureFixture[str], cls: type[Settings] = Example) -> list[str]:
    with pytest.raises(SystemExit) as stop:
        cls.load()
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.splitlines()


def test_reads_the_environment(environment: pytest.MonkeyPatch):
    environment.setenv("ALLOWED", "10.0.0.1,10.0.0.2")
    environment.setenv("PUBLIC_URL", "https://keys.example.test/")
    environment.setenv("LOG_LEVEL", "warning")
    environment.setenv("SOMETHING_ELSE", "ignored")

    settings = Example.load()

    assert [secret.get_secret_value() for secret in settings.shop_token] == [
        "current-token",
        "previous-token",
    ]
    assert settings.database_url.get_secret_value() == "postgresql://u:hunter2@127.0.0.1/db"
    assert settings.allowed == ("10.0.0.1", "10.0.0.2")
    assert settings.public_url == "https://keys.example.test"
    assert (settings.http_host, settings.http_port, settings.log_level) == ("127.0.0.1", 8080, "WARNING")


def test_instance_name_has_a_default_and_can_be_set(environment: pytest.MonkeyPatch):
    assert Example.load().service_instance
    environment.setenv("SERVICE_INSTANCE", "kinguin-2")
    assert Example.load().service_instance == "kinguin-2"


def test_settings_are_frozen():
    settings = Example.load()

    with pytest.raises(ValidationError):
        settings.http_port = 1  # type: ignore[misc]


def test_secrets_do_not_show():
    assert "hunter2" not in repr(Example.load())
    assert "current-token" not in repr(Example.load())


def test_one_sentence_names_each_missing_setting_and_its_fix(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    environment.delenv("KAFKA_BOOTSTRAP_SERVERS")
    environment.delenv("SHOP_TOKEN")

    assert complaints(capsys) == [
        "KAFKA_BOOTSTRAP_SERVERS is not set. Set it to host:port of one or more brokers, separated by commas.",
        "SHOP_TOKEN is not set. Set it to the shop's bearer token.",
    ]


def test_empty_counts_as_missing(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    environment.setenv("SHOP_TOKEN", "")

    assert complaints(capsys) == ["SHOP_TOKEN is not set. Set it to the shop's bearer token."]


def test_blank_secrets_are_refused(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    environment.setenv("SHOP_TOKEN", " , ,")
    environment.setenv("DATABASE_URL", "   ")

    assert complaints(capsys) == [
        "DATABASE_URL cannot be used: it is empty. Set it to the database's address, as postgresql://user:password@host:port/name.",
        "SHOP_TOKEN cannot be used: it names nothing. Set it to the shop's bearer token.",
    ]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HTTP_PORT", "eighty", "HTTP_PORT cannot be used: input should be a valid integer"),
        ("HTTP_PORT", "65536", "HTTP_PORT cannot be used:"),
        (
            "LOG_LEVEL",
            "LOUD",
            "LOG_LEVEL cannot be used: input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
        ),
        ("PUBLIC_URL", "ftp://x", "PUBLIC_URL cannot be used: it is not an http or https address"),
        ("PUBLIC_URL", "http://x/?a=1", "PUBLIC_URL cannot be used: it has a query or a fragment"),
        ("PUBLIC_URL", "http:///path", "PUBLIC_URL cannot be used: it is not an http or https address"),
        ("DIALECT", "soap", "DIALECT cannot be used: input should be 'esa' or 'reservations'."),
    ],
)
def test_malformed_settings_are_named(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, words: str
):
    environment.setenv(name, value)

    (complaint,) = complaints(capsys)
    assert complaint.startswith(words)
    assert value not in complaint


def test_a_validator_that_quotes_its_input_is_not_repeated(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    class Quoting(Settings):
        shop_token: SecretStr = Field(description="a token")

        @field_validator("shop_token")
        @classmethod
        def _check(cls, value: SecretStr) -> SecretStr:
            raise ValueError(f"I do not like {value.get_secret_value()}")

    environment.setenv("SHOP_TOKEN", "hunter2-token")

    assert complaints(capsys, Quoting) == ["SHOP_TOKEN cannot be used: its value is malformed. Set it to a token."]


def test_settings_that_contradict_each_other_are_a_sentence_too(capsys: pytest.CaptureFixture[str]):
    class Contradicting(Settings):
        @model_validator(mode="after")
        def _check(self) -> "Contradicting":
            raise ValueError("esa needs an api key")

    assert complaints(capsys, Contradicting) == ["The settings contradict each other: esa needs an api key."]
