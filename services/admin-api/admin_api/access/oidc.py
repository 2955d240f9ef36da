"""Sign-in by an identity provider: OpenID Connect's code flow with PKCE.

Sources: OpenID Connect Core 1.0, sections 3.1.2 and 3.1.3.7; RFC 7636 (PKCE); RFC 9700.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, SecretStr, ValidationError

from admin_api.access.rights import Role, roles_of
from bitloot.errors import Cause, Transient

_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]
_FRESH_SECONDS = 3600.0
_TIMEOUT = httpx.Timeout(10.0)
_MAX_BYTES = 1 << 20
_LEEWAY_SECONDS = 60  # between the provider's clock and ours
_MAX_NAME = 200


class SignInRefused(Exception):  # noqa: N818 - it says what happened
    """The provider, or what it says about the person, does not let them in; the sentence says why."""


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """How we are known to the provider, and which of its groups has which role here."""

    issuer: str
    client_id: str
    client_secret: SecretStr | None
    redirect_url: str
    roles_claim: str
    roles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where to send a browser, and what to remember until it comes back."""

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who has signed in."""

    name: str
    roles: frozenset[Role]


class _Metadata(BaseModel):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


def _may_be_theirs(claims: Mapping[str, Any]) -> bool:
    """Tell whether the mail address is the person's own, unless the provider says that nobody has looked."""
    return str(claims.get("email_verified", True)).lower() != "false"  # some send it as a text


class Provider:
    """One identity provider. All its methods raise `Transient` while it cannot be reached."""

    def __init__(self, settings: OidcSettings, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._client = client
        self._metadata: _Metadata | None = None
        self._keys: KeySet | None = None
        self._read_at = 0.0

    async def begin(self) -> Beginning:
        """Return how somebody signs in."""
        metadata, _ = await self._known()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._settings.redirect_url,
            "scope": "openid email profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return Beginning(f"{metadata.authorization_endpoint}{joint}{urlencode(query)}", state, nonce, verifier)

    async def finish(self, code: str, nonce: str, verifier: str) -> Person:
        """Return who it is that has come back with a code. Raises `SignInRefused`."""
        metadata, _ = await self._known()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings.redirect_url,
            "code_verifier": verifier,
        }
        secret = self._settings.client_secret
        auth: httpx.BasicAuth | None = None
        if secret is None:
            form["client_id"] = self._settings.client_id
        else:
            auth = httpx.BasicAuth(self._settings.client_id, secret.get_secret_value())
        answer = await self._ask("POST", metadata.token_endpoint, data=form, auth=auth)
        claims = await self._claims(str(answer.get("id_token", "")), nonce)
        email = claims.get("email") if _may_be_theirs(claims) else None
        name = str(email or claims.get("preferred_username") or claims["sub"])[:_MAX_NAME]
        roles = self._roles(claims.get(self._settings.roles_claim))
        if not roles:
            raise SignInRefused("The provider gives this person no role here.")
        return Person(name, roles)

    async def _claims(self, id_token: str, nonce: str) -> Mapping[str, Any]:
        """Return what the provider says of the person, checked as section 3.1.3.7 has it."""
        _, keys = await self._known()
        try:
            token = jwt.decode(id_token, keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            # Perhaps signed with a key that is newer than what we know.
            _, keys = await self._known(anew=True)
            try:
                token = jwt.decode(id_token, keys, algorithms=_ALGORITHMS)
            except (JoseError, ValueError) as error:
                raise SignInRefused(f"The provider's answer is not signed by it: {type(error).__name__}.") from None
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            registry.validate(token.claims)
        except JoseError as error:
            raise SignInRefused(f"The provider's answer is not for this sign-in: {error.error}.") from None
        if token.claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise SignInRefused("The provider's answer is for somebody else.")
        return token.claims

    def _roles(self, claim: object) -> frozenset[Role]:
        groups = [claim] if isinstance(claim, str) else claim if isinstance(claim, list) else []
        return roles_of(self._settings.roles.get(str(group), "") for group in groups)

    async def _known(self, *, anew: bool = False) -> tuple[_Metadata, KeySet]:
        fresh = time.monotonic() - self._read_at < _FRESH_SECONDS
        if self._metadata is None or self._keys is None or anew or not fresh:
            address = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                metadata = _Metadata.model_validate(await self._ask("GET", address))
                keys: KeySet = KeySet.import_key_set(await self._ask("GET", metadata.jwks_uri))  # type: ignore[arg-type]
            except (ValidationError, JoseError, ValueError) as error:
                raise Transient(
                    Cause.BAD_ANSWER, f"the identity provider's settings cannot be read: {type(error).__name__}"
                ) from None
            if metadata.issuer != self._settings.issuer:
                raise Transient(Cause.BAD_ANSWER, "the identity provider calls itself by another name than OIDC_ISSUER")
            self._metadata, self._keys, self._read_at = metadata, keys, time.monotonic()
        return self._metadata, self._keys

    async def _ask(
        self, method: str, url: str, *, data: Mapping[str, str] | None = None, auth: httpx.BasicAuth | None = None
    ) -> dict[str, Any]:
        try:
            answer = await self._client.request(method, url, data=data, auth=auth, timeout=_TIMEOUT)
        except httpx.HTTPError as error:
            raise Transient(Cause.PROVIDER_UNAVAILABLE, f"the identity provider: {type(error).__name__}") from None
        if answer.status_code >= 500:
            raise Transient(Cause.PROVIDER_UNAVAILABLE, f"the identity provider answers {answer.status_code}")
        if answer.status_code >= 400:
            raise SignInRefused(f"The provider refuses the sign-in ({answer.status_code}).")
        try:
            value = answer.json() if len(answer.content) <= _MAX_BYTES else None
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Transient(Cause.BAD_ANSWER, "the identity provider's answer cannot be read")
        return value
