"""What the worker's environment must and may say."""

from decimal import Decimal

import pytest

from bitloot.sealing import generate_key_pair
from fulfillment.kinguin.settings import KinguinSettings

ENVIRONMENT = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "DATABASE_URL": "postgresql://127.0.0.1/bitloot",
    "KINGUIN_DIALECT": "reservations",
    "KINGUIN_BASE_URL": "https://kinguin.example/api/",
    "KINGUIN_AUTH_URL": "https://id.kinguin.example/auth/token",
    "KINGUIN_CLIENT_ID": "bitloot",
    "KINGUIN_CLIENT_SECRET": "s3cret",
    "SEALING_PUBLIC_KEY": generate_key_pair("k1").public,
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_an_effect_is_ours_for_longer_than_a_purchase_can_take(environment):
    settings = KinguinSettings.load()
    assert settings.kinguin_base_url == "https://kinguin.example/api"
    assert settings.claim_time.total_seconds() > 2 * settings.kinguin_call_seconds
    assert "s3cret" not in repr(settings)


def test_the_esa_dialect_needs_its_key_and_nothing_of_the_other(environment):
    for name in ("KINGUIN_AUTH_URL", "KINGUIN_CLIENT_ID", "KINGUIN_CLIENT_SECRET"):
        environment.delenv(name)
    environment.setenv("KINGUIN_DIALECT", "esa")
    environment.setenv("KINGUIN_API_KEY", "k3y")
    environment.setenv("KINGUIN_EUR_RATES", "USD=0.92, gbp = 1.17")
    settings = KinguinSettings.load()
    assert settings.kinguin_eur_rates == {"usd": Decimal("0.92"), "gbp": Decimal("1.17")}
    calls = 4 * (settings.kinguin_call_seconds + settings.kinguin_wait_seconds)
    assert settings.claim_time.total_seconds() > calls
    assert "k3y" not in repr(settings) + settings.account


def test_an_account_is_the_same_for_all_of_its_workers_and_no_others(environment):
    ours = KinguinSettings.load().account
    environment.setenv("SERVICE_INSTANCE", "another-worker")
    assert KinguinSettings.load().account == ours
    environment.setenv("KINGUIN_CLIENT_ID", "another-shop")
    assert KinguinSettings.load().account != ours


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("KINGUIN_DIALECT", "esa", "KINGUIN_API_KEY is not set. Set it to the API key of our store"),
        ("KINGUIN_DIALECT", "klingon", "KINGUIN_DIALECT cannot be used"),
        ("KINGUIN_CLIENT_SECRET", "", "KINGUIN_CLIENT_SECRET is not set"),
        ("KINGUIN_CLIENT_ID", "", "KINGUIN_CLIENT_ID is not set"),
        ("KINGUIN_AUTH_URL", "id.kinguin.example", "KINGUIN_AUTH_URL cannot be used"),
        ("KINGUIN_AUTH_URL", "", "KINGUIN_AUTH_URL is not set"),
        ("KINGUIN_CALLS_PER_MINUTE", "0", "KINGUIN_CALLS_PER_MINUTE cannot be used"),
        ("KINGUIN_WAIT_SECONDS", "0", "KINGUIN_WAIT_SECONDS cannot be used"),
        ("KINGUIN_PRICE_ALLOWANCE", "-1", "KINGUIN_PRICE_ALLOWANCE cannot be used"),
        ("KINGUIN_PRICE_ALLOWANCE", "ten", "KINGUIN_PRICE_ALLOWANCE cannot be used"),
        ("KINGUIN_EUR_RATES", "USD", "KINGUIN_EUR_RATES cannot be used: it is not written as CURRENCY=RATE"),
        ("KINGUIN_EUR_RATES", "USD=0", "KINGUIN_EUR_RATES cannot be used: it is not written as CURRENCY=RATE"),
        ("KINGUIN_EUR_RATES", "USD=-1", "KINGUIN_EUR_RATES cannot be used: it is not written as CURRENCY=RATE"),
        ("KINGUIN_EUR_RATES", "USD=0,92", "KINGUIN_EUR_RATES cannot be used: it is not written as CURRENCY=RATE"),
        ("KINGUIN_EUR_RATES", "USD=0.9,usd=0.8", "KINGUIN_EUR_RATES cannot be used: it has two rates"),
        ("KINGUIN_EUR_RATES", "EUR=2", "KINGUIN_EUR_RATES cannot be used: a euro is one euro"),
        ("KINGUIN_KEY_TYPE", "image", "KINGUIN_KEY_TYPE cannot be used"),
        ("KINGUIN_BALANCE_ALERT", "-5", "KINGUIN_BALANCE_ALERT cannot be used"),
        ("KINGUIN_BALANCE_SECONDS", "0", "KINGUIN_BALANCE_SECONDS cannot be used"),
        ("KINGUIN_CONCURRENCY", "0", "KINGUIN_CONCURRENCY cannot be used"),
        ("KINGUIN_CONNECT_SECONDS", "10", "KINGUIN_CONNECT_SECONDS must be less than KINGUIN_CALL_SECONDS"),
        ("SEALING_PUBLIC_KEY", "k1:short", "SEALING_PUBLIC_KEY cannot be used"),
    ],
)
def test_a_bad_setting_ends_the_start_with_one_sentence(environment, capsys, name, value, sentence):
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        KinguinSettings.load()
    assert ended.value.code == 2
    complaint = capsys.readouterr().err
    assert sentence in complaint
    assert complaint.count("\n") == 1
    assert "s3cret" not in complaint
