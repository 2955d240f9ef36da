import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bitloot import ids
from bitloot.code_hashes import CodeHasher
from bitloot.contracts.events import KinguinNotified, Notice
from bitloot.contracts.notices import ReservationNotified
from bitloot.contracts.topics import KINGUIN_NOTICES, ORDER_EVENTS
from tests.unit.ingress import rig as rigs
from tests.unit.ingress.conftest import Lines, Start
from tests.unit.ingress.rig import CODES, HASH_KEY, KINGUIN_TOKEN_BEFORE, ORDER, Rig, leaks, refusal

EXTERNAL = ids.item_id(ORDER, 2)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


def notice(**changes: Any) -> dict[str, Any]:
    return {"event": "delivered", "reservationId": "res-1", "orderId": EXTERNAL} | changes


def published(rig: Rig) -> str:
    return b"\n".join(each.value for each in rig.producer.sent).decode()


def opened(rig: Rig, record: Any) -> list[bytes]:
    return [rig.opener.open(code) for code in record.codes]


@pytest.mark.parametrize("path", ["/webhooks/kinguin", "/kinguin/webhook"])
async def test_a_notification_with_our_order_becomes_an_event_of_it(rig: Rig, path: str):
    response = await rig.kinguin(notice(updatedAt="2020-03-06T15:58:49.088+0000"), path=path)

    assert (response.status, await response.text()) == (200, "OK")
    (event,) = rig.events
    assert rig.key_of(event) == ORDER
    assert event == KinguinNotified(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        order_id=ORDER,
        notice=Notice.DELIVERED,
        provider_status="delivered",
        reservation_id="res-1",
        external_id=EXTERNAL,
        provider_updated_at=datetime(2020, 3, 6, 15, 58, 49, 88000, UTC),
    )
    (logged,) = rig.logged
    assert rig.key_of(logged) == ORDER
    assert (logged.provider, logged.external_id, logged.event_type) == ("kinguin", "res-1", "delivered")
    assert (logged.order_id, logged.matched) == (ORDER, "current/token")
    assert (logged.event_topic, logged.event_key) == (ORDER_EVENTS.name, ORDER)


async def test_a_notification_without_order_goes_to_the_reservations_topic(rig: Rig):
    assert (await rig.kinguin({"event": "give", "reservationId": "res-1"})).status == 200

    assert rig.events == []
    (event,) = rig.notices
    assert rig.key_of(event) == "res-1"
    assert event == ReservationNotified(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        reservation_id="res-1",
        notice=Notice.GIVE,
        provider_status="give",
    )
    (logged,) = rig.logged
    assert rig.key_of(logged) == "kinguin/res-1"
    assert (logged.order_id, logged.event_topic, logged.event_key) == (None, KINGUIN_NOTICES.name, "res-1")


async def test_an_order_of_somebody_else_is_as_none(rig: Rig):
    await rig.kinguin(notice(orderId="not-ours"))

    assert rig.events == []
    assert len(rig.notices) == 1


@pytest.mark.parametrize(
    ("body", "external_id"),
    [
        ({"event": "chatmessage"}, "unknown"),
        ({"event": "offerblocked", "id": 77}, "77"),
        ({"event": "give", "orderId": "not-ours"}, "not-ours"),
        ({}, "unknown"),
    ],
)
async def test_without_order_and_reservation_it_is_only_logged(rig: Rig, body: dict[str, Any], external_id: str):
    assert (await rig.kinguin(body)).status == 200

    assert (rig.events, rig.notices) == ([], [])
    (logged,) = rig.logged
    assert logged.external_id == external_id
    assert "neither an order of ours nor a reservation" in logged.note


