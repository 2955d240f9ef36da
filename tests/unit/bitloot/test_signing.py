import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from bitloot.canonical_json import parse
from bitloot.settings import Settings
from bitloot.signing import (
    Form,
    Refusal,
    SvixSecrets,
    bearer_token,
    nowpayments_sign,
    nowpayments_verify,
    svix_sign,
    svix_verify,
    token_equal,
)

CURRENT, PREVIOUS = SecretStr("current-secret"), SecretStr("previous-secret")
BODY = b'{"payment_status":"finished","payment_id":5745459419}'
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
WHSEC = SecretStr("whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode())
OLD_WHSEC = SecretStr("whsec_" + base64.b64encode(b"another-secret-of-24-byt").decode())


def signature(secret: SecretStr, body: bytes = BODY) -> str:
    return nowpayments_sign(parse(body).canonical, secret)


def test_nowpayments_accepts_current_and_previous_secret():
    current = nowpayments_verify(BODY, signature(CURRENT), [CURRENT, PREVIOUS])
    previous = nowpayments_verify(BODY, signature(PREVIOUS), [CURRENT, PREVIOUS])

    assert (current.secret, current.matched) == (0, "current/canonical")
    assert (previous.secret, previous.matched) == (1, "previous/canonical")


def test_nowpayments_says_when_the_raw_bytes_matched():
    raw = b'{"b":1,\n"a":2}'
    verdict = nowpayments_verify(raw, nowpayments_sign(raw, PREVIOUS), [CURRENT, PREVIOUS])

    assert (verdict.form, verdict.matched) == (Form.RAW, "previous/raw")


@pytest.mark.parametrize("secrets", [[], [SecretStr("")], [SecretStr("  \n")]])
def test_nowpayments_without_a_secret_refuses_all(secrets: list[SecretStr]):
    forged = nowpayments_sign(parse(BODY).canonical, SecretStr(""))

    assert nowpayments_verify(BODY, forged, secrets).refusal is Refusal.NO_SECRET


def test_an_empty_secret_beside_a_real_one_accepts_nothing():
    forged = nowpayments_sign(parse(BODY).canonical, SecretStr(""))

    assert nowpayments_verify(BODY, forged, [CURRENT, SecretStr("")]).refusal is Refusal.MISMATCH


@pytest.mark.parametrize(
    ("raw", "header", "refusal"),
    [
        (BODY, None, Refusal.MISSING_HEADER),
        (BODY, "   ", Refusal.MISSING_HEADER),
        (BODY, "0" * 127, Refusal.MALFORMED_HEADER),
        (BODY, "0" * 64 + " " + "0" * 63, Refusal.MALFORMED_HEADER),
        (BODY, "\u0660" * 128, Refusal.MALFORMED_HEADER),
        (BODY, "0" * 128, Refusal.MISMATCH),
        (b"", "0" * 128, Refusal.NOT_JSON),
        (b"{" * 10_000, "0" * 128, Refusal.NOT_JSON),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "0" * 128, Refusal.NOT_JSON),
        (b"\xff", "0" * 128, Refusal.NOT_JSON),
        (b"1", "0" * 128, Refusal.NOT_AN_OBJECT),
        (b"null", "0" * 128, Refusal.NOT_AN_OBJECT),
    ],
)
def test_nowpayments_refusals(raw: bytes, header: str | None, refusal: Refusal):
    verdict = nowpayments_verify(raw, header, [CURRENT])

    assert verdict.refusal is refusal
    assert not verdict.accepted


@given(st.binary(max_size=100), st.text(max_size=140))
def test_nowpayments_answers_whatever_comes(raw: bytes, header: str):
    assert not nowpayments_verify(raw, header, [CURRENT]).accepted


def test_svix_round_trip_with_rotation_and_either_names():
    header = svix_sign(BODY, "msg_1", int(NOW.timestamp()), OLD_WHSEC)
    for prefix in ("svix", "Svix", "WEBHOOK", "webhook"):
        headers = {
            f"{prefix}-Id": "msg_1",
            f"{prefix}-Timestamp": str(int(NOW.timestamp())),
            f"{prefix}-Signature": f"v1a,AAAA {header}",
        }
        verdict = svix_verify(BODY, headers, [WHSEC, OLD_WHSEC], NOW)
        assert verdict.accepted
        assert verdict.matched == "previous/raw"


