import aiohttp
import pytest


async def purchases(sandbox, order_id):
    return (await sandbox.ledger(order_id))["purchases"]


async def give(sandbox, order_id):
    reservation_id = (await sandbox.reserve(order_id))["reservationId"]
    return reservation_id, await sandbox.kinguin("POST", f"/reservations/{reservation_id}/give")


async def test_an_error_has_no_effect_and_the_shape_of_the_provider(sandbox, order_id):
    await sandbox.fail({"provider": "kinguin", "call": "give", "kind": "error", "status": 503, "retryAfter": 7})
    _, reply = await give(sandbox, order_id)
    assert (reply.status, reply.headers["retry-after"], reply.json()["status"]) == (503, "7", 503)
    assert await purchases(sandbox, order_id) == []


async def test_an_error_after_the_effect_has_one(sandbox, order_id):
    await sandbox.fail({"provider": "kinguin", "call": "give", "kind": "error_after", "status": 500})
    _, reply = await give(sandbox, order_id)
    assert (reply.status, reply.json()["kind"]) == (500, "Error")
    assert len(await purchases(sandbox, order_id)) == 1


@pytest.mark.parametrize(("kind", "bought"), [("timeout_before", 0), ("timeout_after", 1)])
async def test_a_timeout_answers_nothing_before_or_after_the_effect(sandbox, order_id, kind, bought):
    await sandbox.fail({"provider": "kinguin", "call": "give", "kind": kind, "delay": 0.01, "count": 1})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await give(sandbox, order_id)
    assert len(await purchases(sandbox, order_id)) == bought
    (call,) = [each for each in (await sandbox.ledger(order_id))["calls"] if each["call"] == "give"]
    assert (call["status"], call["answer"], call["fault"]) == (None, None, kind)
    _, reply = await give(sandbox, f"{order_id}-2")
    assert reply.status == 200


async def test_a_malformed_answer_hides_an_effect(sandbox, order_id):
    await sandbox.fail({"provider": "kinguin", "call": "give", "kind": "malformed"})
    _, reply = await give(sandbox, order_id)
    assert reply.status == 200
    with pytest.raises(ValueError):
        reply.json()
    assert len(await purchases(sandbox, order_id)) == 1


async def test_any_body_can_stand_in_for_an_answer(sandbox, order_id):
    await sandbox.fail({"provider": "kinguin", "call": "give", "kind": "malformed", "body": "<h1>Cloudy</h1>"})
    _, reply = await give(sandbox, order_id)
    assert (reply.status, reply.text) == (200, "<h1>Cloudy</h1>")
    assert reply.headers["content-type"].startswith("text/html")


async def test_a_slow_call_still_happens(sandbox, order_id):
    await sandbox.fail({"provider": "kinguin", "call": "give", "kind": "slow", "delay": 0.02})
    _, reply = await give(sandbox, order_id)
    assert reply.status == 200
    (call,) = [each for each in (await sandbox.ledger(order_id))["calls"] if each["call"] == "give"]
    assert call["durationMs"] >= 15


async def test_latency_slows_every_call(sandbox, order_id):
    await sandbox.set(latency=0.02)
    await sandbox.buy(order_id)
    calls = (await sandbox.ledger())["calls"]
    assert {each["call"] for each in calls} == {"token", "reserve", "give"}
    assert all(each["durationMs"] >= 15 for each in calls)


async def test_a_rule_can_be_meant_for_one_order(sandbox, order_id):
    await sandbox.fail({"kind": "error", "orderId": order_id, "call": "give", "provider": "kinguin"})
    _, refused = await give(sandbox, f"{order_id}-item-1")
    _, taken = await give(sandbox, "another")
    assert (refused.status, taken.status) == (500, 200)


async def test_the_machine_word_of_an_error_can_be_chosen(sandbox):
    await sandbox.fail(
        {"provider": "resend", "call": "send", "kind": "error", "status": 429, "code": "daily_quota_exceeded"}
    )
    reply = await sandbox.send_mail()
    assert (reply.status, reply.json()["name"]) == (429, "daily_quota_exceeded")


async def test_rules_show_their_hits_and_can_be_cleared(sandbox):
    await sandbox.fail({"provider": "resend", "kind": "error"})
    await sandbox.send_mail()
    (rule,) = (await sandbox.call("GET", "/_faults")).json()["rules"]
    assert (rule["kind"], rule["hits"]) == ("error", 1)
    assert (await sandbox.call("DELETE", "/_faults")).status == 204
    assert (await sandbox.call("GET", "/_faults")).json() == {"rules": []}
    assert (await sandbox.send_mail()).status == 200


@pytest.mark.parametrize("body", [[{"kind": "error"}], {"kind": "error"}, {"rules": [{"kind": "error"}]}])
async def test_rules_come_as_a_list_in_a_member_or_alone(sandbox, body):
    reply = await sandbox.call("PUT", "/_faults", json=body)
    assert [rule["kind"] for rule in reply.json()["rules"]] == ["error"]
