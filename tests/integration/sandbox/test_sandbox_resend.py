import asyncio
import base64
import hashlib
import hmac
import uuid

import pytest

from tests.fakes.sandbox import SECRETS


async def test_the_same_key_and_mail_is_one_mail(sandbox, order_id):
    first = await sandbox.send_mail(f"key-mail/{order_id}")
    second = await sandbox.send_mail(f"key-mail/{order_id}")
    assert first.status == second.status == 200
    assert first.json() == second.json()
    assert uuid.UUID(first.json()["id"])
    (mail,) = (await sandbox.ledger(order_id))["mails"]
    assert (mail["id"], mail["idempotencyKey"]) == (first.json()["id"], f"key-mail/{order_id}")
    assert len((await sandbox.ledger(order_id))["calls"]) == 2


async def test_the_same_key_with_another_mail_is_refused(sandbox):
    await sandbox.send_mail("k")
    reply = await sandbox.send_mail("k", subject="Other")
    assert (reply.status, reply.json()["name"]) == (409, "invalid_idempotent_request")
    assert len(await sandbox.mails()) == 1


async def test_the_same_key_while_the_first_runs_is_refused(sandbox):
    # Whichever comes first is held; the other finds it running.
    await sandbox.fail({"provider": "resend", "call": "send", "kind": "slow", "delay": 0.5, "count": 1})
    first, second = await asyncio.gather(sandbox.send_mail("k"), sandbox.send_mail("k"))
    late = first if first.status == 409 else second
    assert {first.status, second.status} == {200, 409}
    assert late.json()["name"] == "concurrent_idempotent_requests"
    assert len(await sandbox.mails()) == 1


async def test_a_key_is_remembered_for_a_day(sandbox, clock):
    first = await sandbox.send_mail("k")
    clock.advance(24 * 3600 - 1)
    assert (await sandbox.send_mail("k")).json() == first.json()
    clock.advance(1)
    assert (await sandbox.send_mail("k")).json() != first.json()
    assert len(await sandbox.mails()) == 2


async def test_a_lost_answer_is_found_again_by_its_key(sandbox):
    await sandbox.fail({"provider": "resend", "call": "send", "kind": "error_after", "count": 1})
    assert (await sandbox.send_mail("k")).status == 500
    (mail,) = await sandbox.mails()
    assert (await sandbox.send_mail("k")).json() == {"id": mail["id"]}


async def test_a_refused_mail_leaves_its_key_free(sandbox):
    assert (await sandbox.send_mail("k", to="nobody")).status == 422
    assert (await sandbox.send_mail("k")).status == 200


async def test_without_a_key_each_request_is_a_mail(sandbox):
    assert (await sandbox.send_mail()).json() != (await sandbox.send_mail()).json()
    assert len(await sandbox.mails()) == 2


@pytest.mark.parametrize("key", ["", "k" * 257])
async def test_a_key_of_the_wrong_length_is_refused(sandbox, key):
    reply = await sandbox.send_mail(key)
    assert (reply.status, reply.json()["name"]) == (400, "invalid_idempotency_key")


async def test_the_mailbox_is_newest_first_and_by_recipient(sandbox):
    await sandbox.send_mail(subject="one", html="<p>1</p>", tags=[{"name": "kind", "value": "key"}])
    await sandbox.send_mail(subject="two", to=["Other <OTHER@bitloot.test>", "buyer@bitloot.test"])
    assert [mail["subject"] for mail in await sandbox.mails("Buyer@bitloot.test")] == ["two", "one"]
    assert [mail["subject"] for mail in await sandbox.mails("other@bitloot.test")] == ["two"]
    assert await sandbox.mails("loot.test") == []
    one = (await sandbox.mails())[1]
    assert (one["html"], one["text"], one["tags"]) == ("<p>1</p>", "Hi", [{"name": "kind", "value": "key"}])
    assert (one["from"], one["to"]) == ("BitLoot <orders@bitloot.test>", ["buyer@bitloot.test"])


async def test_a_mail_belongs_to_the_order_that_it_names(sandbox, order_id):
    await sandbox.send_mail(text=f"https://s3.test/bitloot/keys/{order_id}.json?sig=1")
    await sandbox.send_mail(tags=[{"name": "order", "value": order_id}])
    await sandbox.send_mail()
    assert len((await sandbox.ledger(order_id))["mails"]) == 2


