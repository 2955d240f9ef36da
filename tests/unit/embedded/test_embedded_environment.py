import base64

import pytest
from nacl.public import PrivateKey, PublicKey, SealedBox

from admin_api.settings import ApiSettings, SinkSettings
from delivery.settings import OrderPageSettings, WorkerSettings
from embedded.environment import Addresses, environment, environment_of, settings
from embedded.errors import EmbeddedError
from embedded.services import SANDBOX, SERVICES, instances
from fulfillment.kinguin.settings import KinguinSettings
from fulfillment.selling.settings import SellerSettings
from fulfillment.settings import Settings as FulfillmentSettings
from ingress.payments.settings import PaymentsSettings
from ingress.settings import Settings as IngressSettings
from sandbox.settings import Settings as SandboxSettings

ADDRESSES = Addresses(
    kafka="127.0.0.1:1",
    postgres="postgresql://ours",
    s3_endpoint="http://s3",
    s3_bucket="bucket",
    s3_access_key="access",
    s3_secret_key="secret",
    ingress="http://ingress",
    admin="http://admin",
    order_page="http://page",
    sandbox="http://sandbox",
)


CLASSES = {
    "sandbox": SandboxSettings,
    "sink": SinkSettings,
    "fulfillment": FulfillmentSettings,
    "kinguin": KinguinSettings,
    "seller": SellerSettings,
    "payments": PaymentsSettings,
    "delivery": WorkerSettings,
    "admin-api": ApiSettings,
    "order-page": OrderPageSettings,
    "ingress": IngressSettings,
}


def test_providers_are_the_sandbox_unless_said_otherwise():
    everything = settings(ADDRESSES, {})
    assert everything["KINGUIN_BASE_URL"] == "http://sandbox/kinguin"
    assert everything["KINGUIN_AUTH_URL"] == "http://sandbox/kinguin-id/auth/token"
    assert everything["NOWPAYMENTS_BASE_URL"] == "http://sandbox/nowpayments"
    assert everything["RESEND_BASE_URL"] == "http://sandbox/resend"


def test_a_dialect_has_its_own_door_in_the_sandbox():
    assert settings(ADDRESSES, {"KINGUIN_DIALECT": "esa"})["KINGUIN_BASE_URL"] == "http://sandbox/kinguin-esa"


def test_a_provider_setting_of_the_person_wins():
    given = {"KINGUIN_BASE_URL": "https://kinguin.example", "KINGUIN_ALLOWED_IPS": "10.0.0.1", "EMAIL_FROM": "a@b.test"}
    assert settings(ADDRESSES, given).items() >= given.items()


def test_an_empty_setting_is_no_setting():
    assert settings(ADDRESSES, {"KINGUIN_BASE_URL": ""})["KINGUIN_BASE_URL"] == "http://sandbox/kinguin"


def test_our_own_servers_cannot_be_replaced_by_accident():
    everything = settings(ADDRESSES, {"DATABASE_URL": "postgresql://theirs", "KAFKA_BOOTSTRAP_SERVERS": "theirs:1"})
    assert everything["DATABASE_URL"] == "postgresql://ours"
    assert everything["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:1"


@pytest.mark.parametrize(
    "given",
    [
        {"R2_ENDPOINT_URL": "https://r2"},
        {"SEALING_PUBLIC_KEY": "1:x"},
        {"STOCK_SEALING_PUBLIC_KEY": "1:x"},
        {"KINGUIN_SELLER_BASE_URL": "https://kinguin"},
    ],
)
def test_half_of_what_belongs_together_is_refused(given):
    with pytest.raises(EmbeddedError, match="belong together; the environment lacks"):
        settings(ADDRESSES, given)


def test_a_real_seller_account_is_not_told_to_send_its_news_here():
    given = dict.fromkeys(
        (
            "KINGUIN_SELLER_BASE_URL",
            "KINGUIN_ENVOY_BASE_URL",
            "KINGUIN_SELLER_AUTH_URL",
            "KINGUIN_SELLER_CLIENT_ID",
            "KINGUIN_SELLER_CLIENT_SECRET",
        ),
        "https://kinguin.example",
    )
    assert "KINGUIN_SELLER_WEBHOOK_URL" in settings(ADDRESSES, {})
    assert "KINGUIN_SELLER_WEBHOOK_URL" not in settings(ADDRESSES, given)


@pytest.mark.parametrize("name", ["SEALING", "STOCK_SEALING"])
def test_the_sealing_keys_are_a_pair_under_one_id(name):
    everything = settings(ADDRESSES, {})
    public_id, public = everything[f"{name}_PUBLIC_KEY"].split(":")
    private_id, private = everything[f"{name}_PRIVATE_KEYS"].split(":")
    assert public_id == private_id
    box = SealedBox(PublicKey(base64.b64decode(public))).encrypt(b"code")
    assert SealedBox(PrivateKey(base64.b64decode(private))).decrypt(box) == b"code"


def test_secrets_are_new_in_every_run():
    one, other = settings(ADDRESSES, {}), settings(ADDRESSES, {})
    same = {name for name in one if one[name] == other[name]}
    assert same.isdisjoint({"SHOP_TOKEN", "ADMIN_TOKEN", "SEALING_PUBLIC_KEY", "NOWPAYMENTS_IPN_SECRET"})


def test_a_process_gets_what_it_needs_and_nothing_else_of_ours():
    everything = settings(ADDRESSES, {})
    base = {"PATH": "/bin", "SEALING_PRIVATE_KEYS": "from the shell", "DATABASE_URL": "from the shell"}
    assert environment(everything, {"SHOP_TOKEN"}, base) == {
        "PATH": "/bin",
        "SHOP_TOKEN": everything["SHOP_TOKEN"],
        "PYTHONUNBUFFERED": "1",
    }


def test_a_provider_signs_with_the_current_secret_of_several(tmp_path):
    everything = settings(ADDRESSES, {"KINGUIN_WEBHOOK_SECRET": "new, old"})
    sandbox, *_, ingress = instances({})
    assert environment_of(sandbox, everything, tmp_path, {})["KINGUIN_WEBHOOK_SECRET"] == "new"
    assert environment_of(ingress, everything, tmp_path, {})["KINGUIN_WEBHOOK_SECRET"] == "new, old"


def test_the_settings_of_every_service_are_looked_at():
    assert CLASSES.keys() == {service.name for service in (SANDBOX, *SERVICES)}


@pytest.mark.parametrize("instance", instances({}), ids=lambda instance: instance.service.name)
def test_a_service_starts_on_what_it_is_given_and_reads_all_of_it(instance, tmp_path, monkeypatch):
    monkeypatch.setattr("os.environ", environment_of(instance, settings(ADDRESSES, {}), tmp_path, {}))
    read = CLASSES[instance.service.name]()
    assert read.http_port == instance.port
    unread = {name.lower() for name in instance.service.needs} - type(read).model_fields.keys()
    assert unread <= {"kinguin_api_key"}  # the second dialect's
