import asyncio
import os
import sys
import uuid

import aiohttp
import pytest

from tests.fakes.sandbox import SECRETS, running_sandbox


def is_problem(reply, status):
    return (
        reply.status == reply.json()["status"] == status
        and reply.headers["content-type"].startswith("application/problem+json")
        and bool(reply.json()["title"])
    )


async def test_the_ledger_of_an_order_has_all_its_external_ids(sandbox, receiver, order_id):
    other = str(uuid.uuid4())
    await sandbox.buy(f"{order_id}-1")
    await sandbox.buy(f"{order_id}-2")
    await sandbox.buy(other)
    await receiver.wait_for(9)
    ledger = await sandbox.ledger(order_id)
    assert [each["call"] for each in ledger["calls"]] == ["reserve", "give"] * 2
    assert [each["orderId"] for each in ledger["purchases"]] == [f"{order_id}-1", f"{order_id}-2"]
    reserve = ledger["calls"][0]
    assert (reserve["provider"], reserve["method"], reserve["path"]) == ("kinguin", "POST", "/kinguin/reservations")
    assert (reserve["request"]["orderId"], reserve["status"]) == (f"{order_id}-1", 201)
    assert reserve["answer"]["reservationId"] == ledger["purchases"][0]["reservationId"]
    assert reserve["time"].endswith("Z")
    assert len((await sandbox.ledger())["purchases"]) == 3


async def test_parts_of_the_ledger_can_be_asked_for(sandbox, order_id):
    await sandbox.buy(order_id)
    reply = await sandbox.call("GET", "/_ledger", params={"parts": "purchases"})
    assert set(reply.json()) == {"orderId", "purchases", "totals"}
    assert is_problem(await sandbox.call("GET", "/_ledger?parts=secrets"), 422)


async def test_the_ledger_can_be_cleared_while_the_providers_remember(sandbox, order_id):
    reservation_id = await sandbox.buy(order_id)
    assert (await sandbox.call("DELETE", "/_ledger")).status == 204
    ledger = await sandbox.ledger()
    assert (ledger["calls"], ledger["purchases"]) == ([], [])
    assert (await sandbox.kinguin("POST", f"/reservations/{reservation_id}/give")).status == 200


async def test_a_full_ledger_says_what_it_dropped():
    async with running_sandbox(max_calls=3) as sandbox:
        for _ in range(4):
            await sandbox.send_mail()
        ledger = await sandbox.ledger()
        assert len(ledger["calls"]) == 3
        assert ledger["totals"]["calls"] == {"kept": 3, "dropped": 1}
        assert ledger["totals"]["mails"] == {"kept": 4, "dropped": 0}


async def test_requests_that_no_provider_knows_are_recorded(sandbox):
    assert (await sandbox.call("DELETE", "/kinguin/reservations")).status == 404
    assert (await sandbox.call("POST", "/resend/emails/batch")).json()["name"] == "not_found"
    calls = (await sandbox.ledger())["calls"]
    assert [(each["provider"], each["call"], each["method"]) for each in calls] == [
        ("kinguin", "unknown", "DELETE"),
        ("resend", "unknown", "POST"),
    ]


async def test_settings_are_shown_without_secrets_and_reset(sandbox):
    await sandbox.set(keyDelay=9, kinguinWebhookSecret="rotated")
    shown = await sandbox.call("GET", "/_settings")
    assert shown.json()["keyDelay"] == 9
    assert "rotated" not in shown.text
    reset = await sandbox.call("DELETE", "/_settings")
    assert reset.json()["keyDelay"] == 0.2


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/_settings", "{", 400),
        ("PUT", "/_settings", "[]", 422),
        ("PUT", "/_settings", '{"keyDelai":1}', 422),
        ("PUT", "/_settings", "\xff", 422),
        ("PUT", "/_faults", '[{"kind":"errror"}]', 422),
        ("PUT", "/_faults", '{"rules":7}', 422),
        ("PUT", "/_faults", "[" * 100_000, 400),
        ("POST", "/_pay/x", '{"statuses":"finished"}', 422),
        ("POST", "/_pay/x", '{"repeat":0}', 422),
        ("POST", "/_pay/x", '{"status":["finished"]}', 422),
        ("POST", "/_pay/x", '{"priceAmount":"NaN","priceCurrency":"eur"}', 422),
        ("POST", "/_pay/x", "{}", 404),
        ("POST", "/_kinguin/x/cancel", "", 404),
        ("POST", "/_kinguin/x/explode", "", 404),
        ("GET", "/nothing", "", 404),
        ("GET", "/_pay/x", "", 405),
    ],
)
async def test_a_bad_control_request_is_a_problem_document(sandbox, method, path, body, status):
    raw = body.encode("latin-1")
    reply = await sandbox.call(method, path, data=raw)
    assert is_problem(reply, 400 if raw == b"\xff" else status), reply.text


async def test_a_problem_names_the_member_and_hides_its_value(sandbox):
    reply = await sandbox.call("PUT", "/_settings", json={"kinguinWebhookSecret": ["oh no"]})
    assert reply.json()["errors"][0]["pointer"] == "/kinguinWebhookSecret"
    assert "oh no" not in reply.text


async def test_probes_and_metrics_answer(sandbox, order_id):
    await sandbox.buy(order_id)
    assert (await sandbox.call("GET", "/healthz")).json() == {"status": "ok"}
    assert (await sandbox.call("GET", "/readyz")).status == 200
    metrics = await sandbox.call("GET", "/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'sandbox_calls_total{call="give",fault="",provider="kinguin",status="200"} 1.0' in metrics.text


def environment():
    names = {name.upper(): value for name, value in SECRETS.items()}
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return {**kept, **names, "INGRESS_URL": "http://127.0.0.1:9", "HTTP_HOST": "127.0.0.1", "HTTP_PORT": "0"}


async def start(environment):
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", env=environment, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )


async def test_the_process_tells_where_it_listens_and_stops_on_sigterm():
    process = await start(environment())
    try:
        line = (await process.stdout.readline()).decode()
        url = line.split("Running on ")[1].split()[0]
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_a_missing_setting_ends_the_start_in_one_line():
    without = environment()
    del without["INGRESS_URL"]
    process = await start(without)
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert output.decode().count("\n") == 1
    assert "INGRESS_URL" in output.decode()
