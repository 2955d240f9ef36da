"""Ways in: tokens, accounts, sessions; what each role may do; limits; and what is written down."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientResponse
from pydantic import ValidationError

from admin_api.access.audit import AuditLog
from admin_api.access.passwords import Passwords
from admin_api.access.rights import RIGHTS, Right, Role
from admin_api.access.sql import SQL
from admin_api.access.tokens import Tokens
from admin_api.api.routes import ROUTES
from admin_api.api.routing import Door
from admin_api.settings import ApiSettings
from bitloot.contracts.state import OrderStatus
from tests.integration.admin_api.api import TOKEN, Api, serve_api
from tests.unit.admin_api import records

PASSWORD = "correct horse battery"
HASH = Passwords().hash(PASSWORD)


async def account(api: Api, name: str, *roles: Role) -> None:
    await api.ports.pool.execute(SQL["store_account"], name, HASH, list(roles))


async def sign_in(api: Api, name: str = "ada", password: str = PASSWORD, **headers: str) -> ClientResponse:
    return await api.client.post("/admin/session", json={"username": name, "password": password}, headers=headers)


async def signed_in(api: Api, *roles: Role, name: str = "ada") -> dict[str, Any]:
    await account(api, name, *roles)
    response = await sign_in(api, name)
    assert response.status == 200
    return await response.json()


async def audit(api: Api) -> list[asyncpg.Record]:
    return await api.ports.pool.fetch("select actor, action, target, result, reason from audit_log order by number")


async def test_a_person_signs_in_looks_and_signs_out(api: Api):
    session = await signed_in(api, Role.SUPPORT)
    assert (session["user"], session["roles"], session["via"]) == ("ada", ["support"], "password")
    assert (await api.ask("/admin/orders", token=None)).status == 200
    again = await (await api.ask("/admin/session", token=None)).json()
    assert again["csrfToken"] == session["csrfToken"]
    out = await api.client.delete("/admin/session", headers={"X-CSRF-Token": session["csrfToken"]})
    assert out.status == 204
    assert (await api.ask("/admin/orders", token=None)).status == 401
    assert [row["action"] for row in await audit(api)] == ["signIn", "signOut"]


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(api: Api):
    await account(api, "ada", Role.VIEWER)
    cookie = (await sign_in(api)).headers["Set-Cookie"]
    assert cookie.startswith("bitloot=")
    assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert "Domain" not in cookie


async def test_behind_https_the_cookie_is_bound_to_this_host(database: str):
    async with serve_api(database, admin_public_url="https://desk.example.com") as api:
        await account(api, "ada", Role.VIEWER)
        cookie = (await sign_in(api)).headers["Set-Cookie"]
    assert cookie.startswith("__Host-bitloot=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"} <= set(cookie.split("; "))


@pytest.mark.parametrize(
    ("name", "password"), [("ada", "wrong password"), ("nobody", PASSWORD), ("ADA", PASSWORD), ("ada", PASSWORD + " ")]
)
async def test_a_wrong_name_or_password_says_which_of_them_to_nobody(api: Api, name: str, password: str):
    await account(api, "ada", Role.VIEWER)
    response = await sign_in(api, name, password)
    assert response.status == 401
    assert (await response.json())["detail"] == "The name or the password is wrong."
    assert [(row["target"], row["result"]) for row in await audit(api)] == [(name, "refused")]


async def test_guessing_ends_soon_and_for_all_replicas(api: Api, database: str):
    await account(api, "ada", Role.VIEWER)
    async with serve_api(database) as other:
        statuses = [(await sign_in(each, password="guess")).status for each in [api, other] * 4]
        assert statuses == [401] * 5 + [429] * 3
        refused = await sign_in(other)
        assert refused.status == 429
        assert int(refused.headers["Retry-After"]) > 0


async def test_behind_a_proxy_of_ours_nobody_is_kept_out_by_who_guesses_in_their_name(database: str):
    async with serve_api(database, trusted_proxies="127.0.0.0/8") as api:
        await account(api, "ada", Role.VIEWER)
        guesses = [
            (await sign_in(api, password="guess", **{"X-Forwarded-For": "203.0.113.9"})).status for _ in range(6)
        ]
        assert guesses == [401] * 5 + [429]
        assert (await sign_in(api, **{"X-Forwarded-For": "198.51.100.7"})).status == 200
        told = await api.ports.pool.fetch("select details ->> 'address' as address from audit_log order by number")
        assert [row["address"] for row in told] == ["203.0.113.9"] * 5 + ["198.51.100.7"]


@pytest.mark.parametrize("column", ["idle_ends_at", "ends_at"])
async def test_a_session_ends(api: Api, column: str):
    await signed_in(api, Role.ADMIN)
    await api.ports.pool.execute(f"update admin_sessions set {column} = now() - interval '1 second'")  # noqa: S608
    response = await api.ask("/admin/orders", token=None)
    assert (response.status, (await response.json())["detail"]) == (401, "The session is over: sign in again.")


async def test_a_session_that_is_used_goes_on_but_never_past_its_end(api: Api):
    await signed_in(api, Role.ADMIN)
    await api.ports.pool.execute(
        "update admin_sessions set seen_at = now() - interval '1 hour', idle_ends_at = now() + interval '1 minute', "
        "ends_at = now() + interval '5 minutes'"
    )
    await api.ask("/admin/orders", token=None)
    left = await api.ports.pool.fetchval("select ends_at - idle_ends_at from admin_sessions")
    assert left == timedelta(0)


async def test_an_account_that_is_disabled_is_out_at_once_and_roles_count_as_they_are(api: Api):
    await signed_in(api, Role.ADMIN)
    await api.ports.pool.execute("update admin_accounts set roles = '{viewer}'")
    assert (await (await api.ask("/admin/session", token=None)).json())["roles"] == ["viewer"]
    await api.ports.pool.execute(SQL["disable_account"], "ada")
    assert (await api.ask("/admin/orders", token=None)).status == 401
    assert (await sign_in(api)).status == 401


async def test_cross_site_requests_do_nothing(api: Api):
    await api.seed(api.ports.topics.state, records.snapshot(1, status=OrderStatus.PAID, closed_at=None))
    session = await signed_in(api, Role.ADMIN)
    path = f"/admin/orders/{records.order(1)}/reprocess"
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "forged"}, {"X-CSRF-Token": session["csrfToken"][:-1]}):
        assert (await api.client.post(path, headers=headers)).status == 403
        assert (await api.client.delete("/admin/session", headers=headers)).status == 403
    form = await api.client.post("/admin/session", data={"username": "ada", "password": PASSWORD})
    assert form.status == 415
    assert (await sign_in(api, **{"Sec-Fetch-Site": "cross-site"})).status == 403
    assert [row["action"] for row in await audit(api)] == ["signIn"]
    # The same with the right header gets as far as Kafka, which is away here.
    assert (await api.client.post(path, headers={"X-CSRF-Token": session["csrfToken"]})).status == 503


async def test_a_viewer_calls_no_action_and_is_told_who_may(api: Api):
    session = await signed_in(api, Role.VIEWER)
    headers = {"X-CSRF-Token": session["csrfToken"]}
    for route in ROUTES:
        if isinstance(route, Door) or route.right in RIGHTS[Role.VIEWER]:
            continue
        path = route.path.replace("{id}", "1").replace("{productId}", "game")
        response = await api.client.request(route.method, path, headers=headers)
        problem = await response.json()
        assert (response.status, problem["right"]) == (403, route.right), path
        assert "viewer" not in problem["roles"]
    assert [row["action"] for row in await audit(api)] == ["signIn"]


def test_each_role_has_all_that_the_one_before_it_has():
    steps = [Role.VIEWER, Role.SUPPORT, Role.OPERATOR, Role.ADMIN]
    for less, more in itertools.pairwise(steps):
        assert RIGHTS[less] < RIGHTS[more]
    assert RIGHTS[Role.AUDITOR] == {Right.READ, Right.READ_AUDIT}
    assert Right.READ_AUDIT not in RIGHTS[Role.OPERATOR]


async def test_a_token_works_until_it_ends_or_is_revoked(api: Api):
    tokens = Tokens(api.ports.pool)
    made = await tokens.create("ci", frozenset({Role.VIEWER}), "ada", datetime.now(UTC) + timedelta(hours=1))
    assert (await api.ask("/admin/orders", token=made.text)).status == 200
    for forged in (
        made.text[:-1],
        made.text + "x",
        made.text.replace("blt_", "blt_0"),
        "blt_" + "0" * 12 + made.text[16:],
    ):
        assert (await api.ask("/admin/orders", token=forged)).status == 401
    assert (await api.ask(f"/admin/orders/{records.order(1)}/reprocess", token=made.text, method="POST")).status == 403
    await api.ports.pool.execute("update admin_tokens set expires_at = now()")
    assert (await api.ask("/admin/orders", token=made.text)).status == 401
    other = await tokens.create("ci", frozenset({Role.VIEWER}), "ada", None)
    assert await tokens.revoke(other.id) == "ci"
    assert await tokens.revoke(other.id) is None
    assert (await api.ask("/admin/orders", token=other.text)).status == 401


async def test_a_token_is_stored_as_a_hash_only(api: Api):
    made = await Tokens(api.ports.pool).create("ci", frozenset({Role.VIEWER}), "ada", None)
    kept = str(dict(await api.ports.pool.fetchrow("select * from admin_tokens")))
    assert made.text.rpartition("_")[2] not in kept


async def test_a_token_that_asks_too_often_waits(database: str):
    async with serve_api(database, token_requests_per_minute=3) as api:
        made = await Tokens(api.ports.pool).create("ci", frozenset({Role.VIEWER}), "ada", None)
        statuses = [(await api.ask("/admin/orders", token=made.text)).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


@pytest.fixture
async def filled(api: Api) -> AsyncIterator[Api]:
    await api.seed(api.ports.topics.state, records.snapshot(1))
    await api.seed(api.ports.topics.webhooks, records.webhook(1))
    await api.seed(api.ports.topics.dead_letters, records.letter(1))
    return api


@pytest.mark.parametrize(
    ("role", "seen"),
    [(Role.VIEWER, ""), (Role.SUPPORT, "address"), (Role.OPERATOR, "address body"), (Role.AUDITOR, "")],
)
async def test_a_token_sees_addresses_and_bodies_as_its_role_has_the_right_to(filled: Api, role: Role, seen: str):
    token = (await Tokens(filled.ports.pool).create("t", frozenset({role}), "ada", None)).text
    (order,) = (await (await filled.ask("/admin/orders", token=token)).json())["items"]
    (log,) = (await (await filled.ask("/admin/webhook-logs", token=token)).json())["items"]
    (letter,) = (await (await filled.ask("/admin/dead-letters", token=token)).json())["items"]
    plain = (await filled.page("/admin/orders"))["items"][0]["email"]
    assert order["email"] == (plain if "address" in seen else f"{plain[0]}***@{plain.partition('@')[2]}")
    assert (log["body"] != "(hidden)", log["event"] != "(hidden)", letter["value"] != "(hidden)") == (
        "body" in seen,
    ) * 3
    assert all((value != "(hidden)") is ("body" in seen) for value in log["headers"].values())


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
async def test_what_is_masked_is_not_found_by_trying(filled: Api, role: Role):
    token = (await Tokens(filled.ports.pool).create("t", frozenset({role}), "ada", None)).text
    email = (await filled.page("/admin/orders"))["items"][0]["email"]
    assert await filled.ids("/admin/orders", q=email[:5]) == [records.order(1)]
    for path in ("/admin/orders", "/admin/orders.csv"):
        found = await filled.ask(path, token=token, q=email[:5])
        assert (found.status, email[0] + "***" in await found.text()) == (200, False)
        assert (await filled.ask(path, token=token, q=email)).status == 403
        assert (await filled.ask(path, token=token, email=email)).status == 403
    assert (await filled.ask("/admin/mails", token=token, recipient=email)).status == 403
    by_id = await (await filled.ask("/admin/orders", token=token, q=records.order(1))).json()
    assert [each["id"] for each in by_id["items"]] == [records.order(1)]


async def test_what_is_done_is_written_down_before_and_after(api: Api):
    await api.seed(api.ports.topics.state, records.snapshot(1))
    await api.act(f"/admin/orders/{records.order(1)}/reprocess", "click")
    written = [(row["actor"], row["action"], row["target"], row["result"]) for row in await audit(api)]
    about = ("admin", "reprocessOrder", records.order(1))
    assert written == [(*about, "asked"), (*about, "refused")]


async def test_the_audit_log_is_only_ever_added_to_and_a_change_shows(api: Api, database: str):
    log = AuditLog(api.ports.pool)
    for _ in range(3):
        await sign_in(api, password="wrong")
    assert (await log.verify()).broken is None
    for statement in ("update audit_log set actor = 'x'", "delete from audit_log", "truncate audit_log"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.ports.pool.execute(statement)
    await api.ports.pool.execute("alter table audit_log disable trigger audit_log_is_append_only")
    await api.ports.pool.execute("update audit_log set reason = 'nothing to see here' where number = 2")
    assert (await log.verify()).broken == "Entry 2 was changed."
    await api.ports.pool.execute("delete from audit_log where number = 2")
    assert (await log.verify()).broken == "Entry 2 is missing."


async def test_the_admins_token_of_the_settings_needs_no_account(api: Api):
    assert (await api.ask("/admin/orders", token=TOKEN)).status == 200
    assert (await api.ask("/admin/session", token=TOKEN)).status == 401


async def test_unmasking_is_a_right_of_its_own_needs_a_reason_and_is_written_down(filled: Api):
    session = await signed_in(filled, Role.OPERATOR)
    headers = {"X-CSRF-Token": session["csrfToken"]}
    path = f"/admin/orders/{records.order(1)}"
    masked = await (await filled.ask(path, token=None)).json()
    assert "***@" in masked["email"]
    assert (await filled.client.post(f"{path}/unmask", json={"reason": "  "}, headers=headers)).status == 400
    shown = await filled.client.post(f"{path}/unmask", json={"reason": "the buyer calls"}, headers=headers)
    assert "***" not in (await shown.json())["email"]
    (number,) = await filled.ids("/admin/webhook-logs")
    shown = await filled.client.post(f"/admin/webhook-logs/{number}/unmask", json={"reason": "why"}, headers=headers)
    assert (await shown.json())["body"] not in {"", "(hidden)"}
    written = [(row["action"], row["target"], row["reason"], row["result"]) for row in (await audit(filled))[1:3]]
    assert written == [("unmaskOrder", records.order(1), "the buyer calls", result) for result in ("asked", "done")]


async def test_the_audit_log_is_read_with_its_own_right_only(filled: Api):
    await signed_in(filled, Role.OPERATOR)
    assert (await filled.ask("/admin/audit", token=None)).status == 403
    await signed_in(filled, Role.AUDITOR, name="eve")
    answer = await (await filled.ask("/admin/audit", token=None)).json()
    assert [(item["action"], item["actor"]) for item in answer["items"]] == [("signIn", "eve"), ("signIn", "ada")]


async def test_below_a_path_people_come_back_to_the_desk_and_not_beside_it(database: str):
    async with serve_api(database, base_path="/desk") as api:
        back = await api.client.get("/admin/oidc/callback?error=access_denied", allow_redirects=False)
    assert (back.status, back.headers["Location"].partition("?")[0]) == (302, "/desk/")
    settings = api_settings(admin_public_url="https://shop.example.com", base_path="/desk")
    assert settings.oidc().redirect_url == "https://shop.example.com/desk/admin/oidc/callback"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"admin_public_url": "http://desk.example.com"}, "it is not HTTPS"),
        ({"admin_public_url": "https://desk.example.com/below"}, "not an address like"),
        ({"admin_public_url": "https://ada@desk.example.com"}, "not an address like"),
        ({"admin_public_url": "ftp://desk.example.com"}, "not an address like"),
        ({"oidc_roles": "admins=root"}, "not written as group=role"),
        ({"oidc_client_id": None}, "belong together"),
    ],
)
def test_settings_that_would_let_the_wrong_people_in_stop_the_start(setting: dict[str, Any], told: str):
    with pytest.raises(ValidationError, match=told):
        api_settings(**setting)


def api_settings(**more: Any) -> ApiSettings:
    known = {
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "database_url": "postgresql://desk@127.0.0.1:1/desk",
        "admin_token": TOKEN,
        "oidc_issuer": "https://id.example.com",
        "oidc_client_id": "desk",
    }
    return ApiSettings(**(known | more))
