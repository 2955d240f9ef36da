import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot.redaction import (
    _LOOKS,
    _SUSPICIOUS,
    REDACTED,
    clean,
    clean_field,
    clean_fields,
    clean_text,
    is_secret_name,
)

TOKEN = "AbCdEf0123456789-_AbCdEf"


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Authorization", "x-auth-token", "X-Api-Key", "x-event-secret", "password", "db_password",
        "client_secret", "secret", "token", "accessToken", "access_token", "api_key", "apiKey", "apikey", "code",
        "codes", "Codes", "key", "keys", "game_key", "productKeys", "serial", "serials", "cookie", "set-cookie",
        "signature", "x-nowpayments-sig", "private_key", "R2_SECRET_ACCESS_KEY", "SEALING_PRIVATE_KEYS", "shop_token",
        "credentials", "plain_codes", "pin",
    ],
)  # fmt: skip
def test_names_that_hide_their_value(name: str):
    assert is_secret_name(name)
    assert clean_field(name, "value") == REDACTED


@pytest.mark.parametrize(
    "name",
    [
        "order_id", "status_code", "error_code", "key_id", "idempotency_key", "partition_key", "object_key", "keystone",
        "token_count", "keys_count", "code_type", "decoded", "monkey", "author", "event", "product_id", "record_key",
        "encoding", "barcode", "duration_ms", "secret_name", "",
    ],
)  # fmt: skip
def test_names_that_do_not(name: str):
    assert not is_secret_name(name)


def test_none_and_flags_are_shown():
    assert clean_field("token", None) is None
    assert clean_field("has_token", value=True) is True


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer [redacted]"),
        (f"bearer {TOKEN}, next", "bearer [redacted], next"),
        (f"sent BASIC {TOKEN}", "sent BASIC [redacted]"),
        ("GET /o/" + TOKEN + "/status", "GET /o/[redacted]/status"),
        (
            f"https://s3/b/keys/1.json?X-Amz-Credential=a%2Fb&X-Amz-Expires=900&X-Amz-Signature={TOKEN}",
            "https://s3/b/keys/1.json?X-Amz-Credential=[redacted]&X-Amz-Expires=900&X-Amz-Signature=[redacted]",
        ),
        ("postgresql://user:hunter2@host/db", "postgresql://user:[redacted]@host/db"),
        ("login with password=hunter2 failed", "login with password=[redacted] failed"),
        ("key whsec_WyE3m4YJQKO2tKLX end", "key whsec_[redacted] end"),
        ("re_123456789abcdef", "re_[redacted]"),
        ('{"codes": ["A", "B"], "id": 1}', '{"codes": [redacted], "id": 1}'),
        ('{"key":"A\\"B","id":1}', '{"key":[redacted],"id":1}'),
        ("{'serial': 'A-B', 'id': 1}", "{'serial': [redacted], 'id': 1}"),
        ('{"password": 12345}', '{"password": [redacted]}'),
        ('{"codes": ["A", "B', '{"codes": [redacted]'),
        ("Sold(codes=('A', 'B'), number=1)", "Sold(codes=[redacted], number=1)"),
        ("Sold(codes=['A', 'B'], number=1)", "Sold(codes=[redacted], number=1)"),
        ("Held(token='A B', key=b'C', n=1)", "Held(token=[redacted], key=[redacted], n=1)"),
        ("Held(secret=\"it's\")", "Held(secret=[redacted])"),
        ("[type=int, input_value={'codes': ['A']}, input_type=dict]", "[type=int, input_value=[redacted], input_type=dict]"),
    ],
)  # fmt: skip
def test_looks(text: str, cleaned: str):
    assert clean_text(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "order 5 is fulfilled",
        "GET http://127.0.0.1:8080/healthz",
        '{"orderId": "1", "status": "finished"}',
        "re_read the basics; retry",
        "2 of 3 keys delivered",
        "exit code=1, monkey=x",
        "Row(monkey='x', status_code=200, code=7, codes=())",
    ],
)
def test_ordinary_texts_stay(text: str):
    assert clean_text(text) == text


def test_long_texts_are_cut():
    cleaned = clean_text("x" * 100_000)

    assert len(cleaned) < 21_000
    assert cleaned.endswith("(100000 characters)")


@pytest.mark.parametrize(
    "secret",
    [
        f"input_value='{TOKEN}', input_type=str]",
        f"postgresql://user:{TOKEN}@host/db",
        f"/o/{TOKEN} ",
        f'"key": "{TOKEN}"',
    ],
)
@pytest.mark.parametrize("end", [19_990, 20_000, 20_990, 21_000])
def test_half_of_a_secret_is_not_left_where_a_text_is_cut(secret: str, end: int):
    half = secret.index(TOKEN) + len(TOKEN) // 2
    cleaned = clean_text("x " * ((end - half) // 2) + secret + " x" * 5000)
    assert TOKEN[: len(TOKEN) // 2] not in cleaned


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_cleaning_twice_changes_nothing_more(value: object):
    once = clean(value)

    assert clean(once) == once


@given(
    st.sampled_from(["codes", "token", "Authorization"]),
    st.lists(st.sampled_from(["list", "dict"]), max_size=6),
)
def test_a_secret_is_found_at_any_depth(name: str, wrapping: list[str]):
    value: object = {name: TOKEN}
    for each in wrapping:
        value = [value] if each == "list" else {"inner": value}

    assert TOKEN not in repr(clean(value))


_PARTS = st.lists(
    st.sampled_from(
        ["bearer", "BASIC", "ba\u017fic", " ", "\n", "\u00a0", "abc", '"code"', "'key'", ":", "=", "?sig", "/o/", "a" * 16,
         "://u", "@", "re_", "whsec_", "whsk_", "x" * 8, "token", "input_value", "-", ".", "{", "]",
         # one for each look, whole, and with nothing else that gives it away
         "input_value=1, input_type=", "bearer abc", "Basic\u00a0abc", "ba\u017fic abc", '"code" : 1', "&sig=abc", "token=abc",
         "token='abc'", "codes=('abc',)", "keys=['abc']", 'key=b"abc"',
         "/o/" + "a" * 16, "://u:p@h", "re_" + "x" * 8, "whsec_" + "x" * 8, "whsk_" + "x" * 8]
    )
).map("".join)  # fmt: skip


@given(_PARTS)
def test_the_quick_looks_miss_nothing(text: str):
    cleaned = text
    for look, replacement in _LOOKS:
        cleaned = look.sub(replacement, cleaned)

    assert clean_text(text) == cleaned
    if cleaned != text:
        assert _SUSPICIOUS.search(text)


@given(
    st.dictionaries(
        st.sampled_from(["event", "order_id", "token", "status", "codes", "detail", "other"]),
        _PARTS | st.just("x" * 30_000) | st.integers() | st.none() | st.lists(_PARTS, max_size=2),
    )
)
def test_a_glance_at_all_fields_shows_what_a_look_at_each_shows(fields: dict[str, object]):
    assert clean_fields(fields) == {name: clean_field(name, value) for name, value in fields.items()}