@pytest.mark.parametrize(
    ("body", "expected", "event_type"),
    [
        ({"event": "reserve"}, Notice.RESERVE, "reserve"),
        ({"event": "RESERVE"}, Notice.RESERVE, "reserve"),
        ({"event": "give"}, Notice.GIVE, "give"),
        ({"event": "delivered"}, Notice.DELIVERED, "delivered"),
        ({"event": "cancel"}, Notice.CANCEL, "cancel"),
        ({"event": "reversed"}, Notice.REVERSED, "reversed"),
        ({"status": "BUYING"}, Notice.RESERVE, "buying"),
        ({"status": "BOUGHT"}, Notice.GIVE, "bought"),
        ({"status": "DELIVERED"}, Notice.DELIVERED, "delivered"),
        ({"status": "CANCELED"}, Notice.CANCEL, "canceled"),
        ({"status": "cancelled"}, Notice.CANCEL, "cancelled"),
        ({"status": "REVERSED"}, Notice.REVERSED, "reversed"),
        ({"status": "REFUNDED"}, Notice.REVERSED, "refunded"),
        ({"status": "OUT_OF_STOCK"}, Notice.UNKNOWN, "out_of_stock"),
        ({"event": "give", "status": "BUYING"}, Notice.GIVE, "give"),
        ({"event": "statuschange", "status": "DELIVERED"}, Notice.DELIVERED, "statuschange"),
        ({}, Notice.UNKNOWN, "unknown"),
    ],
)
async def test_event_and_status_words(rig: Rig, body: dict[str, Any], expected: Notice, event_type: str):
    await rig.kinguin({"reservationId": "res-1", "orderId": EXTERNAL} | body)

    assert rig.events[0].notice is expected
    assert rig.logged[0].event_type == event_type


@pytest.mark.parametrize(
    ("body", "external_id"),
    [
        ({"reservationId": "res-1", "orderId": EXTERNAL, "id": "x"}, "res-1"),
        ({"reservationId": 17, "orderId": EXTERNAL}, "17"),
        ({"reservationId": None, "orderId": EXTERNAL, "id": "x"}, EXTERNAL),
        ({"reservationId": " ", "id": "x"}, "x"),
    ],
)
async def test_the_external_id_is_reservation_else_order_else_id(rig: Rig, body: dict[str, Any], external_id: str):
    await rig.kinguin({"event": "give"} | body)

    assert rig.logged[0].external_id == external_id


async def test_codes_are_sealed_and_nowhere_else(rig: Rig, lines: Lines):
    await rig.kinguin(notice(codes=list(CODES), productId="p-1", quantity=3))

    (event,) = rig.events
    assert opened(rig, event) == [code.encode() for code in CODES]
    assert {code.key_id for code in event.codes} == {"test"}
    assert [code.hashes for code in event.codes] == [CodeHasher([HASH_KEY]).of(code) for code in CODES]
    body = json.loads(rig.logged[0].body)
    assert body["codes"] == ["[sealed]"] * 3
    assert (body["productId"], body["quantity"]) == ("p-1", 3)
    assert leaks(published(rig)) == []
    assert leaks(lines.text) == []


async def test_the_scan_for_leaks_finds_a_planted_code(rig: Rig):
    await rig.kinguin(notice(status=f"x{CODES[0]}"))

    assert leaks(published(rig)) == [CODES[0]]


async def test_codes_without_order_are_sealed_too(rig: Rig):
    await rig.kinguin({"event": "delivered", "reservationId": "res-1", "keys": [CODES[0]]})

    (event,) = rig.notices
    assert opened(rig, event) == [CODES[0].encode()]
    assert leaks(published(rig)) == []


async def test_codes_that_belong_to_nothing_are_dropped(rig: Rig):
    await rig.kinguin({"event": "delivered", "codes": [CODES[0]]})

    assert leaks(published(rig)) == []


@pytest.mark.parametrize(
    ("keys", "plain"),
    [
        ([{"serial": CODES[0], "type": "text/plain"}], CODES[0].encode()),
        ([{"serial": CODES[0]}], CODES[0].encode()),
        ([{"serial": CODES[0], "type": "text/plain", "id": "7", "name": "A Game"}], CODES[0].encode()),
        ([{"serial": base64.b64encode(PNG).decode(), "type": "image/png"}], PNG),
    ],
    ids=["text", "no type", "more fields", "image"],
)
async def test_keys_as_objects(rig: Rig, keys: list[Any], plain: bytes):
    await rig.kinguin(notice(keys=keys))

    (event,) = rig.events
    assert opened(rig, event) == [plain]
    assert event.codes[0].media_type == keys[0].get("type", "text/plain")
    assert json.loads(rig.logged[0].body)["keys"] == ["[sealed]"]
    assert keys[0]["serial"] not in published(rig)


