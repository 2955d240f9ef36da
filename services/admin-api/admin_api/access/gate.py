"""The gate: who asks, by which of the ways in, and whether they may."""

import contextlib
import hashlib
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web
from pydantic import SecretStr

from admin_api.access.audit import AuditLog, Entry, Result
from admin_api.access.limits import Limit, Limits
from admin_api.access.oidc import Provider, SignInRefused
from admin_api.access.passwords import Passwords
from admin_api.access.rights import NOBODY, Asker, Right, Role, roles_of, those_with
from admin_api.access.sessions import Session, Sessions, csrf_matches
from admin_api.access.sql import SQL
from admin_api.access.tokens import Tokens
from admin_api.database import Pool
from bitloot.errors import Transient
from bitloot.ledger import translated
from bitloot.problem import Problem
from bitloot.proxies import Networks, client_address
from bitloot.signing import bearer_token, token_equal

CSRF_HEADER = "X-CSRF-Token"
SAFE = frozenset({"GET", "HEAD"})

# People mistype a few times; what tries more is a script. An account's own limit is wider, so that nobody is kept out
# by somebody else who tries in their name from one address.
_LOGIN_HERE = Limit(burst=5, per_minute=5)
_LOGIN_ADDRESS = Limit(burst=30, per_minute=30)
_LOGIN_ACCOUNT = Limit(burst=60, per_minute=30)
_WRONG_TOKENS = Limit(burst=60, per_minute=60)
_SIGN_IN_TIME = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """What operators set.

    `secure` tells whether browsers come by HTTPS, `home` where the desk's page is, and `proxies`, ours, who asks.
    """

    tokens: tuple[SecretStr, ...]
    secure: bool
    idle: timedelta
    whole: timedelta
    token_requests: Limit
    home: str = "/"
    proxies: Networks = ()


@dataclass(frozen=True, slots=True)
class Visit:
    """A request, as far as signing in and out is concerned."""

    address: str
    cookie: str | None
    state_cookie: str | None
    fetch_site: str


