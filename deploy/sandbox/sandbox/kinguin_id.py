"""Kinguin's token endpoint: OAuth client credentials, form POST."""

import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import BasicAuth

from sandbox.calls import Answer, Call, Refusal
from sandbox.clock import Clock
from sandbox.dials import Panel

# A client that asks for a token with every call is a bug worth surviving.
_KEPT = 100_000


class Tokens:
    """Issues bearer tokens and knows which still live."""

    def __init__(self, panel: Panel, clock: Clock) -> None:
        self._panel = panel
        self._clock = clock
        self._ends: dict[str, float] = {}

    async def issue(self, call: Call) -> Answer:
        """`POST /auth/token` -> `{access_token, token_type, expires_in}`."""
        form = dict(parse_qsl(call.raw.decode("utf-8", "replace"), keep_blank_values=True))
        if form.get("grant_type") != "client_credentials":
            raise Refusal(Answer.of(400, {"error": "unsupported_grant_type"}))
        client_id, client_secret = _credentials(call, form)
        dials = self._panel.dials
        known = hmac.compare_digest(client_id.encode(), dials.kinguin_client_id.encode())
        proven = hmac.compare_digest(client_secret.encode(), dials.kinguin_client_secret.get_secret_value().encode())
        if not (known and proven):
            raise Refusal(Answer.of(401, {"error": "invalid_client"}))
        if len(self._ends) >= _KEPT:
            del self._ends[next(iter(self._ends))]
        token = secrets.token_urlsafe(32)
        self._ends[token] = self._clock() + dials.token_lifetime
        return Answer.of(
            200,
            {"access_token": token, "token_type": "Bearer", "expires_in": dials.token_lifetime},
            {"Cache-Control": "no-store"},
        )

    def lives(self, token: str | None) -> bool:
        """Tell whether this is a token of ours that has not ended."""
        return token is not None and self._clock() < self._ends.get(token, 0.0)

    def revoke_all(self) -> None:
        """End every token at once, as a provider does after a leak."""
        self._ends.clear()


def _credentials(call: Call, form: Mapping[str, str]) -> tuple[str, str]:
    """RFC 6749 allows both: in the form, or as basic authentication."""
    header = call.request.headers.get("Authorization")
    if header is None:
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        basic = BasicAuth.decode(header, encoding="utf-8")
    except ValueError as error:
        raise Refusal(Answer.of(401, {"error": "invalid_client"})) from error
    return basic.login, basic.password
