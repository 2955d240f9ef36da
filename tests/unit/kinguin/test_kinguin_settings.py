"""What the worker's environment must and may say."""

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


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("KINGUIN_DIALECT", "esa", "this dialect is not available yet"),
        ("KINGUIN_DIALECT", "klingon", "KINGUIN_DIALECT cannot be used"),
        ("KINGUIN_CLIENT_SECRET", "", "KINGUIN_CLIENT_SECRET is not set"),
        ("KINGUIN_CLIENT_ID", "", "KINGUIN_CLIENT_ID is not set"),
        ("KINGUIN_AUTH_URL", "id.kinguin.example", "KINGUIN_AUTH_URL cannot be used"),
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