class Gate:
    """All ways in. Its methods raise `Transient` while Postgres is away."""

    def __init__(self, settings: AccessSettings, pool: Pool, provider: Provider | None = None) -> None:
        self.settings = settings
        self.audit = AuditLog(pool)
        self.provider = provider
        self._pool = pool
        self._passwords = Passwords()
        self._limits = Limits(pool)
        self._tokens = Tokens(pool)
        self._sessions = Sessions(pool, settings.idle, settings.whole)

    @property
    def cookie_name(self) -> str:
        """The session's cookie; browsers keep `__Host-` to HTTPS, this host and the whole path."""
        return "__Host-bitloot" if self.settings.secure else "bitloot"

    @property
    def state_cookie_name(self) -> str:
        """The cookie of a sign-in that is under way at the provider."""
        return f"{self.cookie_name}-sign-in"

    def visit(self, request: web.Request) -> Visit:
        """Return what a request tells about its sender."""
        forwarded = request.headers.getall("X-Forwarded-For", [])
        return Visit(
            address=client_address(request.remote or "", forwarded, self.settings.proxies),
            cookie=request.cookies.get(self.cookie_name),
            state_cookie=request.cookies.get(self.state_cookie_name),
            fetch_site=request.headers.get("Sec-Fetch-Site", ""),
        )

    async def asker(self, request: web.Request) -> Asker:
        """Return who asks. Raises the problem to answer with when nobody known does."""
        authorization = request.headers.get("Authorization")
        visit = self.visit(request)
        if authorization is None and visit.cookie is not None:
            session = await self.session(visit)
            if request.method not in SAFE and not csrf_matches(session, request.headers.get(CSRF_HEADER)):
                raise Problem(403, f"The header {CSRF_HEADER} is missing, or is not this session's.")
            return session.asker
        return await self._by_token(bearer_token(authorization), visit.address)

    async def _by_token(self, token: str | None, address: str) -> Asker:
        if token_equal(token, self.settings.tokens):
            return Asker("admin", "setting", frozenset({Role.ADMIN}))
        found = await self._tokens.asker(token) if token else None
        if found is not None:
            identity, asker = found
            await self._limits.take(f"token/{identity}", self.settings.token_requests)
            await self._tokens.used(identity)
            return asker
        if token:
            with contextlib.suppress(Transient):  # without the database nobody guesses anything either
                await self._limits.take(f"wrong-token/{address}", _WRONG_TOKENS)
        raise _unknown()

    async def session(self, visit: Visit) -> Session:
        """Return whose session a visit has. Raises a 401 when it is over."""
        session = await self._sessions.find(visit.cookie) if visit.cookie else None
        if session is None:
            raise _unknown("The session is over: sign in again.")
        return session

    async def sign_in(self, visit: Visit, name: str, password: str) -> tuple[str, Session]:
        """Let somebody in who knows an account's password; return the cookie and the session."""
        if visit.fetch_site == "cross-site":
            raise Problem(403, "Other sites cannot sign people in.")
        await self._limits.take(f"login/{visit.address}", _LOGIN_ADDRESS)
        await self._limits.take(f"login/{_short(name)}", _LOGIN_ACCOUNT)
        await self._limits.take(f"login/{visit.address}/{_short(name)}", _LOGIN_HERE)
        with translated():
            account = await self._pool.fetchrow(SQL["account"], name)
        if not await self._passwords.matches(password, account["password_hash"] if account else None):
            await self._note(NOBODY, name, Result.REFUSED, "password", visit)
            raise Problem(401, "The name or the password is wrong.")
        assert account is not None  # noqa: S101 - a password matches an account's only
        return await self._begin(name, "password", roles_of(account["roles"]), visit)

    async def sign_out(self, visit: Visit, csrf_token: str | None) -> None:
        """Let a session be over."""
        session = await self.session(visit)
        if not csrf_matches(session, csrf_token):
            raise Problem(403, f"The header {CSRF_HEADER} is missing, or is not this session's.")
        await self._sessions.end(visit.cookie or "")
        await self.audit.add(Entry(session.asker, "signOut", session.asker.name, Result.DONE))

    async def to_provider(self, visit: Visit) -> tuple[str, str]:
        """Return the address of the provider's page, and the state to keep in a cookie. Raises a 429."""
        await self._limits.take(f"sign-in/{visit.address}", _LOGIN_ADDRESS)  # each is a row
        beginning = await self._provider().begin()
        with translated():
            await self._pool.execute(
                SQL["begin_sign_in"], _state(beginning.state), beginning.nonce, beginning.verifier, _SIGN_IN_TIME
            )
        return beginning.url, beginning.state

    async def from_provider(self, visit: Visit, state: str, code: str) -> tuple[str, Session]:
        """Let somebody in who comes back from the provider's page. Raises `SignInRefused`."""
        if not visit.state_cookie or _state(visit.state_cookie) != _state(state):
            raise SignInRefused("This browser has not begun this sign-in.")
        with translated():
            begun = await self._pool.fetchrow(SQL["end_sign_in"], _state(state))
        if begun is None:
            raise SignInRefused("This sign-in is over: begin it again.")
        try:
            person = await self._provider().finish(code, begun["nonce"], begun["verifier"])
        except SignInRefused as refused:
            await self._note(NOBODY, "", Result.REFUSED, "oidc", visit, str(refused))
            raise
        return await self._begin(person.name, "oidc", person.roles, visit)

    def _provider(self) -> Provider:
        if self.provider is None:
            raise Problem(404, "No identity provider is set up.")
        return self.provider

    async def _begin(self, name: str, via: str, roles: frozenset[Role], visit: Visit) -> tuple[str, Session]:
        cookie, session = await self._sessions.begin(name, via, roles, visit.address)
        await self._note(session.asker, name, Result.DONE, via, visit)
        return cookie, session

    async def _note(self, asker: Asker, name: str, result: Result, via: str, visit: Visit, reason: str = "") -> None:
        details = {"by": via, "address": visit.address}
        await self.audit.add(Entry(asker, "signIn", name, result, reason, details))


def check_right(asker: Asker, right: Right) -> None:
    """Raise the 403 to answer with when somebody may not do something."""
    if right not in asker.rights:
        allowed = [str(role) for role in those_with(right)]
        raise Problem(403, f"This needs one of the roles {', '.join(allowed)}.", right=str(right), roles=allowed)


def _unknown(detail: str = "A bearer token or a session is needed.") -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="admin"'})


def _short(name: str) -> str:
    return hashlib.sha256(name.lower().encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _state(state: str) -> bytes:
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).digest()