@pytest.mark.parametrize(
    "codes",
    [
        CODES[0],
        {CODES[0]: CODES[1]},
        [CODES[0], None],
        [CODES[0], ""],
        [CODES[0], 12345],
        [[CODES[0]]],
        [{"code": CODES[0]}],
        [{"serial": CODES[0], "type": "application/pdf"}],
        [{"serial": CODES[0], "type": ["text/plain"]}],
        [{"serial": f"{CODES[0]}!", "type": "image/png"}],
        [CODES[0]] * 1001,
        12345678,
    ],
    ids=lambda codes: str(codes)[:40],
)
async def test_codes_in_an_unknown_shape_are_left_to_be_fetched(rig: Rig, codes: Any):
    # The notification still counts: the worker asks for the codes as if none had come.
    assert (await rig.kinguin(notice(codes=codes))).status == 200

    (event,) = rig.events
    assert (event.notice, event.codes) == (Notice.DELIVERED, ())
    assert "codes were not understood" in rig.logged[0].note
    assert leaks(published(rig)) == []
    assert "12345" not in rig.logged[0].body


async def test_two_lists_that_disagree_are_left_to_be_fetched(rig: Rig):
    await rig.kinguin(notice(codes=[CODES[0]], keys=[CODES[1]]))

    assert rig.events[0].codes == ()
    assert leaks(published(rig)) == []


@pytest.mark.parametrize("word", ["delivered", "DELIVERED"])
async def test_a_status_of_a_code_is_no_code(rig: Rig, word: str):
    keys = [{"serial": CODES[0], "type": "text/plain", "status": "DELIVERED"}]
    response = await rig.kinguin({"event": word, "status": "DELIVERED", "reservationId": "r-1", "keys": keys})
    assert response.status == 200


async def test_a_code_is_hidden_wherever_it_stands(rig: Rig):
    await rig.kinguin(
        notice(
            codes=[CODES[0]],
            name=f"Your key: {CODES[0]}",
            serial=CODES[1],
            note={"deep": [CODES[2]]},
            cheapestOfferId=["offer-1", CODES[0], {"x": CODES[1]}],
            requestedKeyType=CODES[0].lower(),
            unknownNumber=4711471147114711,
            **{CODES[0]: True, f"x{CODES[0]}": 1},
        )
    )

    assert leaks(published(rig)) == []
    body = json.loads(rig.logged[0].body)
    assert body["name"] == body["serial"] == body["note"] == body["unknownNumber"] == "[sealed]"
    assert body["requestedKeyType"] == "[sealed]"
    assert body["cheapestOfferId"] == ["offer-1", "[sealed]", "[sealed]"]


async def test_the_largest_delivery_fits_a_record(rig: Rig):
    codes = [f"{number:04}-{'x' * 200}" for number in range(1000)]

    assert (await rig.kinguin(notice(codes=codes))).status == 200

    (event,) = rig.events
    assert opened(rig, event)[999] == codes[999].encode()
    assert rig.logged[0].event is not None or "too large" in rig.logged[0].note


async def test_a_repeat_has_the_same_id_though_its_boxes_differ(rig: Rig):
    await rig.kinguin(notice(codes=list(CODES[:1])))
    await rig.kinguin(notice(codes=list(CODES[:1])))
    await rig.kinguin(notice(codes=list(CODES[1:2])))

    first, repeat, other = rig.events
    assert first.event_id == repeat.event_id != other.event_id
    assert first.codes != repeat.codes


async def test_the_previous_token_is_accepted_and_told_apart(rig: Rig):
    assert (await rig.kinguin(notice(), token=KINGUIN_TOKEN_BEFORE)).status == 200

    assert rig.logged[0].matched == "previous/token"


@pytest.mark.parametrize("kind", ["", "text/plain", "aplication/json", "application/octet-stream"])
async def test_the_content_type_may_be_misspelled(rig: Rig, kind: str):
    headers = {"X-Auth-Token": rigs.KINGUIN_TOKEN, "Content-Type": kind}
    assert (await rig.post("/webhooks/kinguin", json.dumps(notice()).encode(), **headers)).status == 200


async def test_one_line_tells_what_was_accepted(rig: Rig, lines: Lines):
    await rig.kinguin(notice(codes=list(CODES)))

    (line,) = lines.of("webhook.accepted")
    assert (line["order_id"], line["external_id"], line["notice"]) == (ORDER, "res-1", "delivered")
    assert line["code_count"] == "3"


