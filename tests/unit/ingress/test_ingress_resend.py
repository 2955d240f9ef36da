import json
import time

import pytest

from bitloot.contracts.events import MailDeliveryUpdated
from bitloot.ids import order_id
from bitloot.signing import svix_sign
from tests.unit.ingress.rig import RESEND_SECRET, Rig, body_of, leaks

CLICKED = {
    "type": "email.clicked",
    "created_at": "2024-11-22T23:41:12.126Z",
    "data": {
        "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
        "to": ["buyer@example.com"],
        "subject": "Your BitLoot Order",
        "click": {"link": "https://keys.example.test/o/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "ipAddress": "192.0.2.1"},
        "attempts": [1.5, None, True],
    },
}


async def test_a_mail_event_is_logged_and_nothing_else(rig: Rig):
    response = await rig.resend(CLICKED)

    assert (response.status, await response.read()) == (204, b"")
    (logged,) = rig.logged
    assert len(rig.producer.sent) == 1
    assert rig.key_of(logged) == "resend/56761188-7520-42d8-8898-ff6fc54ce618"
    assert (logged.provider, logged.event_type, logged.matched) == ("resend", "email.clicked", "current/raw")
    assert logged.headers["svix-id"] == "msg_1"
    assert "svix-signature" not in logged.headers


ORDER = order_id("a mailed order")


def told(kind, tags=None, **data):
    tags = {"order_id": ORDER, "kind": "keys", "message": "mail-1"} if tags is None else tags
    return {"type": kind, "data": {"email_id": "56761188", "tags": tags, **data}}


@pytest.mark.parametrize(
    ("body", "delivery", "detail"),
    [
        (told("email.sent"), "sent", ""),
        (told("email.delivered"), "delivered", ""),
        (told("email.delivery_delayed"), "delayed", ""),
        (told("email.bounced", bounce={"type": "Permanent", "subType": "NoEmail"}), "bounced", "Permanent NoEmail"),
        (
            told("email.bounced", bounce={"type": "Transient", "subType": "MailboxFull"}),
            "delayed",
            "Transient MailboxFull",
        ),
        (told("email.complained"), "complained", ""),
        (told("email.failed", failed={"reason": "reached_daily_quota"}), "failed", "reached_daily_quota"),
        (told("email.suppressed"), "suppressed", ""),
    ],
)
async def test_how_far_a_mail_came_is_told_to_its_order(rig: Rig, body, delivery, detail):
    assert (await rig.resend(body)).status == 204
    (event,) = [each for each in rig.events if isinstance(each, MailDeliveryUpdated)]

    assert (event.order_id, event.message_id) == (ORDER, f"{ORDER}/mail/1")
    assert (event.delivery, event.detail, event.provider_message_id) == (delivery, detail, "56761188")


async def test_a_second_id_beside_the_signed_one_makes_no_other_event(rig: Rig):
    raw, now = body_of(told("email.delivered")), int(time.time())
    signed = [("svix-timestamp", str(now)), ("svix-signature", svix_sign(raw, "msg_1", now, RESEND_SECRET))]
    for others in ((), ("msg_2",), ("msg_3",)):
        ids = [("svix-id", each) for each in (*others, "msg_1")]
        response = await rig.client.post("/webhooks/resend", data=raw, headers=[*ids, *signed])
        assert response.status == 204

    assert len({event.event_id for event in rig.events}) == 1


async def test_tags_may_be_a_list_too(rig: Rig):
    await rig.resend(
        told("email.bounced", [{"name": "order_id", "value": ORDER}, {"name": "message", "value": "notice-2"}])
    )

    assert rig.events[0].message_id == f"{ORDER}/notice/2"


@pytest.mark.parametrize(
    "body",
    [
        told("email.opened"),
        told("email.clicked"),
        told("email.bounced", {}),
        told("email.bounced", {"order_id": ORDER}),
        told("email.bounced", {"order_id": ORDER, "message": "mail-0"}),
        told("email.bounced", {"order_id": ORDER, "message": "mail-1/../2"}),
        told("email.bounced", {"order_id": "11111111-1111-4111-8111-111111111111", "message": "mail-1"}),
        told("email.bounced", {"order_id": [ORDER], "message": {}}),
        told("email.bounced", "text"),
    ],
)
async def test_what_says_nothing_of_a_mail_of_ours_is_logged_alone(rig: Rig, body):
    assert (await rig.resend(body)).status == 204

    assert rig.events == []
    assert len(rig.logged) == 1
    assert rig.logged[0].note


async def test_links_are_taken_out(rig: Rig):
    await rig.resend(CLICKED)

    data = json.loads(rig.logged[0].body)["data"]
    assert data["click"] == {"link": "[link]", "ipAddress": "[hidden]"}
    assert data["attempts"] == [1.5, None, True]
    assert leaks(rig.producer.sent[0].value.decode()) == []


async def test_mail_addresses_are_taken_out(rig: Rig):
    bounce = {"type": "Permanent", "subType": "NoEmail", "message": "550 <buyer@example.com>: no such mailbox"}
    reason = {"reason": "buyer@example.com_is_unknown"}
    await rig.resend(told("email.bounced", to=["Jane <buyer@example.com>"], bounce=bounce))
    await rig.resend(told("email.failed", failed=reason), message_id="msg_2")

    assert not any(b"buyer@example.com" in each.value for each in rig.producer.sent)
    data = json.loads(rig.logged[0].body)["data"]
    assert data["to"] == ["Jane <[mail address]>"]
    assert data["bounce"]["message"] == "550 <[mail address]>: no such mailbox"


async def test_a_repeat_has_the_same_id_and_another_message_has_not(rig: Rig):
    await rig.resend(CLICKED)
    await rig.resend(CLICKED)
    await rig.resend(CLICKED, message_id="msg_2")

    first, repeat, other = rig.logged
    assert first.event_id == repeat.event_id != other.event_id


async def test_an_event_that_is_not_about_a_mail(rig: Rig):
    assert (await rig.resend({"type": "domain.updated", "data": None})).status == 204

    assert rig.logged[0].external_id == "unknown"
