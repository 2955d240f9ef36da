import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from bitloot.code_hashes import TAIL, CodeHasher, CodeHashKeys, generate_key, main, plain
from bitloot.sealing import Sealer, generate_key_pair
from bitloot.settings import Settings

OLD, NEW = generate_key("old"), generate_key("new")
CODE = "AAAA1-BBBB2-CCCC3"


@pytest.mark.parametrize(
    "written", [CODE.lower(), f" {CODE}\n", "AAAA1BBBB2CCCC3", "aaaa1 bbbb2 cccc3", "AAAA1_BBBB2_CCCC3"]
)
def test_a_code_is_the_same_however_it_is_written(written: str):
    assert CodeHasher([NEW]).of(written) == CodeHasher([NEW]).of(CODE)


@given(st.text(min_size=1), st.text(min_size=1))
def test_other_codes_have_other_hashes(one: str, other: str):
    hasher = CodeHasher([NEW])

    assert (hasher.of(one).whole_hash == hasher.of(other).whole_hash) == (plain(one) == plain(other))


@given(st.text(min_size=1))
@example(":::::::::\U00018cd6")
@example("AAAAA-BBBBB-CCCCC")
def test_what_was_made_is_found_and_tells_nothing(code: str):
    made, hasher = CodeHasher([OLD]).of(code), CodeHasher([NEW, OLD])

    assert bytes.fromhex(made.whole_hash) in hasher.wholes(code)
    assert made.tail_hash is None or bytes.fromhex(made.tail_hash) in hasher.tails(f"x{plain(code)[-TAIL:]}")
    assert set(made.whole_hash + (made.tail_hash or "")) <= set("0123456789abcdef")


def test_hashes_of_ends_are_of_five_characters_and_never_of_a_short_code():
    hasher = CodeHasher([NEW])

    assert hasher.of("XXXXX-YYYYY").tail_hash == hasher.of("ZZZZZ-ZZZZZ-YYYYY").tail_hash
    assert hasher.of("XXXXX-YYYY").tail_hash is None
    assert hasher.of("::::::::::").tail_hash is None
    # A whole code of five characters is no end of another one.
    assert hasher.of("YYYYY").whole_hash != hasher.of("XXXXX-YYYYY").tail_hash


def test_keys_rotate():
    before, after = CodeHasher([OLD]).of(CODE), CodeHasher([NEW, OLD]).of(CODE)

    assert (before.key_id, after.key_id) == ("old", "new")
    assert before.whole_hash != after.whole_hash
    assert {each.hex() for each in CodeHasher([NEW, OLD]).wholes(CODE)} == {before.whole_hash, after.whole_hash}


@pytest.mark.parametrize("keys", [[], ["hunter2"], ["k:AAAA"], [NEW.get_secret_value(), NEW.get_secret_value()]])
def test_bad_keys_are_refused_and_not_quoted(keys: list[str]):
    with pytest.raises(ValueError) as error:
        CodeHasher([SecretStr(each) for each in keys])

    assert not any(each in str(error.value) for each in keys)


def test_a_sealed_text_carries_its_hashes_and_a_picture_none():
    pair, hasher = generate_key_pair(), CodeHasher([NEW])
    sealer = Sealer(pair.public, hasher)

    assert sealer.seal(CODE).hashes == sealer.seal(CODE.encode()).hashes == sealer.seal(SecretStr(CODE)).hashes
    assert sealer.seal(CODE).hashes == hasher.of(CODE)
    assert sealer.seal(b"\x89PNG", "image/png").hashes is None
    assert Sealer(pair.public).seal(CODE).hashes is None


class Keyed(Settings):
    code_hash_keys: CodeHashKeys = Field(description="keys")


def test_keys_are_a_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert main(["generate", "mine"]) == 0
    name, _, value = capsys.readouterr().out.strip().partition("=")
    monkeypatch.setenv(name, value)
    (key,) = Keyed.load().code_hash_keys

    assert key.get_secret_value().startswith("mine:")
    assert main([]) == main(["generate", "a b"]) == 2
