import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from bitloot.contracts.sealed import SealedCode
from bitloot.errors import Cause, Malformed
from bitloot.sealing import Opener, Sealer, SealingPrivateKeys, SealingPublicKey, generate_key_pair, main
from bitloot.settings import Settings

OLD = generate_key_pair("old")
NEW = generate_key_pair("new")
CODE = "AAAA-BBBB-CCCC-DDDD"


@given(st.binary(max_size=300))
def test_what_is_sealed_opens_again(plain: bytes):
    sealed = Sealer(NEW.public).seal(plain)

    assert Opener([NEW.private]).open(sealed) == plain
    assert sealed.key_id == "new"


@pytest.mark.parametrize("plain", ["clé-ゲーム", SecretStr("clé-ゲーム"), "clé-ゲーム".encode()])
def test_text_bytes_and_hidden_text(plain: str | bytes | SecretStr):
    sealed = Sealer(NEW.public).seal(plain, "text/html")

    assert Opener([NEW.private]).open(sealed).decode() == "clé-ゲーム"
    assert sealed.media_type == "text/html"


def test_each_box_is_another():
    sealer = Sealer(NEW.public)

    assert sealer.seal(CODE).box != sealer.seal(CODE).box


def test_keys_rotate():
    before, after = Sealer(OLD.public).seal("one"), Sealer(NEW.public).seal("two")
    opener = Opener([NEW.private, OLD.private])

    assert (opener.open(before), opener.open(after)) == (b"one", b"two")


def test_an_unknown_key_id_is_malformed():
    with pytest.raises(Malformed) as error:
        Opener([OLD.private]).open(Sealer(NEW.public).seal(CODE))

    assert error.value.cause is Cause.UNKNOWN_KEY_ID


def test_another_key_under_the_same_id_does_not_open():
    impostor = generate_key_pair("new")

    with pytest.raises(Malformed) as error:
        Opener([impostor.private]).open(Sealer(NEW.public).seal(CODE))

    assert error.value.cause is Cause.BROKEN_BOX


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_one_changed_byte_is_noticed(position: int, change: int):
    raw = bytearray(base64.b64decode(Sealer(NEW.public).seal(CODE).box))
    raw[position % len(raw)] ^= change
    tampered = SealedCode(key_id="new", box=base64.b64encode(raw).decode())

    with pytest.raises(Malformed) as error:
        Opener([NEW.private]).open(tampered)

    assert error.value.cause is Cause.BROKEN_BOX


@pytest.mark.parametrize("box", ["", "AAAA", "not base64!", "ä", "A" * 5, base64.b64encode(b"x" * 47).decode()])
def test_what_is_no_box_is_malformed(box: str):
    with pytest.raises(Malformed) as error:
        Opener([NEW.private]).open(SealedCode(key_id="new", box=box))

    assert error.value.cause is Cause.BROKEN_BOX


@pytest.mark.parametrize(
    "form",
    [
        "",
        "k1",
        "k1:",
        ":{key}",
        "k1:" + base64.b64encode(b"short").decode(),
        "k1:" + base64.b64encode(b"x" * 33).decode(),
        "k 1:{key}",
        "hunter2:not*base64",
    ],
)
def test_malformed_keys_are_refused_and_not_quoted(form: str):
    key = form.format(key=NEW.public.partition(":")[2])
    for refuse in (lambda: Sealer(key), lambda: Opener([SecretStr(key)])):
        with pytest.raises(ValueError, match="it is not written as") as error:
            refuse()
        assert "hunter2" not in str(error.value)


def test_equal_ids_and_no_keys_are_refused():
    with pytest.raises(ValueError, match="same id"):
        Opener([NEW.private, NEW.private])
    with pytest.raises(ValueError, match="no key"):
        Opener([])


def test_nothing_shows_private_keys_or_codes():
    sealed = Sealer(NEW.public).seal(CODE)
    secret = NEW.private.get_secret_value().partition(":")[2]

    assert CODE not in repr(sealed)
    assert secret not in repr(NEW)
    assert secret not in repr(vars(Opener([NEW.private])))


class Example(Settings):
    sealing_public_key: SealingPublicKey = Field(description="the public key")
    sealing_private_keys: SealingPrivateKeys = Field(description="the private keys")


def test_settings_hold_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SEALING_PUBLIC_KEY", NEW.public)
    monkeypatch.setenv("SEALING_PRIVATE_KEYS", f"{NEW.private.get_secret_value()},{OLD.private.get_secret_value()}")
    settings = Example.load()

    sealed = Sealer(settings.sealing_public_key).seal(CODE)
    assert Opener(settings.sealing_private_keys).open(sealed) == CODE.encode()


def test_bad_keys_stop_the_start_up(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("SEALING_PUBLIC_KEY", "hunter2")
    monkeypatch.setenv("SEALING_PRIVATE_KEYS", "hunter2,hunter3")
    with pytest.raises(SystemExit):
        Example.load()

    assert capsys.readouterr().err.splitlines() == [
        "SEALING_PUBLIC_KEY cannot be used: it is not written as <key id>:<base64 of 32 bytes>. Set it to the public key.",
        "SEALING_PRIVATE_KEYS cannot be used: it is not written as <key id>:<base64 of 32 bytes>. Set it to the private keys.",
    ]


def test_the_command_prints_a_pair_that_works(capsys: pytest.CaptureFixture[str]):
    assert main(["generate", "k7"]) == 0

    public, private = (line.partition("=")[2] for line in capsys.readouterr().out.splitlines())
    sealed = Sealer(public).seal(CODE)
    assert sealed.key_id == "k7"
    assert Opener([SecretStr(private)]).open(sealed) == CODE.encode()


def test_generated_ids_differ():
    assert generate_key_pair().public.partition(":")[0] != "k"
    assert Sealer(generate_key_pair().public).key_id.startswith("k2")


@pytest.mark.parametrize("arguments", [[], ["help"], ["generate", "a", "b"], ["generate", "bad id"]])
def test_the_command_explains_itself(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    assert capsys.readouterr().err
