import pytest

from delivery.settings import OrderPageSettings, WorkerSettings
from tests.unit.delivery.samples import PAIR

STORAGE = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "DATABASE_URL": "postgresql://u:p@127.0.0.1/db",
    "R2_ENDPOINT_URL": "https://account.r2.test/",
    "R2_BUCKET": "bitloot",
    "R2_ACCESS_KEY_ID": "id",
    "R2_SECRET_ACCESS_KEY": "storage-secret",
    "ORDER_LINK_SECRETS": "current, previous",
}
WORKER = STORAGE | {
    "SEALING_PRIVATE_KEYS": PAIR.private.get_secret_value(),
    "PUBLIC_URL": "https://shop.test/",
    "RESEND_API_KEY": "re_secret",
    "EMAIL_FROM": "BitLoot <orders@bitloot.test>",
}


@pytest.fixture
def environment(monkeypatch):
    for name in (*WorkerSettings.model_fields, *OrderPageSettings.model_fields):
        monkeypatch.delenv(name.upper(), raising=False)

    def environment(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return environment


def complaints(settings, capsys):
    with pytest.raises(SystemExit):
        settings.load()
    return capsys.readouterr().err


def test_the_worker_s_settings(environment):
    environment(**WORKER)
    settings = WorkerSettings.load()

    assert settings.r2_endpoint_url == "https://account.r2.test"
    assert settings.public_url == "https://shop.test"
    assert settings.link_lifetime.total_seconds() == 900
    assert [each.get_secret_value() for each in settings.order_link_secrets] == ["current", "previous"]
    assert settings.resend_base_url == "https://api.resend.com"
    assert "storage-secret" not in repr(settings)


def test_the_page_needs_neither_private_keys_nor_the_mail_provider(environment):
    environment(**STORAGE)

    assert OrderPageSettings.load().support_email is None
    assert not {"sealing_private_keys", "resend_api_key"} & set(OrderPageSettings.model_fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMAIL_FROM", "BitLoot <orders@bitloot.test>\nBcc: all@bitloot.test"),
        ("EMAIL_FROM", "nobody"),
        ("LINK_LIFETIME", "604801"),
        ("LINK_LIFETIME", "0"),
        ("SEALING_PRIVATE_KEYS", "k1:not-a-key"),
        ("EMAILS_PER_SECOND", "0"),
        ("PUBLIC_URL", "shop.test"),
        ("R2_BUCKET", ""),
        ("ORDER_LINK_SECRETS", ","),
    ],
)
def test_a_bad_setting_stops_the_worker_with_its_name_and_without_its_value(environment, capsys, name, value):
    environment(**WORKER)
    environment(**{name: value})
    complaint = complaints(WorkerSettings, capsys)

    assert name in complaint
    assert "all@" not in complaint
    assert "not-a-key" not in complaint


def test_a_bad_support_address_stops_the_page(environment, capsys):
    environment(**STORAGE, SUPPORT_EMAIL="javascript:alert(1)")

    assert "SUPPORT_EMAIL" in complaints(OrderPageSettings, capsys)
