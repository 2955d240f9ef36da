"""Signing in and out, by password or by the identity provider."""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from pydantic import Field, SecretStr, StringConstraints

from admin_api.access.gate import CSRF_HEADER, Gate, Visit
from admin_api.access.oidc import SignInRefused
from admin_api.access.rights import Right, Role
from admin_api.access.sessions import Session
from admin_api.api.routing import AnyRoute, Cookie, Door, Reply
from admin_api.api.schemas import Answer, Nothing, Question

_STATE_SECONDS = 600

AccountName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]

_VISIBLE = r"^[\x20-\x7e]*$"
_Told = Annotated[str, StringConstraints(max_length=180, pattern=_VISIBLE)]


class SignIn(Question):
    """A local account and its password."""

    username: AccountName
    password: Annotated[SecretStr, Field(min_length=1, max_length=1024)]


class SignOut(Question):
    """Nothing but the cookie, and the token that only the desk's own page has."""

    csrf: Annotated[str, Field(max_length=200, description="The session's csrfToken")] = ""


class FromProvider(Question):
    """What the provider sends a browser back with (RFC 6749, section 4.1.2): visible ASCII, and in one line."""

    state: Annotated[str, StringConstraints(max_length=100, pattern=_VISIBLE)] = ""
    code: Annotated[str, StringConstraints(max_length=1500, pattern=_VISIBLE)] = ""
    error: Annotated[
        Annotated[str, StringConstraints(max_length=100, pattern=_VISIBLE)] | None,
        Field(description="Why there is no code"),
    ] = None
    error_description: Annotated[_Told | None, Field(alias="error_description")] = None
    error_uri: Annotated[_Told | None, Field(alias="error_uri")] = None
    iss: _Told | None = None
    session_state: Annotated[_Told | None, Field(alias="session_state")] = None
    scope: _Told | None = None


class SessionAnswer(Answer):
    """Who is signed in, what they may do, and until when."""

    user: str
    via: str
    roles: list[Role]
    rights: list[Right]
    csrf_token: Annotated[str, Field(description=f"Goes into the header {CSRF_HEADER} of whatever is not a GET")]
    idle_ends_at: Annotated[datetime, Field(description="Without another request")]
    ends_at: Annotated[datetime, Field(description="In any case")]


class SignInWays(Answer):
    """How people can sign in here."""

    password: bool
    oidc: bool


def _answer(session: Session) -> SessionAnswer:
    return SessionAnswer(
        user=session.asker.name,
        via=session.asker.via,
        roles=sorted(session.asker.roles),
        rights=sorted(session.asker.rights),
        csrf_token=session.csrf_token,
        idle_ends_at=session.idle_ends_at,
        ends_at=session.ends_at,
    )


async def sign_in(gate: Gate, visit: Visit, question: SignIn) -> Reply:
    """Let somebody in."""
    cookie, session = await gate.sign_in(visit, question.username, question.password.get_secret_value())
    return Reply(_answer(session), (Cookie(gate.cookie_name, cookie, "Strict"),))


async def show_session(gate: Gate, visit: Visit, _question: Nothing) -> Reply:
    """Tell who is signed in."""
    return Reply(_answer(await gate.session(visit)))


async def sign_out(gate: Gate, visit: Visit, question: SignOut) -> Reply:
    """End the session."""
    await gate.sign_out(visit, question.csrf)
    return Reply(cookies=(Cookie(gate.cookie_name, None, "Strict"),))


async def show_ways(gate: Gate, _visit: Visit, _question: Nothing) -> Reply:
    """Tell which ways in there are."""
    return Reply(SignInWays(password=True, oidc=gate.provider is not None))


async def to_provider(gate: Gate, visit: Visit, _question: Nothing) -> Reply:
    """Send a browser to the provider's page."""
    url, state = await gate.to_provider(visit)
    return Reply(cookies=(Cookie(gate.state_cookie_name, state, "Lax", _STATE_SECONDS),), location=url)


async def from_provider(gate: Gate, visit: Visit, question: FromProvider) -> Reply:
    """Take a browser back, signed in or with the reason why not."""
    gone = Cookie(gate.state_cookie_name, None, "Lax")
    if question.error is not None or not question.code:
        return Reply(
            cookies=(gone,), location=f"{gate.settings.home}?signIn={quote('The provider has let nobody in.')}"
        )
    try:
        cookie, _ = await gate.from_provider(visit, question.state, question.code)
    except SignInRefused as refused:
        return Reply(cookies=(gone,), location=f"{gate.settings.home}?signIn={quote(str(refused))}")
    return Reply(cookies=(Cookie(gate.cookie_name, cookie, "Strict"), gone), location=gate.settings.home)


_TAG = "Session"

ROUTES: tuple[AnyRoute, ...] = (
    Door(
        method="POST",
        path="/admin/session",
        name="signIn",
        summary="Sign in with a local account; sets the session's cookie",
        tag=_TAG,
        question=SignIn,
        answer=SessionAnswer,
        handle=sign_in,
        problems=(403, 415, 429),
        body=True,
    ),
    Door(
        method="GET",
        path="/admin/session",
        name="showSession",
        summary="Show who is signed in",
        tag=_TAG,
        question=Nothing,
        answer=SessionAnswer,
        handle=show_session,
    ),
    Door(
        method="DELETE",
        path="/admin/session",
        name="signOut",
        summary="Sign out",
        tag=_TAG,
        question=SignOut,
        answer=None,
        handle=sign_out,
        status=204,
        problems=(403,),
        headers=(("csrf", CSRF_HEADER),),
    ),
    Door(
        method="GET",
        path="/admin/session/ways",
        name="showSignInWays",
        summary="Show how people can sign in here",
        tag=_TAG,
        question=Nothing,
        answer=SignInWays,
        handle=show_ways,
    ),
    Door(
        method="GET",
        path="/admin/oidc/login",
        name="signInByProvider",
        summary="Go to the identity provider's page",
        tag=_TAG,
        question=Nothing,
        answer=None,
        handle=to_provider,
        status=302,
        problems=(404,),
    ),
    Door(
        method="GET",
        path="/admin/oidc/callback",
        name="comeFromProvider",
        summary="Come back from the identity provider: to the desk, or with ?signIn= and the reason why not",
        tag=_TAG,
        question=FromProvider,
        answer=None,
        handle=from_provider,
        status=302,
        problems=(404,),
    ),
)
