import json
from decimal import Decimal

import pytest

from sandbox.ipn import signature, spelled
from sandbox.javascript import number, stringify
from tests.fakes.sandbox import SECRETS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (5745459419, "5745459419"),
        (Decimal("19.90"), "19.9"),
        (Decimal("0.000083"), "0.000083"),
        (8.3e-05, "0.000083"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (-2.5, "-2.5"),
        (1e16, "10000000000000000"),
        (123456789012345680000, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.25e21, "1.25e+21"),
        (9007199254740993, "9007199254740992"),
        (0.09853637216235617, "0.09853637216235617"),
        (5e-324, "5e-324"),
        (Decimal("1e400"), "null"),
        (10**400, "null"),
    ],
)
def test_a_number_is_spelled_as_javascript_does(value, text):
    assert number(value) == text


def test_sorting_reaches_every_depth_and_leaves_arrays():
    value = {"b": [{"d": 1, "c": None}, "x"], "a": {"z": True, "y": False}}
    assert stringify(value, sort=True) == '{"a":{"y":false,"z":true},"b":[{"c":null,"d":1},"x"]}'
    assert stringify(value) == '{"b":[{"d":1,"c":null},"x"],"a":{"z":true,"y":false}}'


def test_only_what_json_stringify_escapes_is_escaped():
    assert stringify('"\\\n\x01 é /<\u2028\x7f') == '"\\"\\\\\\n\\u0001 é /<\u2028\x7f"'


# Vector np-01: computed with Node 20.
_SIGNED = {
    "payment_id": 5745459419,
    "parent_payment_id": None,
    "invoice_id": None,
    "payment_status": "finished",
    "pay_address": "TEST-ADDRESS-1",
    "payin_extra_id": None,
    "price_amount": Decimal("19.99"),
    "price_currency": "eur",
    "pay_amount": Decimal("0.00042117"),
    "actually_paid": Decimal("0.00042117"),
    "actually_paid_at_fiat": 0,
    "pay_currency": "btc",
    "order_id": "ord_01J9Z3K4",
    "order_description": None,
    "purchase_id": "5837122679",
    "outcome_amount": Decimal("21.1042"),
    "outcome_currency": "usdttrc20",
    "payment_extra_ids": None,
    "fee": {
        "currency": "usdttrc20",
        "depositFee": Decimal("0.09853637216235617"),
        "withdrawalFee": 0,
        "serviceFee": 0,
    },
}
NP_01 = (
    "3b640aebe297e8f5ec765802f500adabe8ca157bf8b3647fe411f2a4d5a8e380"
    "3561d41b0550961e6eb7f6dd95990074e8ba12277b77e1be5341f83e6a70ace7"
)


def test_the_signature_is_that_of_node():
    assert signature(f" {SECRETS['nowpayments_ipn_secret']}\n", _SIGNED) == NP_01


def test_a_respelled_body_means_the_same_in_other_characters():
    canonical, respelled = spelled(_SIGNED, "canonical"), spelled(_SIGNED, "respelled")
    assert canonical != respelled
    assert b'"payment_id" : 5745459419,' in respelled
    assert b'"price_amount" : 19.990' in respelled
    assert b'"pay_amount" : 4.2117E-4' in respelled
    assert json.loads(canonical) == json.loads(respelled)
