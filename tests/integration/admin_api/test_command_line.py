"""`bitloot`: what it tells is what the API answers, and what it makes the API knows."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from admin_api.cli.doctor import Grade, examine
from bitloot.contracts.state import OrderStatus
from tests.integration.admin_api.api import TOKEN, Api
from tests.unit.admin_api import records


@dataclass(frozen=True)
class Told:
    exit_code: int
    stdout: str
    stderr: str


async def run(api: Api | None, database: str, *words: str, token: str = TOKEN, stdin: str = "") -> Told:
    """Run a command as a person would, beside the API."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "admin_api.cli",
        *words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "BITLOOT_ADMIN_URL": "http://127.0.0.1:1" if api is None else str(api.client.make_url("")),
            "BITLOOT_TOKEN": token,
            "DATABASE_URL": database,
            "COLUMNS": "200",
        },
    )
    out, err = await process.communicate(stdin.encode())
    return Told(process.returncode or 0, out.decode(), err.decode())


async def test_an_order_is_shown_as_the_api_answers_it(api: Api, database: str):
    await api.seed(api.ports.topics.state, records.snapshot(1))
    number = records.order(1)
    told = await run(api, database, "orders", "show", number, "--json")
    assert json.loads(told.stdout) == await api.page(f"/admin/orders/{number}")
    told = await run(api, database, "orders", "list", "--json", "--limit", "5")
    assert json.loads(told.stdout) == await api.page("/admin/orders", limit=5)
    told = await run(api, database, "orders", "show", number)
    assert f"Order {number} is fulfilled" in told.stdout
    told = await run(api, database, "orders", "list")
    assert number in told.stdout


async def test_dead_letters_are_listed_as_the_api_answers_them(api: Api, database: str):
    await api.seed(api.ports.topics.dead_letters, records.letter(1))
    told = await run(api, database, "dead-letters", "list", "--json")
    assert json.loads(told.stdout) == await api.page("/admin/dead-letters", limit=20)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("orders", "show", records.order(9)), "There is no such order"),
        (("orders", "reprocess", records.order(1)), "The order is fulfilled: nothing is left to do. (409)"),
        (("orders", "resolve", records.order(1), "close", "x"), "it does not wait for a human. (409)"),
        (("orders", "list", "--status", "lost"), "status: Input should be"),
        (("replay", "5"), "There is no such dead letter"),
    ],
)
async def test_a_refusal_is_one_sentence_on_stderr_and_status_1(api: Api, database: str, words, sentence: str):
    await api.seed(api.ports.topics.state, records.snapshot(1, status=OrderStatus.FULFILLED))
    told = await run(api, database, *words)
    assert (told.exit_code, told.stdout) == (1, "")
    assert sentence in told.stderr


async def test_a_token_that_was_made_is_let_in_with_its_role(api: Api, database: str):
    made = await run(api, database, "tokens", "create", "ci", "--role", "viewer", "--days", "1")
    token = made.stdout.strip()
    assert (await api.ask("/admin/orders", token=token)).status == 200
    assert (await api.ask("/admin/audit", token=token)).status == 403
    assert (await run(api, database, "orders", "list", token=token)).exit_code == 0
    assert (await run(api, database, "tokens", "revoke", token.split("_")[1])).exit_code == 0
    assert (await run(api, database, "orders", "list", token=token)).exit_code == 1
    assert (await run(api, database, "tokens", "revoke", "unknown")).exit_code == 1


async def test_an_account_that_was_made_signs_in_until_it_is_disabled(api: Api, database: str):
    words = ("accounts", "create", "ada", "--role", "support", "--role", "auditor")
    assert (await run(api, database, *words, stdin="too short\n")).exit_code == 1
    assert (await run(api, database, *words, stdin="long enough for us\n")).exit_code == 0
    credentials = {"username": "ada", "password": "long enough for us"}
    session = await (await api.client.post("/admin/session", json=credentials)).json()
    assert session["roles"] == ["auditor", "support"]
    assert (await run(api, database, "accounts", "disable", "ada")).exit_code == 0
    assert (await api.client.post("/admin/session", json=credentials)).status == 401


async def test_the_audit_log_is_verified_also_against_what_was_its_end_once(api: Api, database: str):
    for name in ("one", "two"):
        await run(api, database, "tokens", "create", name, "--role", "viewer")
    sound = await run(api, database, "audit", "verify")
    assert sound.exit_code == 0
    assert "4 entries, all sound." in sound.stdout
    head = sound.stdout.split()[-1]
    await api.ports.pool.execute("alter table audit_log disable trigger audit_log_is_append_only")
    await api.ports.pool.execute("delete from audit_log where number = 4")
    assert (await run(api, database, "audit", "verify")).exit_code == 0
    cut = await run(api, database, "audit", "verify", "--head", head)
    assert (cut.exit_code, "not there any more" in cut.stderr) == (1, True)
    await api.ports.pool.execute("update audit_log set actor = 'somebody else' where number = 2")
    changed = await run(api, database, "audit", "verify")
    assert (changed.exit_code, "Entry 2 was changed." in changed.stderr) == (1, True)


async def test_migrate_tells_that_nothing_is_missing(api: Api, database: str):
    told = await run(api, database, "migrate")
    assert (told.exit_code, told.stdout) == (0, "The database is up to date.\n")


async def test_without_the_api_a_command_says_where_it_looked(database: str):
    told = await run(None, database, "orders", "list")
    assert (told.exit_code, "does not answer at http://127.0.0.1:1 (ConnectError)" in told.stderr) == (1, True)
    told = await run(None, database, "orders", "list", token="")
    assert (told.exit_code, "BITLOOT_TOKEN is not set" in told.stderr) == (1, True)


async def test_the_doctor_names_each_thing_that_is_wrong(monkeypatch: pytest.MonkeyPatch, database: str, nowhere: str):
    for name in list(os.environ):
        if name.endswith(("_URL", "_TOKEN", "_SECRET", "_SERVERS")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("DATABASE_URL", nowhere)
    monkeypatch.setenv("KINGUIN_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("NOWPAYMENTS_IPN_SECRET", "secret")
    found = {each.about: each for each in await examine(os.environ)}
    assert found["settings of sink"].grade is Grade.OK
    assert (found["settings of admin-api"].grade, found["settings of admin-api"].sentence) == (
        Grade.WRONG,
        "ADMIN_TOKEN: Field required",
    )
    assert found["the secret of NOWPayments"].grade is Grade.OK
    for about in ("PostgreSQL", "Kafka", "Kinguin"):
        assert found[about].grade is Grade.WRONG, about
        assert found[about].sentence.endswith(".")
    assert found["Resend"].grade is Grade.SKIPPED
    monkeypatch.setenv("DATABASE_URL", database)
    found = {each.about: each for each in await examine(os.environ)}
    assert found["PostgreSQL"].grade is Grade.OK
