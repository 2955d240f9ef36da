import pytest

from admin_api.settings import ApiSettings
from bitloot.sealing import generate_key_pair
from fulfillment.selling.settings import SellerSettings

KEYS = generate_key_pair("stock")
BARE = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
}
WHOLE = BARE | {
    "KINGUIN_SELLER_BASE_URL": "https://kinguin.example/sales-manager-api/api/v1",
    "KINGUIN_ENVOY_BASE_URL": "https://kinguin.example/envoy2/api/v1",
    "KINGUIN_SELLER_AUTH_URL": "https://id.kinguin.example",
    "KINGUIN_SELLER_CLIENT_ID": "client",
    "KINGUIN_SELLER_CLIENT_SECRET": "a secret",
    "STOCK_SEALING_PRIVATE_KEYS": KEYS.private.get_secret_value(),
}
NEEDED = sorted(WHOLE.keys() - BARE.keys() - {"KINGUIN_SELLER_BASE_URL"})


@pytest.fixture
def load(monkeypatch):
    def load(settings, kind=SellerSettings):
        monkeypatch.setattr("os.environ", settings)
        return kind.load()

    return load


def test_without_an_address_nothing_is_sold(load):
    assert not load(BARE).selling
    assert load(WHOLE).selling


@pytest.mark.parametrize("name", NEEDED)
def test_half_a_setup_is_refused_by_name(load, capsys, name):
    with pytest.raises(SystemExit):
        load({key: value for key, value in WHOLE.items() if key != name})
    told = capsys.readouterr().err
    assert name in told
    assert "a secret" not in told


def test_the_subscription_is_left_alone_unless_it_is_asked_for(load):
    url = {"KINGUIN_SELLER_WEBHOOK_URL": "https://in.example/webhooks/kinguin-seller"}
    secret = {"KINGUIN_SELLER_WEBHOOK_SECRET": "new, old"}
    assert load(WHOLE).subscription is None
    assert load(WHOLE | secret).subscription is None
    found, token = load(WHOLE | url | secret).subscription
    assert (found, token.get_secret_value()) == (url["KINGUIN_SELLER_WEBHOOK_URL"], "new")
    with pytest.raises(SystemExit):
        load(WHOLE | url)


def test_the_account_is_named_without_its_secrets(load):
    one, other = load(WHOLE).account, load(WHOLE | {"KINGUIN_SELLER_CLIENT_ID": "another"}).account
    assert one != other
    assert "client" not in one


@pytest.mark.parametrize(
    "given",
    [
        {"STOCK_SEALING_PUBLIC_KEY": KEYS.public},
        {"STOCK_HASH_KEY": "a secret of some length"},
        {"STOCK_SEALING_PUBLIC_KEY": KEYS.public, "STOCK_HASH_KEY": "short"},
    ],
)
def test_the_admin_api_takes_codes_with_both_keys_or_none(load, given):
    admin = BARE | {"ADMIN_TOKEN": "token"}
    assert load(admin, ApiSettings).stock_hash_key is None
    with pytest.raises(SystemExit):
        load(admin | given, ApiSettings)
