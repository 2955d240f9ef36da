"""The settings of TLS and credentials at the brokers, and what clients make of them."""

import ssl
from pathlib import Path

import pytest
import trustme

from bitloot.broker import options
from bitloot.settings import KafkaSettings

PLACE = {"kafka_bootstrap_servers": "kafka:9093"}
SASL = PLACE | {"kafka_security_protocol": "sasl_ssl", "kafka_username": "sink", "kafka_password": "hunter2"}


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def test_without_a_word_nothing_is_encrypted():
    assert options(KafkaSettings.model_validate(PLACE)) == {
        "bootstrap_servers": "kafka:9093",
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }


def test_with_tls_the_brokers_certificate_and_name_are_checked(ca_file: Path):
    given = options(KafkaSettings.model_validate(SASL | {"kafka_ca_file": ca_file}))
    context = given.pop("ssl_context")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1
    assert given == {
        "bootstrap_servers": "kafka:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "sink",
        "sasl_plain_password": "hunter2",
    }


def test_the_password_does_not_show():
    assert "hunter2" not in repr(KafkaSettings.model_validate(SASL))


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_USERNAME": "sink"},
            "The settings contradict each other: KAFKA_SECURITY_PROTOCOL=SASL_SSL needs KAFKA_USERNAME and KAFKA_PASSWORD.",
        ),
        (
            {"KAFKA_USERNAME": "sink", "KAFKA_PASSWORD": "hunter2"},
            "The settings contradict each other: KAFKA_USERNAME and KAFKA_PASSWORD need KAFKA_SECURITY_PROTOCOL=SASL_SSL.",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CA_FILE": "/nowhere/ca.pem"},
            (
                "KAFKA_CA_FILE cannot be used: it is not a file that this process may read. Set it to a PEM file with the "
                "authority of the brokers' certificates; without it the system's are used."
            ),
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "TLS"},
            (
                "KAFKA_SECURITY_PROTOCOL cannot be used: input should be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or "
                "'SASL_SSL'. Set it to PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, as the brokers' listener has it."
            ),
        ),
    ],
)
def test_settings_that_do_not_go_together_are_told(
    environment: dict[str, str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9093")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        KafkaSettings.load()
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines() == [sentence]


def test_an_authority_without_tls_is_told(
    ca_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9093")
    monkeypatch.setenv("KAFKA_CA_FILE", str(ca_file))
    with pytest.raises(SystemExit):
        KafkaSettings.load()
    assert "KAFKA_CA_FILE needs KAFKA_SECURITY_PROTOCOL=SASL_SSL or SSL" in capsys.readouterr().err
