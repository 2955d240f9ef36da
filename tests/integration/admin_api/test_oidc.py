"""Signing in by an identity provider: a real one, run by node."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest
from aiohttp import ClientResponse
from pydantic import SecretStr

from admin_api.access.oidc import Provider, SignInRefused
from admin_api.access.rights import Role
from tests.integration.admin_api.api import Api, serve_api
from tests.integration.admin_api.identity_provider import MISSING, identity_provider, is_somebody, settings

DESK = "http://127.0.0.1:8080"
CALLBACK = f"{DESK}/admin/oidc/callback"

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with identity_provider(CALLBACK) as issuer:
        yield issuer


@asynccontextmanager
async def desk(database: str, issuer: str, **changes) -> AsyncIterator[Api]:
    async with (
        httpx.AsyncClient() as client,
        serve_api(database, provider=Provider(settings(issuer, CALLBACK, **changes), client)) as api,
    ):
        yield api


async def begin(api: Api) -> str:
    """Go to the provider, as a browser does; return the address of its page."""
    response = await api.client.get("/admin/oidc/login", allow_redirects=False)
    assert response.status == 302
    return response.headers["Location"]


async def at_the_provider(address: str) -> str:
    """Sign in there; return where it sends the browser back to."""
    async with httpx.AsyncClient() as browser:
        for _ in range(10):
            response = await browser.get(address)
            address = str(response.next_request.url) if response.next_request else ""
            assert address, response.text
            if address.startswith(CALLBACK):
                return address
    pytest.fail("the provider does not send the browser back")


async def come_back(api: Api, address: str) -> ClientResponse:
    return await api.client.get(f"/admin/oidc/callback?{urlsplit(address).query}", allow_redirects=False)


def changed(address: str, **query: str) -> str:
    parts = urlsplit(address)
    return parts._replace(query=urlencode(dict(parse_qsl(parts.query)) | query)).geturl()


async def test_a_person_comes_in_with_the_role_of_their_group(database: str, issuer: str):
    await is_somebody(issuer, "grace", "helpdesk")
    async with desk(database, issuer) as api:
        assert (await (await api.ask("/admin/session/ways", token=None)).json())["oidc"] is True
        page = await begin(api)
        asked = parse_qs(urlsplit(page).query)
        assert (asked["response_type"], asked["code_challenge_method"]) == (["code"], ["S256"])
        back = await come_back(api, await at_the_provider(page))
        assert (back.status, back.headers["Location"]) == (302, "/")
        session = await (await api.ask("/admin/session", token=None)).json()
        assert session["via"] == "oidc"
        assert session["roles"] == ["support"]
        assert (await api.ask("/admin/orders", token=None)).status == 200
        written = await api.ports.pool.fetch("select action, result, via from audit_log")
        assert [tuple(row) for row in written] == [("signIn", "done", "oidc")]


@pytest.mark.parametrize(
    ("verified", "name"), [("true", "mallory@example.com"), ("", "mallory@example.com"), ("false", "mallory")]
)
async def test_nobody_is_known_by_a_mail_address_that_is_said_not_to_be_verified(
    database: str, issuer: str, verified: str, name: str
):
    await is_somebody(issuer, "mallory", "helpdesk", verified)
    async with desk(database, issuer) as api:
        await come_back(api, await at_the_provider(await begin(api)))
        assert (await (await api.ask("/admin/session", token=None)).json())["user"] == name


async def test_nobody_begins_sign_ins_without_end(database: str, issuer: str):
    async with desk(database, issuer) as api:
        await begin(api)
        used_up = "update access_limits set tries_left = 0, refilled_at = now() + interval '1 hour'"
        assert await api.ports.pool.execute(used_up) == "UPDATE 1"
        response = await api.client.get("/admin/oidc/login", allow_redirects=False)
        assert (response.status, response.content_type) == (429, "application/problem+json")
        assert await api.ports.pool.fetchval("select count(*) from oidc_sign_ins") == 1


async def refusal(api: Api, address: str) -> str:
    back = await come_back(api, address)
    assert back.status == 302
    assert (await api.ask("/admin/session", token=None)).status == 401
    (reason,) = parse_qs(urlsplit(back.headers["Location"]).query)["signIn"]
    return reason


@pytest.mark.parametrize("group", ["-", "accounting"])
async def test_a_person_without_a_role_stays_outside(database: str, issuer: str, group: str):
    await is_somebody(issuer, "mallory", group)
    async with desk(database, issuer) as api:
        reason = await refusal(api, await at_the_provider(await begin(api)))
        assert reason == "The provider gives this person no role here."
        assert await api.ports.pool.fetchval("select result from audit_log") == "refused"


async def test_a_sign_in_counts_once_and_for_the_browser_that_began_it(database: str, issuer: str):
    await is_somebody(issuer, "ada", "desk-admins")
    async with desk(database, issuer) as api, desk(database, issuer) as other:
        address = await at_the_provider(await begin(api))
        assert await refusal(other, address) == "This browser has not begun this sign-in."
        assert await refusal(api, changed(address, state="forged")) == "This browser has not begun this sign-in."
        begun = await at_the_provider(await begin(api))
        await api.ports.pool.execute("update oidc_sign_ins set ends_at = now()")
        assert await refusal(api, begun) == "This sign-in is over: begin it again."


async def test_a_code_that_is_not_the_providers_is_refused(database: str, issuer: str):
    async with desk(database, issuer) as api:
        address = changed(await at_the_provider(await begin(api)), code="forged")
        assert await refusal(api, address) == "The provider refuses the sign-in (400)."
        page = await begin(api)
        denied = f"{CALLBACK}?error=access_denied&state={parse_qs(urlsplit(page).query)['state'][0]}"
        assert await refusal(api, denied) == "The provider has let nobody in."


async def test_a_wrong_secret_of_ours_lets_nobody_in(database: str, issuer: str):
    async with desk(database, issuer, client_secret=SecretStr("wrong")) as api:
        assert await refusal(api, await at_the_provider(await begin(api))) == "The provider refuses the sign-in (401)."


async def test_an_answer_for_another_sign_in_is_refused(issuer: str):
    async with httpx.AsyncClient() as client:
        provider = Provider(settings(issuer, CALLBACK), client)
        beginning = await provider.begin()
        (code,) = parse_qs(urlsplit(await at_the_provider(beginning.url)).query)["code"]
        with pytest.raises(SignInRefused, match="not for this sign-in"):
            await provider.finish(code, "another nonce", beginning.verifier)
        beginning = await provider.begin()
        (code,) = parse_qs(urlsplit(await at_the_provider(beginning.url)).query)["code"]
        with pytest.raises(SignInRefused, match="400"):
            await provider.finish(code, beginning.nonce, "another verifier " * 4)
        await is_somebody(issuer, "ada", "desk-admins")
        beginning = await provider.begin()
        (code,) = parse_qs(urlsplit(await at_the_provider(beginning.url)).query)["code"]
        assert (await provider.finish(code, beginning.nonce, beginning.verifier)).roles == {Role.ADMIN}


async def test_while_the_provider_is_away_it_is_503(database: str):
    async with desk(database, "http://127.0.0.1:1") as api:
        response = await api.client.get("/admin/oidc/login", allow_redirects=False)
        assert (response.status, (await response.json())["cause"]) == (503, "provider_unavailable")


async def test_without_a_provider_there_is_no_way_to_one(api: Api):
    assert (await api.client.get("/admin/oidc/login")).status == 404
    assert (await (await api.ask("/admin/session/ways", token=None)).json()) == {"password": True, "oidc": False}