@pytest.mark.parametrize(
    ("mail", "name"),
    [
        ({"subject": None}, "validation_error"),
        ({"subject": "a\nBcc: x@y.test"}, "validation_error"),
        ({"to": []}, "validation_error"),
        ({"to": ["a@b.test"] * 51}, "validation_error"),
        ({"to": "a@b.test\r\nBcc: x@y.test"}, "validation_error"),
        ({"text": None}, "validation_error"),
        ({"tags": [{"name": "a b", "value": "c"}]}, "validation_error"),
        ({"tags": [{"name": "a"}]}, "missing_required_field"),
    ],
)
async def test_a_bad_mail_is_refused(sandbox, mail, name):
    reply = await sandbox.send_mail(**mail)
    assert (reply.status, reply.json()["name"]) == (422, name)
    assert await sandbox.mails() == []


@pytest.mark.parametrize(
    ("header", "status", "name"),
    [({}, 401, "missing_api_key"), ({"Authorization": "Bearer guess"}, 403, "invalid_api_key")],
)
async def test_the_key_is_required(sandbox, header, status, name):
    reply = await sandbox.call("POST", "/resend/emails", json={}, headers=header)
    assert (reply.status, reply.json()["name"]) == (status, name)


async def test_the_rate_limit_counts_each_second(sandbox, clock):
    await sandbox.set(resendRateLimit=2)
    first = await sandbox.send_mail()
    assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("2", "1")
    await sandbox.send_mail()
    third = await sandbox.send_mail()
    assert (third.status, third.json()["name"], third.headers["retry-after"]) == (429, "rate_limit_exceeded", "1")
    clock.advance(1)
    assert (await sandbox.send_mail()).status == 200


async def test_a_mail_can_be_read_back(sandbox):
    key = {"Authorization": f"Bearer {SECRETS['resend_api_key']}"}
    sent = (await sandbox.send_mail()).json()
    read = await sandbox.call("GET", f"/resend/emails/{sent['id']}", headers=key)
    assert (read.json()["subject"], read.json()["last_event"]) == ("Hello", "sent")
    assert (await sandbox.call("GET", "/resend/emails/nope", headers=key)).json()["name"] == "not_found"


@pytest.mark.parametrize(
    ("address", "events"),
    [
        ("delivered@resend.dev", ["email.delivered", "email.sent"]),
        ("bounced+one@resend.dev", ["email.bounced", "email.sent"]),
        ("Complained@resend.dev", ["email.complained", "email.delivered", "email.sent"]),
        ("suppressed@resend.dev", ["email.suppressed"]),
    ],
)
async def test_the_addresses_for_tests_end_as_they_say(sandbox, receiver, address, events):
    sent = (await sandbox.send_mail(to=address)).json()
    received = [each.json() for each in await receiver.wait_for(len(events))]
    assert sorted(each["type"] for each in received) == events
    assert {each["data"]["email_id"] for each in received} == {sent["id"]}
    bounces = [each["data"]["bounce"]["type"] for each in received if each["type"] == "email.bounced"]
    assert bounces == ["Permanent"] * events.count("email.bounced")


async def test_no_events_unless_asked_for(sandbox, receiver):
    await sandbox.send_mail()
    await sandbox.reserve("o")
    assert [each.path for each in await receiver.wait_for(1)] == ["/webhooks/kinguin"]


async def test_events_are_signed_each_attempt_anew(sandbox, receiver):
    await sandbox.set(resendEvents=["email.sent", "email.delivered"])
    receiver.statuses = [500]
    sent = (await sandbox.send_mail(tags=[{"name": "kind", "value": "key"}])).json()
    received = await receiver.wait_for(3)
    assert sorted({each.json()["type"] for each in received}) == ["email.delivered", "email.sent"]
    assert {each.json()["data"]["email_id"] for each in received} == {sent["id"]}
    assert {each.json()["data"]["tags"]["kind"] for each in received} == {"key"}
    assert len({each.headers["svix-id"] for each in received}) == 2
    key = base64.b64decode(SECRETS["resend_webhook_secret"].removeprefix("whsec_"))
    for each in received:
        message = f"{each.headers['svix-id']}.{each.headers['svix-timestamp']}.".encode() + each.body
        expected = base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
        assert each.headers["svix-signature"] == f"v1,{expected}"
