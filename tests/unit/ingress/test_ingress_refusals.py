"""Why a notification was refused: a word in the metrics, a line in the log, and a sample that gives nothing away."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bitloot.metrics import WEBHOOKS_REFUSED
from ingress.refusals import Refused, sample
from ingress.signature_hints import other_form
from tests.unit.ingress.conftest import Lines
from tests.unit.ingress.rig import CODES, IPN_SECRET, IPN_SECRET_BEFORE, ORDER, Rig, ipn


def signed(message: bytes, secret: Any = IPN_SECRET) -> str:
    return hmac.digest(secret.get_secret_value().encode(), message, hashlib.sha512).hex()


def compact(document: Any, **options: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), **options).encode()


BODY = ipn(order_description="Café", payment_extra_ids=[7])
OTHERS = {
    "nested_members_left_out": compact({**{k: BODY[k] for k in sorted(BODY)}, "fee": {}}, ensure_ascii=False),
    "lists_as_objects": compact(
        {**{k: BODY[k] for k in sorted(BODY)}, "payment_extra_ids": {"0": 7}}, ensure_ascii=False
    ),
    "python_json": compact(BODY, sort_keys=True),
    "python_json_with_spaces": json.dumps(BODY, sort_keys=True).encode(),
}


@pytest.mark.parametrize("secret", [IPN_SECRET, IPN_SECRET_BEFORE])
@pytest.mark.parametrize("form", OTHERS)
async def test_a_body_signed_in_another_form_is_refused_and_the_form_is_told(
    rig: Rig, lines: Lines, form: str, secret: Any
):
    counter = WEBHOOKS_REFUSED.labels("nowpayments", "other_form")
    before = counter._value.get()

    headers = {"x-nowpayments-sig": signed(OTHERS[form], secret)}
    response = await rig.post("/webhooks/nowpayments", json.dumps(BODY, indent=1).encode(), **headers)

    assert response.status == 401
    assert form not in await response.text(), "who cannot sign is told nothing"
    assert counter._value.get() == before + 1
    (line,) = lines.of("webhook.refused")
    assert (line["reason"], line["hint"]) == ("other_form", form)
    (refused,) = rig.fakes.refused
    assert (refused.provider, refused.reason, refused.hint) == ("nowpayments", "other_form", form)
    assert rig.events == []


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing_header"),
        ({"x-nowpayments-sig": ""}, "missing_header"),
        ({"x-nowpayments-sig": "abc"}, "malformed_header"),
        ({"x-nowpayments-sig": "0" * 128}, "mismatch"),
    ],
)
async def test_every_refusal_has_its_reason_and_a_sample(rig: Rig, headers: dict[str, str], reason: str):
    await rig.post("/webhooks/nowpayments", json.dumps(BODY).encode(), **headers)

    (refused,) = rig.fakes.refused
    assert refused.reason == reason
    shown = sample(refused)
    assert shown["members"]["payment_id"] == "5745459419"
    assert shown["members"]["order_id"] == ORDER
    assert shown["members"]["pay_address"] == "text(14)"
    assert shown["members"]["fee"] == "object(4)"
    assert "0" * 128 not in json.dumps(shown)


async def test_a_sample_holds_no_code_and_no_secret(rig: Rig):
    body = {"event": "delivered", "reservationId": "r1", "codes": list(CODES), "note": CODES[0]}
    await rig.kinguin(body, token="wrong-token-of-somebody")

    text = json.dumps(sample(rig.fakes.refused[0]))
    assert not any(code in text for code in CODES)
    assert "wrong-token" not in text
    assert "x-auth-token" in text


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (None, "not read"),
        (b"x" * 70_000, "not read"),
        (b"\xff", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"7", "number"),
        (b"[1,2]", "list(2)"),
        (b'"text"', "text(4)"),
    ],
)
def test_any_bytes_have_a_shape(body: bytes | None, shown: str):
    assert sample(refused(body))["body"] == shown


def test_a_sample_is_bounded_whatever_comes():
    names = {f"{n}" * 300: "v" for n in range(500)} | {"order_id": "x\n" * 500}
    shown = sample(refused(json.dumps(names).encode(), headers={f"h{n}": "v" for n in range(500)}))
    assert len(json.dumps(shown)) < 15_000


def refused(body: bytes | None, headers: Any = None) -> Refused:
    return Refused("nowpayments", "mismatch", "", "", body, headers or {}, "10.0.0.1", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"[" * 100_000, b'{"a":1e400}', b'{"a":"\\ud800"}'])
def test_a_hint_is_found_for_any_bytes_without_harm(raw: bytes):
    assert other_form(raw, "0" * 128, [IPN_SECRET]) == ""
