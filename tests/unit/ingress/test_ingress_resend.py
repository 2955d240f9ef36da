import json

from tests.unit.ingress.rig import Rig, leaks

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


async def test_links_are_taken_out(rig: Rig):
    await rig.resend(CLICKED)

    data = json.loads(rig.logged[0].body)["data"]
    assert data["click"] == {"link": "[link]", "ipAddress": "192.0.2.1"}
    assert data["attempts"] == [1.5, None, True]
    assert leaks(rig.producer.sent[0].value.decode()) == []


async def test_a_repeat_has_the_same_id_and_another_message_has_not(rig: Rig):
    await rig.resend(CLICKED)
    await rig.resend(CLICKED)
    await rig.resend(CLICKED, message_id="msg_2")

    first, repeat, other = rig.logged
    assert first.event_id == repeat.event_id != other.event_id


async def test_an_event_that_is_not_about_a_mail(rig: Rig):
    assert (await rig.resend({"type": "domain.updated", "data": None})).status == 204

    assert rig.logged[0].external_id == "unknown"
