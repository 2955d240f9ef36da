"""Every published vector of the NOWPayments signature, by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bitloot.canonical_json import Hazard, parse, plain_id
from bitloot.signing import Form, Refusal, nowpayments_sign, nowpayments_verify

VECTORS = json.loads(Path(__file__).with_name("nowpayments-vectors.json").read_text(encoding="utf-8"))
JAVASCRIPT = json.loads(Path(__file__).with_name("javascript.json").read_text(encoding="utf-8"))
SECRET = SecretStr(VECTORS["secret"])

# What tells a caller to refuse each hostile body although it is signed.
HOSTILE = {
    "np-h1-respelled-payment-id": None,  # by its spelling: `plain_id`
    "np-h2-integer-beyond-2-53": Hazard.INEXACT_NUMBER,
    "np-h3-overflow-to-null": Hazard.NUMBER_OUT_OF_RANGE,
    "np-h4-proto-key": Hazard.PROTO_KEY,
    "np-h5-lone-surrogate": Hazard.LONE_SURROGATE,
}

# The vectors expect "invalid" of each. The third is the documented exception: bytes that only the holder of
# the secret can have signed.
REJECTED = {
    "np-n1-wrong-secret": Refusal.MISMATCH,
    "np-n2-amount-changed": Refusal.MISMATCH,
    "np-n3-hmac-of-raw-bytes-of-an-unsorted-body": Form.RAW,
    "np-n4-top-level-replacer-form": Refusal.MISMATCH,
    "np-n5-arrays-as-objects-form": Refusal.MISMATCH,
    "np-n6-truncated": Refusal.MALFORMED_HEADER,
    "np-n7-empty-header": Refusal.MISSING_HEADER,
    "np-n8-non-hex": Refusal.MALFORMED_HEADER,
    "np-n9-not-an-object": Refusal.NOT_AN_OBJECT,
    "np-n10-nan-literal": Refusal.NOT_JSON,
}


def named(group: str) -> Any:
    return pytest.mark.parametrize("vector", VECTORS[group], ids=lambda vector: vector["id"])


def raw_body(vector: dict[str, Any]) -> bytes:
    if "raw_body_utf8_hex" in vector:
        return bytes.fromhex(vector["raw_body_utf8_hex"])
    return str(vector["raw_body"]).encode()


@named("vectors")
def test_accepted(vector: dict[str, Any]):
    raw = raw_body(vector)
    parsed = parse(raw)

    assert parsed.canonical == bytes.fromhex(vector["canonical_utf8_hex"])
    assert nowpayments_sign(parsed.canonical, SECRET) == vector["signature"]
    verdict = nowpayments_verify(raw, vector["signature"], [SECRET])
    assert verdict.accepted
    assert verdict.matched == "current/canonical"
    assert verdict.parsed == parsed
    for form in vector["other_published_forms"].values():
        assert nowpayments_verify(raw, form["signature"], [SECRET]).refusal is Refusal.MISMATCH


def test_accepted_with_duplicate_keys_names_them():
    (vector,) = [each for each in VECTORS["vectors"] if each["id"] == "np-10-duplicate-keys"]

    parsed = parse(raw_body(vector))
    assert set(parsed.duplicate_keys) == {"serviceFee", "payment_status", "payment_id", "price_amount"}
    assert Hazard.DUPLICATE_KEY in parsed.hazards


@pytest.mark.parametrize("name", ["np-01-documented-shape-pretty", "np-02-wire-already-sorted"])
def test_honest_bodies_have_no_hazard(name: str):
    (vector,) = [each for each in VECTORS["vectors"] if each["id"] == name]

    assert parse(raw_body(vector)).hazards == frozenset()


@named("hostile_but_signed")
def test_hostile_but_signed(vector: dict[str, Any]):
    verdict = nowpayments_verify(raw_body(vector), vector["signature"], [SECRET])

    assert verdict.accepted
    assert verdict.parsed is not None
    assert verdict.parsed.canonical == bytes.fromhex(vector["canonical_utf8_hex"])
    assert isinstance(verdict.parsed.value, dict)
    refuse = bool(verdict.parsed.hazards) or plain_id(verdict.parsed.value["payment_id"]) is None
    assert refuse == (vector["recommended"] == "reject")
    if hazard := HOSTILE.get(vector["id"]):
        assert hazard in verdict.parsed.hazards


@named("rejected")
def test_rejected(vector: dict[str, Any]):
    secret = SecretStr(vector.get("check_with_secret", VECTORS["secret"]))
    verdict = nowpayments_verify(raw_body(vector), vector["header"], [secret])
    expected = REJECTED[vector["id"]]

    if isinstance(expected, Form):
        assert verdict.form is expected
        assert verdict.matched == "current/raw"
    else:
        assert verdict.refusal is expected
        assert not verdict.accepted
        assert verdict.matched == ""


@named("tolerated")
def test_tolerated(vector: dict[str, Any]):
    secret = SecretStr(vector.get("secret", VECTORS["secret"]))

    assert nowpayments_verify(raw_body(vector), vector["header"], [secret]).accepted


def test_no_vector_was_forgotten():
    assert {each["id"] for each in VECTORS["rejected"]} == set(REJECTED)
    assert {each["id"] for each in VECTORS["hostile_but_signed"]} == {*HOSTILE, "np-h1b-plain-payment-id"}
    counts = {group: len(VECTORS[group]) for group in ("vectors", "hostile_but_signed", "rejected", "tolerated")}
    assert counts == {"vectors": 10, "hostile_but_signed": 6, "rejected": 10, "tolerated": 3}


@pytest.mark.parametrize("group", ["numbers", "bodies"])
def test_javascript_says_the_same(group: str):
    """All of them in one test: a thousand small cases, made by Node (javascript.mjs)."""
    different = [
        (text, expected) for text, expected in JAVASCRIPT[group] if parse(text.encode()).canonical.decode() != expected
    ]

    assert different == []
    assert len(JAVASCRIPT[group]) >= 200