@pytest.mark.parametrize(
    ("seconds", "refusal"), [(300, None), (301, Refusal.STALE), (-300, None), (-301, Refusal.STALE)]
)
def test_svix_tolerates_five_minutes_both_ways(seconds: int, refusal: Refusal | None):
    stamp = int((NOW - timedelta(seconds=seconds)).timestamp())
    headers = {"svix-id": "m", "svix-timestamp": str(stamp), "svix-signature": svix_sign(BODY, "m", stamp, WHSEC)}

    assert svix_verify(BODY, headers, [WHSEC], NOW).refusal is refusal


def test_svix_padding_of_the_secret_is_optional():
    stamp = int(NOW.timestamp())
    padded = SecretStr("whsec_" + base64.b64encode(b"0123456789").decode())
    bare = SecretStr(padded.get_secret_value().rstrip("="))
    headers = {"svix-id": "m", "svix-timestamp": str(stamp), "svix-signature": svix_sign(BODY, "m", stamp, padded)}

    assert padded != bare
    assert svix_verify(BODY, headers, [bare], NOW).accepted


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"svix-id": ""}, Refusal.MISSING_HEADER),
        ({"svix-timestamp": ""}, Refusal.MISSING_HEADER),
        ({"svix-signature": " "}, Refusal.MISSING_HEADER),
        ({"svix-timestamp": "1.5"}, Refusal.MALFORMED_HEADER),
        ({"svix-timestamp": "-1"}, Refusal.MALFORMED_HEADER),
        ({"svix-timestamp": "9" * 400}, Refusal.MALFORMED_HEADER),
        ({"svix-timestamp": "\u0660"}, Refusal.MALFORMED_HEADER),
        ({"svix-signature": "v1,***"}, Refusal.MALFORMED_HEADER),
        ({"svix-signature": "v1,ü"}, Refusal.MALFORMED_HEADER),
        ({"svix-signature": "v1,AAAA"}, Refusal.MISMATCH),
        ({"svix-id": "other"}, Refusal.MISMATCH),
        ({"svix-id": "\udcff"}, Refusal.MISMATCH),
    ],
)
def test_svix_refusals(change: dict[str, str], refusal: Refusal):
    stamp = int(NOW.timestamp())
    headers = {"svix-id": "m", "svix-timestamp": str(stamp), "svix-signature": svix_sign(BODY, "m", stamp, WHSEC)}

    assert svix_verify(BODY, headers | change, [WHSEC], NOW).refusal is refusal


@pytest.mark.parametrize("secrets", [[], [SecretStr("")], [SecretStr("whsec_")], [SecretStr("whsec_*")]])
def test_svix_without_a_usable_secret_refuses_all(secrets: list[SecretStr]):
    stamp = int(NOW.timestamp())
    forged = svix_sign(BODY, "m", stamp, SecretStr(""))
    headers = {"svix-id": "m", "svix-timestamp": str(stamp), "svix-signature": forged}

    assert svix_verify(BODY, headers, secrets, NOW).refusal is Refusal.NO_SECRET


@pytest.mark.parametrize("signature", ["v1,", "v1,=", "v1,====", "v1,A==="])
def test_svix_an_empty_signature_never_meets_an_empty_secret(signature: str):
    headers = {"svix-id": "m", "svix-timestamp": str(int(NOW.timestamp())), "svix-signature": signature}

    assert not svix_verify(BODY, headers, [WHSEC, SecretStr("")], NOW).accepted


def test_tokens():
    secrets = [CURRENT, PREVIOUS]

    assert token_equal("current-secret", secrets)
    assert token_equal("previous-secret", secrets)
    assert not token_equal("current-secre", secrets)
    assert not token_equal("", [SecretStr("")])
    assert not token_equal(None, secrets)
    assert not token_equal("x", [])
    assert not token_equal("\udcff", secrets)
    assert token_equal("clé", [SecretStr("clé")])


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("abc", None),
        ("", None),
        (None, None),
    ],
)
def test_bearer_tokens(header: str | None, token: str | None):
    assert bearer_token(header) == token


class Example(Settings):
    resend_webhook_secret: SvixSecrets = Field(description="the signing secret")


def test_a_malformed_svix_secret_stops_the_start_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", WHSEC.get_secret_value())
    assert Example.load().resend_webhook_secret == (WHSEC,)
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", f"{WHSEC.get_secret_value()},whsec_*")
    with pytest.raises(SystemExit):
        Example.load()

    assert capsys.readouterr().err == (
        "RESEND_WEBHOOK_SECRET cannot be used: it is not written as whsec_<base64>. Set it to the signing secret.\n"
    )
