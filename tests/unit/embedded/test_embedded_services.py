import pytest

from embedded.errors import EmbeddedError
from embedded.services import SANDBOX, SERVICES, instances, parse_workers


def test_workers_say_how_many_of_a_kind():
    assert parse_workers("fulfillment=2, kinguin=3,delivery=1") == {"fulfillment": 2, "kinguin": 3, "delivery": 1}
    assert parse_workers("") == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kingiun=2", "'kingiun' is none of"),
        ("ingress=2", "'ingress' is none of"),
        ("kinguin", "should say how many"),
        ("kinguin=0", "from 1 to 16"),
        ("kinguin=-1", "from 1 to 16"),
        ("kinguin=1000", "from 1 to 16"),
        ("kinguin=two", "from 1 to 16"),
    ],
)
def test_a_mistake_in_workers_is_named(text, complaint):
    with pytest.raises(EmbeddedError, match=complaint):
        parse_workers(text)


def test_every_process_has_its_own_name_and_port():
    plan = instances({"kinguin": 3})
    assert [instance.name for instance in plan if instance.service.name == "kinguin"] == [
        "kinguin-1",
        "kinguin-2",
        "kinguin-3",
    ]
    assert len({instance.name for instance in plan}) == len({instance.port for instance in plan}) == len(plan)


def test_only_the_delivery_worker_can_open_what_is_sealed():
    assert [service.name for service in SERVICES if "SEALING_PRIVATE_KEYS" in service.needs] == ["delivery"]


@pytest.mark.parametrize(
    ("secret", "holders"),
    [
        ("KINGUIN_CLIENT_SECRET", {"kinguin", "sandbox"}),
        ("NOWPAYMENTS_IPN_SECRET", {"ingress", "sandbox"}),
        ("RESEND_API_KEY", {"delivery", "sandbox"}),
        ("ADMIN_TOKEN", {"admin-api"}),
        ("STOCK_SEALING_PRIVATE_KEYS", {"seller"}),
        ("STOCK_HASH_KEY", {"admin-api"}),
        ("CODE_HASH_KEYS", {"admin-api", "ingress", "kinguin"}),
        ("KINGUIN_SELLER_CLIENT_SECRET", {"seller"}),
        ("KINGUIN_SELLER_WEBHOOK_SECRET", {"ingress", "seller"}),
        ("SHOP_TOKEN", {"ingress"}),
    ],
)
def test_a_secret_goes_to_its_users_alone(secret, holders):
    assert {service.name for service in (SANDBOX, *SERVICES) if secret in service.needs} == holders
