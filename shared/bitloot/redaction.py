"""Takes secrets out of whatever is about to be written to a log.

Two nets: the name of a field (`authorization`, `codes`, `api_key`), and the look of a text (bearer tokens,
signatures of signed links, order page tokens, passwords in addresses, codes in quoted JSON). They are the
last line of defense, not a license to log a secret.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Final, cast
from uuid import UUID

from pydantic import SecretBytes, SecretStr

REDACTED: Final = "[redacted]"

_MAX_DEPTH = 8  # deeper than any log line needs; also ends cycles
_MAX_TEXT = 20_000  # characters; tracebacks fit, bodies do not belong here
_BEYOND = 1_000  # characters that are looked at behind those: half of a secret looks like none

# fmt: off
_SECRET_WORDS = frozenset((
    "auth", "authorization", "cookie", "credential", "credentials", "password", "passwd", "pwd", "passphrase",
    "secret", "secrets", "token", "tokens", "serial", "serials", "signature", "sig", "apikey", "privatekey",
    "bearer", "jwt",
))
# Words that are harmless in company ("status_code", "record_key") and secret alone or after one of _OWNERS.
_ALONE = frozenset(("code", "codes", "key", "keys", "pin", "pins"))
_OWNERS = frozenset((
    "activation", "access", "api", "auth", "cd", "encryption", "game", "license", "plain", "private",
    "product", "redeem", "sealing", "secret", "signing", "steam",
))
_ABOUT = frozenset((
    "id", "ids", "count", "at", "age", "name", "type", "index", "kind", "length", "present",
))
# fmt: on
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_NAMES = (
    r"codes?|keys?|serials?|plain|token|access_token|refresh_token|id_token|secret|client_secret|password|"
    r"authorization|api_?key|x-api-key|x-auth-token|x-event-secret|signature"
)
_LOOKS: Final = (
    # pydantic quotes what it refused
    (re.compile(r"input_value=.*?(?=, input_type=)", re.DOTALL), f"input_value={REDACTED}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), rf"\1 {REDACTED}"),
    # a member of quoted JSON or of a Python dict; lists are taken whole
    (
        re.compile(
            rf"""(?ix)(\\?["'](?:{_NAMES})\\?["']\s*:\s*)
                 (\[[^\]]*\]? | \\?"(?:[^"\\]|\\.)*\\?"? | '(?:[^'\\]|\\.)*'? | [^\s,}}\]]+)"""
        ),
        rf"\1{REDACTED}",
    ),
    # a member of an object that was written by `repr`
    (
        re.compile(
            rf"""(?ix)(?<![\w-])((?:{_NAMES})=)
                 (b?"(?:[^"\\]|\\.)*"? | b?'(?:[^'\\]|\\.)*'? | \[(?!\])[^\]]*\]? | \((?!\))[^)]*\)?)"""
        ),
        rf"\1{REDACTED}",
    ),
    # signed links, other queries, and what looks like one
    (
        re.compile(
            r"(?i)((?:[?&](?:code|key|sig)|(?<![\w-])(?:x-amz-(?:signature|credential|security-token)|signature|"
            r"token|access_token|api_?key|secret|client_secret|password))=)(?!\[redacted\])[^&\s\"'<>]+"
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(/o/(?:email/)?)[\w-]{16,}"), rf"\1{REDACTED}"),  # order page tokens, and confirmations of addresses
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{REDACTED}@"),  # passwords in addresses
    (re.compile(r"\b(whsec_|whsk_|re_)[\w+/=]{8,}"), rf"\1{REDACTED}"),  # Svix secrets, Resend keys
)
# Most texts match none of the above; two quick looks decide: each needs one of a few words (`_plain`), and of these.
_SUSPICIOUS = re.compile(r"(?i)input_value=|bearer|basic|[\"']\s*:|\w=|/o/|://|whs[ek]|re_")


# Bounded, as an address is (RFC 5321): a long text without one is looked through once and not again from each letter.
_MAIL_ADDRESS = re.compile(r"[^\s@<>\"'(),:;\\\[\]]{1,64}(?:@|\\u0040)[^\s@<>\"'(),:;\\\[\]]{1,255}")


def without_mail_addresses(text: str) -> str:
    """Return a text, JSON or not, with a mark for each mail address: for what is kept where nothing is taken out.

    JSON may write the sign as an escape, too.
    """
    return _MAIL_ADDRESS.sub("[mail address]", text) if "@" in text or "\\u0040" in text else text


_HARMLESS = frozenset((bool, int, float, type(None)))
_SHOWN = _HARMLESS | {str}


@lru_cache(maxsize=1024)  # the fields of lines that are written often are the same again and again
def _has_secret_name(names: tuple[str, ...]) -> bool:
    return any(map(is_secret_name, names))


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Tell whether a field of this name is kept out of logs whatever it holds."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or (len(words) > 1 and words[-1] in _ABOUT):
        return False
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    return words[-1] in _ALONE and (len(words) == 1 or words[-2] in _OWNERS)


def clean_text(text: str) -> str:
    """Return the text with everything that looks like a secret replaced, cut to a bounded length."""
    if len(text) > _MAX_TEXT:
        cleaned = _without_looks(text[: _MAX_TEXT + _BEYOND])
        return f"{cleaned[:-_BEYOND][:_MAX_TEXT]}... ({len(text)} characters)"
    return _without_looks(text)


def writable(text: str) -> str:
    """Return the text with an escape for each half of a character, which neither UTF-8 nor a record can hold."""
    return text.encode(errors="backslashreplace").decode()


def _without_looks(text: str) -> str:
    if not _plain(text) and _SUSPICIOUS.search(text):
        for look, replacement in _LOOKS:
            text = look.sub(replacement, text)
    return text


def _plain(text: str) -> bool:
    """Tell of a text whether none of `_LOOKS` can match it: five words at C's speed, in place of a pattern's."""
    if not text.isascii() or "=" in text or ":" in text or "/o/" in text or "re_" in text or "whs" in text:
        return False
    lower = text.lower()
    return "bearer" not in lower and "basic" not in lower


def clean(value: object, depth: int = 0) -> object:  # noqa: C901, PLR0911, PLR0912 - a case for each kind
    """Return a value that JSON can hold and that shows no secret."""
    kind = type(value)
    if kind is str:
        return clean_text(cast("str", value))
    if kind in _HARMLESS:
        return value
    match value:
        case Enum():
            return clean(value.value, depth)
        case None | bool() | int() | float():
            return value
        case str():
            return clean_text(value)
        case SecretStr() | SecretBytes():
            return REDACTED
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case Decimal() | UUID():
            return str(value)
        case datetime() | date():
            return value.isoformat()
        case _ if depth >= _MAX_DEPTH:
            return "..."
        case Mapping():
            return {str(key): clean_field(str(key), each, depth + 1) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [clean(each, depth + 1) for each in value]
        case _:
            return clean_text(repr(value))


def clean_field(name: str, value: object, depth: int = 0) -> object:
    """Return what a field of this name may show."""
    if value is None or isinstance(value, bool) or not is_secret_name(name):
        return clean(value, depth)
    return REDACTED


def clean_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """Return what these fields may show. Where nothing looks like a secret, which is nearly always, at one glance."""
    texts = "\0".join([value for value in fields.values() if type(value) is str])
    if len(texts) > _MAX_TEXT or not _plain(texts) or _has_secret_name(tuple(fields)):
        return {name: clean_field(name, value) for name, value in fields.items()}
    return {name: value if type(value) in _SHOWN else clean(value) for name, value in fields.items()}
