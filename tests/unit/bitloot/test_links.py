import base64
import pickle
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bitloot import links
from bitloot.errors import Cause, Malformed, Refused
from bitloot.links import BadLink, ExpiredLink, OrderLink
from bitloot.redaction import clean_text

CURRENT, PREVIOUS = SecretStr("current-link-secret"), SecretStr("previous-link-secret")
ORDER = "0af76519-16cd-83dd-8448-eb211c80319c"
EXPIRY = datetime(2026, 1, 31, 12, tzinfo=UTC)
EARLIER = EXPIRY - timedelta(seconds=1)


@given(
    st.uuids(),
    st.integers(min_value=0, max_value=2**32 - 1),
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9998, 1, 1)),  # noqa: DTZ001 - given a zone below
)
def test_what_was_minted_is_read_back(order: uuid.UUID, generation: int, expiry: datetime):
    expires_at = expiry.replace(tzinfo=UTC, microsecond=0)
    token = links.mint(str(order), generation, expires_at, [CURRENT])

    assert links.verify(token, [CURRENT], expires_at - timedelta(seconds=1)) == OrderLink(
        str(order),  # type: ignore[arg-type]
        generation,
        expires_at,
    )
    assert len(token) == 56
    assert token.replace("-", "").replace("_", "").isalnum()


def test_equal_arguments_give_an_equal_token():
    shifted = EXPIRY.astimezone(timezone(timedelta(hours=5)))

    assert links.mint(ORDER, 1, EXPIRY, [CURRENT]) == links.mint(ORDER.upper(), 1, shifted, [CURRENT, PREVIOUS])
    assert links.mint(ORDER, 1, EXPIRY, [CURRENT]) != links.mint(ORDER, 2, EXPIRY, [CURRENT])
    assert links.mint(ORDER, 1, EXPIRY, [CURRENT]) != links.mint(ORDER, 1, EXPIRY, [PREVIOUS])


def test_the_previous_secret_is_still_accepted():
    token = links.mint(ORDER, 0, EXPIRY, [PREVIOUS])

    assert links.verify(token, [CURRENT, PREVIOUS], EARLIER).order_id == ORDER
    with pytest.raises(BadLink):
        links.verify(token, [CURRENT], EARLIER)


def test_a_link_ends_at_its_expiry_and_still_says_whose_it_was():
    token = links.mint(ORDER, 3, EXPIRY, [CURRENT])
    assert links.verify(token, [CURRENT], EARLIER).generation == 3

    with pytest.raises(ExpiredLink) as error:
        links.verify(token, [CURRENT], EXPIRY)
    assert error.value.link == OrderLink(ORDER, 3, EXPIRY)  # type: ignore[arg-type]
    assert error.value.cause is Cause.LINK_EXPIRED
    assert isinstance(error.value, Refused)
    assert pickle.loads(pickle.dumps(error.value)).link == error.value.link  # noqa: S301


@given(st.integers(min_value=0, max_value=41), st.integers(min_value=1, max_value=255))
def test_one_changed_byte_is_noticed(position: int, change: int):
    raw = bytearray(base64.urlsafe_b64decode(links.mint(ORDER, 0, EXPIRY, [CURRENT])))
    raw[position] ^= change

    with pytest.raises(BadLink) as error:
        links.verify(base64.urlsafe_b64encode(raw).decode(), [CURRENT], EARLIER)
    assert isinstance(error.value, Malformed)


@given(st.text(max_size=80) | st.text(alphabet="abcXYZ019-_", min_size=56, max_size=56))
def test_whatever_comes_is_a_bad_link(token: str):
    with pytest.raises(BadLink):
        links.verify(token, [CURRENT], EARLIER)


@pytest.mark.parametrize("spelling", [" {}", "{}\n", "{}=", "{}A"])
def test_a_token_has_one_spelling(spelling: str):
    token = links.mint(ORDER, 0, EXPIRY, [CURRENT])

    with pytest.raises(BadLink):
        links.verify(spelling.format(token), [CURRENT], EARLIER)


