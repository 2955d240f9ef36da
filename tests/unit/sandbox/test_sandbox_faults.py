import pytest
from pydantic import ValidationError

from sandbox.faults import Faults, Rule


def faults(*rules):
    found = Faults()
    found.replace([Rule.model_validate(rule) for rule in rules])
    return found


def hits(found, times=50, provider="kinguin", call="give", order_ids=("o1",)):
    return [found.for_call(provider, call, order_ids) is not None for _ in range(times)]


def test_a_rule_matches_provider_call_and_order():
    found = faults({"provider": "kinguin", "call": "give", "kind": "error", "orderId": "o1"})
    assert hits(found, 1) == [True]
    assert hits(found, 1, call="reserve") == [False]
    assert hits(found, 1, provider="resend") == [False]
    assert hits(found, 1, order_ids=("o2",)) == [False]
    assert hits(found, 1, order_ids=("o2", "o1-item-1")) == [True]


def test_a_rule_ends_after_its_count():
    found = faults({"kind": "error", "count": 2})
    assert hits(found, 4) == [True, True, False, False]
    assert found.shown()[0]["hits"] == 2


def test_the_same_seed_fails_the_same_calls():
    rule = {"kind": "error", "probability": 0.5, "seed": 7}
    first = hits(faults(rule))
    assert first == hits(faults(rule))
    assert 0 < sum(first) < 50
    assert first != hits(faults({**rule, "seed": 8}))


def test_a_rule_that_did_not_strike_leaves_the_call_to_the_next():
    found = faults({"kind": "error", "count": 1}, {"kind": "slow"})
    kinds = [found.for_call("resend", "send", ()).kind for _ in range(2)]
    assert kinds == ["error", "slow"]


def test_webhook_rules_and_call_rules_do_not_mix():
    found = faults({"kind": "drop_webhook", "provider": "kinguin", "call": "delivered"})
    assert found.for_call("kinguin", "delivered", ()) is None
    assert found.drops_webhook("kinguin", "delivered", ())
    assert not found.drops_webhook("kinguin", "give", ())
    assert not faults({"kind": "error"}).drops_webhook("kinguin", "give", ())


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"kind": "explode"},
        {"kind": "error", "provider": "paypal"},
        {"kind": "error", "provider": "kinguin", "call": "send"},
        {"kind": "error", "call": "reserved"},
        {"kind": "drop_webhook", "provider": "kinguin", "call": "reserved"},
        {"kind": "error", "probability": 1.1},
        {"kind": "error", "count": -1},
        {"kind": "error", "stauts": 503},
        {"kind": "error", "delay": "NaN"},
        {"kind": "distorted"},
        {"kind": "distorted", "how": "upside_down"},
        {"kind": "error", "how": "short"},
        {"kind": "error", "provider": "kinguin-esa", "call": "give"},
        {"kind": "drop_webhook", "provider": "kinguin-seller", "call": "order.status"},
    ],
)
def test_a_rule_that_could_never_mean_anything_is_refused(rule):
    with pytest.raises(ValidationError):
        Rule.model_validate(rule)
