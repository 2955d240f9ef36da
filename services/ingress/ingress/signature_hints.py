"""Why an honest signature of NOWPayments may not fit: the forms that its own texts name beside the real one. Pure.

Contract "NOWPayments", section 5. A body that fits one of them is refused all the same, for none of them covers all
of what is acted upon; but whoever looks why notifications are refused is told.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import SecretStr

_LONGEST = 64 * 1024  # nobody gets more than this much of our time for a body that proves nothing


def _compact(value: Any, *, ascii_only: bool) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode(errors="surrogatepass")


def _sorted(value: Any, *, lists_too: bool) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key], lists_too=lists_too) for key in sorted(value)}
    if isinstance(value, list):
        parts = [_sorted(each, lists_too=lists_too) for each in value]
        return {str(n): each for n, each in enumerate(parts)} if lists_too else parts
    return value


def _only(value: Any, names: frozenset[str]) -> Any:
    """Leave out what a replacer list of the outermost names leaves out."""
    if isinstance(value, dict):
        return {key: _only(value[key], names) for key in sorted(names) if key in value}
    return [_only(each, names) for each in value] if isinstance(value, list) else value


_FORMS: dict[str, Callable[[Any], bytes]] = {
    "nested_members_left_out": lambda body: _compact(_only(body, frozenset(body)), ascii_only=False),
    "lists_as_objects": lambda body: _compact(_sorted(body, lists_too=True), ascii_only=False),
    "python_json": lambda body: _compact(_sorted(body, lists_too=False), ascii_only=True),
    "python_json_with_spaces": lambda body: json.dumps(body, sort_keys=True).encode(),
    "not_sorted": lambda body: _compact(body, ascii_only=False),
}


def other_form(raw: bytes, header: str, secrets: Sequence[SecretStr]) -> str:
    """Return the name of the form that one of our secrets has signed, empty when none has."""
    if len(raw) > _LONGEST:
        return ""
    try:
        body, given = json.loads(raw), bytes.fromhex(header.strip())
    except (ValueError, RecursionError):
        return ""
    keys = [key for each in secrets if (key := each.get_secret_value().strip().encode())]
    if not isinstance(body, dict):
        return ""
    for name, form in _FORMS.items():
        message = form(body)
        if any(hmac.compare_digest(given, hmac.digest(key, message, hashlib.sha512)) for key in keys):
            return name
    return ""