def test_a_later_version_is_a_bad_link():
    payload = b"\x02" + base64.urlsafe_b64decode(links.mint(ORDER, 0, EXPIRY, [CURRENT]))[1:26]
    token = base64.urlsafe_b64encode(payload + links._mac(b"current-link-secret", payload)).decode()

    with pytest.raises(BadLink, match="unknown version"):
        links.verify(token, [CURRENT], EARLIER)


def test_an_expiry_without_a_time_zone_is_not_minted():
    with pytest.raises(ValueError, match="time zone"):
        links.mint(ORDER, 0, EXPIRY.replace(tzinfo=None), [CURRENT])


@pytest.mark.parametrize("secrets", [[], [SecretStr("")]])
def test_without_a_secret_nothing_is_minted_or_accepted(secrets: list[SecretStr]):
    with pytest.raises(ValueError, match="no secret"):
        links.mint(ORDER, 0, EXPIRY, secrets)
    with pytest.raises(BadLink):
        links.verify(links.mint(ORDER, 0, EXPIRY, [CURRENT]), secrets, EARLIER)


CONFIRMED = links.OrderLink(ORDER, 3, EXPIRY)


def test_a_confirmation_says_what_it_was_made_for():
    token = links.mint_confirmation(CONFIRMED, "büyer+x@bitloot.test", [CURRENT])

    assert links.verify_confirmation(token, [CURRENT], EARLIER) == (CONFIRMED, "büyer+x@bitloot.test")
    with pytest.raises(ExpiredLink):
        links.verify_confirmation(token, [CURRENT], CONFIRMED.expires_at)


def test_a_confirmation_and_a_page_link_are_not_taken_for_each_other():
    page = links.mint(ORDER, 3, CONFIRMED.expires_at, [CURRENT])
    with pytest.raises(BadLink):
        links.verify_confirmation(page, [CURRENT], EARLIER)
    with pytest.raises(BadLink):
        links.verify(links.mint_confirmation(CONFIRMED, "a@b.c", [CURRENT]), [CURRENT], EARLIER)


def test_an_altered_confirmation_is_none():
    token = links.mint_confirmation(CONFIRMED, "a@b.c", [CURRENT])
    for n in range(len(token)):
        altered = token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :]
        try:
            found = links.verify_confirmation(altered, [CURRENT], EARLIER)
        except BadLink:
            continue
        assert found == (CONFIRMED, "a@b.c")  # spare bits of the last character
    for nonsense in ("", "x" * 57, "é" * 60, token[:-8], token + "AAAA"):
        with pytest.raises(BadLink):
            links.verify_confirmation(nonsense, [CURRENT], EARLIER)


def test_an_empty_secret_beside_a_real_one_accepts_nothing():
    payload = base64.urlsafe_b64decode(links.mint(ORDER, 0, EXPIRY, [CURRENT]))[:26]
    forged = base64.urlsafe_b64encode(payload + links._mac(b"", payload)).decode()

    with pytest.raises(BadLink):
        links.verify(forged, [CURRENT, SecretStr("")], EARLIER)


@pytest.mark.parametrize(("order", "generation"), [("o-1", 0), (ORDER, -1), (ORDER, 2**32)])
def test_mint_refuses_what_does_not_fit(order: str, generation: int):
    with pytest.raises(ValueError):
        links.mint(order, generation, EXPIRY, [CURRENT])


def test_logs_do_not_show_tokens():
    token = links.mint(ORDER, 0, EXPIRY, [CURRENT])

    assert token not in clean_text(f"GET http://127.0.0.1/o/{token}/status")
    confirmation = links.mint_confirmation(links.OrderLink(ORDER, 0, EXPIRY), "buyer@bitloot.test", [CURRENT])
    assert confirmation[:20] not in clean_text(f"GET http://127.0.0.1/o/email/{confirmation}")
    assert clean_text("GET /o/email/{token}") == "GET /o/email/{token}"