# The allow list


@pytest.mark.parametrize("allowed", ["127.0.0.1", "10.0.0.1,127.0.0.0/8", "::1,127.0.0.1"])
async def test_an_allowed_address(start: Start, allowed: str):
    rig = await start(rigs.settings(kinguin_allowed_ips=allowed))

    assert (await rig.kinguin(notice())).status == 200


async def test_another_address_is_refused_and_told(start: Start):
    rig = await start(rigs.settings(kinguin_allowed_ips="10.0.0.0/8,2001:db8::/32"))

    await refusal(await rig.kinguin(notice()), 403, "127.0.0.1")
    await refusal(await rig.kinguin(notice(), token="wrong"), 401)
    assert rig.producer.sent == []


async def test_behind_a_trusted_proxy_the_address_before_it_is_judged(start: Start):
    rig = await start(rigs.settings(kinguin_allowed_ips="198.51.100.0/24", trusted_proxies="127.0.0.1,10.0.0.0/8"))

    assert (await rig.kinguin(notice(), **{"X-Forwarded-For": "1.1.1.1, 198.51.100.7, 10.1.1.1"})).status == 200
    await refusal(await rig.kinguin(notice(), **{"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}), 403, "203.0.113.9")
    await refusal(await rig.kinguin(notice()), 403, "127.0.0.1")
    assert [logged.remote_address for logged in rig.logged] == ["198.51.100.7"]


async def test_nobody_else_chooses_an_address(start: Start):
    rig = await start(rigs.settings(kinguin_allowed_ips="198.51.100.0/24"))

    await refusal(await rig.kinguin(notice(), **{"X-Forwarded-For": "198.51.100.7"}), 403, "127.0.0.1")


async def test_the_allow_list_is_for_kinguin_only(start: Start):
    rig = await start(rigs.settings(kinguin_allowed_ips="10.0.0.1"))

    assert (await rig.ipn(rigs.ipn())).status == 200


# The public buyer API


STATUS = {
    "orderId": "PHS84FJAG5U",
    "orderExternalId": EXTERNAL,
    "status": "completed",
    "updatedAt": "2020-10-16T11:24:08.015+00:00",
}


async def test_an_esa_order_status_becomes_a_hint(rig: Rig):
    response = await rig.esa(STATUS)

    assert (response.status, await response.read()) == (204, b"")
    (event,) = rig.events
    assert (event.order_id, event.notice, event.provider_status) == (ORDER, Notice.CHANGED, "completed")
    assert (event.external_id, event.reservation_id) == (EXTERNAL, "PHS84FJAG5U")
    assert event.provider_updated_at == datetime(2020, 10, 16, 11, 24, 8, 15000, UTC)
    (logged,) = rig.logged
    assert (logged.external_id, logged.event_type) == ("PHS84FJAG5U", "order.status/completed")
    assert (logged.order_id, logged.matched) == (ORDER, "current/esa")
    assert json.loads(logged.body) == STATUS
    assert logged.headers["x-event-name"] == "order.status"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("product.update", {"kinguinId": 1949, "productId": "5c9b", "qty": 3, "textQty": 2, "cheapestOfferId": ["a"]}),
        ("product.update", {"orderExternalId": EXTERNAL}),
        ("order.status", STATUS | {"orderExternalId": "not-ours"}),
        ("order.status", b""),
        ("test", b"{}"),
        ("é" * 200, b"{}"),
    ],
    ids=["product", "product with an order", "another's order", "nothing", "test button", "odd name"],
)
async def test_other_esa_notifications_are_only_logged(rig: Rig, name: str, body: Any):
    assert (await rig.esa(body, name=name)).status == 204

    assert rig.events == []
    assert "no order of ours" in rig.logged[0].note


async def test_esa_repeats_share_an_id_and_a_later_update_has_another(rig: Rig):
    await rig.esa(STATUS)
    await rig.esa(STATUS)
    await rig.esa(STATUS | {"updatedAt": "2020-10-16T11:24:09.000+00:00"})

    first, repeat, later = rig.events
    assert first.event_id == repeat.event_id != later.event_id


@pytest.mark.parametrize("body", [b"nonsense", b"[]"])
async def test_an_esa_body_that_cannot_be_read(rig: Rig, body: bytes):
    await refusal(await rig.esa(body), 400)
