"""Signing in at the desk by the company's identity provider: a real browser, a real provider."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from admin_api.access.oidc import Provider
from embedded.ports import free_port
from tests.integration.admin_api.api import Api, serve_api
from tests.integration.admin_api.identity_provider import MISSING, identity_provider, is_somebody, settings
from tests.integration.admin_ui.desk import BUILT, Desk, complaint_of, open_desk
from tests.integration.delivery.browser import CHROMIUM

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not BUILT, reason="the desk is not built: make ui"),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]

BUTTON = "Sign in with your company account"


@dataclass
class Company:
    """A desk, and the provider that its people sign in by."""

    api: Api
    issuer: str


@pytest.fixture
async def company(database: str) -> AsyncIterator[Company]:
    port = free_port()  # the provider is told this address before the desk is there
    callback = f"http://127.0.0.1:{port}/admin/oidc/callback"
    with identity_provider(callback) as issuer:
        async with (
            httpx.AsyncClient() as client,
            serve_api(database, provider=Provider(settings(issuer, callback), client), port=port) as api,
        ):
            yield Company(api, issuer)


async def sign_in(desk: Desk) -> None:
    await desk.see(BUTTON)
    await desk.click(BUTTON)


async def test_one_click_leads_by_the_provider_into_the_desk_with_the_groups_role(company: Company):
    await is_somebody(company.issuer, "grace", "helpdesk")
    async with open_desk(company.api, signed_in=False) as desk:
        await desk.tab.open(f"{desk.url}/")
        await desk.see(BUTTON)
        assert await desk.violations() == []
        await desk.picture("sign-in-oidc")
        await sign_in(desk)
        await desk.see("Overview", within="h1")
        await desk.see("grace", within="header")
        assert await desk.tab.js("location.pathname + location.search") == "/"
        await desk.click("Stock")
        await desk.see("No codes have been imported yet.")
        assert "Import codes" not in await desk.text(), "that is not for the help desk"
        assert await desk.tab.js("document.cookie") == "", "no script sees the session"
        await desk.tab.open(f"{desk.url}/orders")  # it outlasts the page
        await desk.see("No order has been placed yet.")
        await desk.click("Sign out")
        await desk.see(BUTTON)
        complaint_of(desk.tab, "401")
    written = await company.api.ports.pool.fetch("select action, actor, via from audit_log order by number")
    assert [tuple(row) for row in written] == [
        ("signIn", "grace@example.com", "oidc"),
        ("signOut", "grace@example.com", "oidc"),
    ]


async def test_who_has_no_role_here_is_told_so_where_they_came_from(company: Company):
    await is_somebody(company.issuer, "mallory", "-")
    async with open_desk(company.api, signed_in=False) as desk:
        await desk.tab.open(f"{desk.url}/")
        await sign_in(desk)
        await desk.see("The provider gives this person no role here.")
        await desk.see(BUTTON)
        await desk.picture("sign-in-refused")
        complaint_of(desk.tab, "401")
