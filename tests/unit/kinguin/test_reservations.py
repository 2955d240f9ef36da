"""The `reservations` dialect, answer by answer, against a real server on localhost."""

import socket

import pytest

from bitloot.code_hashes import CodeHasher
from bitloot.errors import BitLootError, Cause, Refused, Transient, Unknown
from bitloot.sealing import Opener
from fulfillment.kinguin.market import open_market
from fulfillment.kinguin.ports import Delivered, KeyMarket, Placed, Undelivered
from tests.unit.kinguin.conftest import HASH_KEY, MakeSettings
from tests.unit.kinguin.samples import EXTERNAL, PRODUCT, RESERVATION, buy, fetch, give, look_up
from tests.unit.kinguin.scripted import Hangs, HangsUp, Kinguin, Says

RESERVED = Says(
    201, {"reservationId": RESERVATION, "orderId": EXTERNAL, "productId": PRODUCT, "quantity": 2, "status": "BUYING"}
)
GIVEN = Says(200, {"reservationId": RESERVATION, "status": "BOUGHT"})
HTML = Says(200, b"<html><body>Bad gateway</body></html>", {"Content-Type": "text/html"})
HALF = Says(200, b'{"reservationId": "res-7", "orde')
TWICE = Says(200, b'{"reservationId": "res-7", "reservationId": "res-8"}')
HUGE = Says(200, b'{"reservationId": "res-7", "x": "' + b"a" * (3 << 20) + b'"}')
DEEP = Says(200, b"[" * 100_000)
ERROR_IN_DISGUISE = Says(200, {"kind": "ProductUnavailable", "status": 404, "reservationId": RESERVATION})
BAD_ANSWERS = {
    "html instead of json": HTML,
    "json cut in half": HALF,
    "a name twice": TWICE,
    "over the size limit": HUGE,
    "nested too deep": DEEP,
    "a list": Says(200, []),
    "a number without end": Says(200, b'{"reservationId": "res-7", "quantity": NaN}'),
    "an error under status 200": ERROR_IN_DISGUISE,
    "invalid utf-8": Says(200, b'{"reservationId": "\xff"}'),
    "compressed unasked": Says(200, b'{"reservationId": "res-7"}', {"Content-Encoding": "br"}),
    "a redirect to another host": Says(307, b"", {"Location": "http://127.0.0.1:9/elsewhere"}),
}


def problem(status: int, kind: str | None, headers: dict[str, str] | None = None) -> Says:
    return Says(status, {"kind": kind, "status": status, "title": "x", "trace": "ab12"}, headers or {})


# Buying


async def test_buying_reserves_and_gives_at_once(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("reserve", RESERVED)
    kinguin.script("give", GIVEN)
    assert await market.buy(buy(2)) == Placed(RESERVATION, given=True, provider_status="BOUGHT")
    (reserve,) = kinguin.calls("reserve")
    assert reserve.body == {"orderId": EXTERNAL, "productId": PRODUCT, "quantity": 2}
    assert reserve.path == "/kinguin/reservations"
    (given,) = kinguin.calls("give")
    assert given.path == f"/kinguin/reservations/{RESERVATION}/give"
    assert given.authorization == reserve.authorization is not None


async def test_an_answer_with_nothing_but_its_id_is_enough(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("reserve", Says(200, {"id": 4711}))
    kinguin.script("give", Says(204))
    assert await market.buy(buy()) == Placed("4711", given=True)


async def test_an_id_cannot_leave_its_place_in_the_path(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("reserve", Says(201, {"reservationId": "a/../b?c#d"}))
    kinguin.script("give", GIVEN)
    assert (await market.buy(buy())).reservation_id == "a/../b?c#d"
    assert kinguin.calls("give")[0].path == "/kinguin/reservations/a/../b?c#d/give"


async def test_a_reservation_that_is_bought_already_is_not_given_again(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("reserve", Says(200, {"reservationId": RESERVATION, "status": "DELIVERED"}))
    assert (await market.buy(buy())).given
    assert not kinguin.calls("give")


@pytest.mark.parametrize(
    "line",
    [
        problem(500, None),
        problem(429, None),
        problem(402, "InsufficientBalance"),
        problem(404, "ReservationNotFound"),
        HTML,
        HALF,
        HangsUp(),
        Says(200, {"reservationId": "another"}),
        Says(200, {"status": "CANCELED"}),
        Says(200, {"status": "SOMETHING_NEW"}),
    ],
    ids=repr,
)
async def test_a_reservation_that_could_not_be_given_is_not_lost(kinguin: Kinguin, market: KeyMarket, line):
    kinguin.script("reserve", RESERVED)
    kinguin.script("give", line)
    placed = await market.buy(buy(2))
    assert (placed.reservation_id, placed.given) == (RESERVATION, False)


async def test_a_give_that_never_answers_does_not_lose_the_reservation(kinguin: Kinguin, hasty_market: KeyMarket):
    kinguin.script("reserve", RESERVED)
    kinguin.script("give", Hangs())
    placed = await hasty_market.buy(buy(2))
    assert (placed.reservation_id, placed.given) == (RESERVATION, False)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_a_5xx_on_reserving_is_unknown(kinguin: Kinguin, market: KeyMarket, status):
    kinguin.script("reserve", problem(status, "Error"))
    await fails(market.buy(buy()), Unknown, Cause.PROVIDER_UNAVAILABLE)


async def test_a_connection_lost_after_sending_is_unknown(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("reserve", HangsUp())
    await fails(market.buy(buy()), Unknown, Cause.PROVIDER_UNAVAILABLE)
    assert len(kinguin.calls("reserve")) == 1


async def test_no_answer_in_time_is_unknown(kinguin: Kinguin, hasty_market: KeyMarket):
    kinguin.script("reserve", Hangs())
    await fails(hasty_market.buy(buy()), Unknown, Cause.TIMEOUT)
    assert len(kinguin.calls("reserve")) == 1


@pytest.mark.parametrize("line", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_an_unreadable_answer_to_reserving_is_unknown(kinguin: Kinguin, market: KeyMarket, line):
    kinguin.script("reserve", line)
    await fails(market.buy(buy()), Unknown, Cause.BAD_ANSWER)
    assert not kinguin.calls("give")


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"reservationId": None},
        {"reservationId": ""},
        {"reservationId": "a b"},
        {"reservationId": "a\nb"},
        {"reservationId": ".."},
        {"reservationId": "x" * 129},
        {"reservationId": True},
        {"reservationId": {"id": "x"}},
        {"reservationId": "ok", "orderId": "another"},
        {"reservationId": "ok", "productId": "another"},
        {"reservationId": "ok", "quantity": 3},
        {"reservationId": "ok", "quantity": True},
    ],
    ids=repr,
)
async def test_an_answer_about_something_else_is_unknown(kinguin: Kinguin, market: KeyMarket, members):
    kinguin.script("reserve", Says(201, members))
    await fails(market.buy(buy(1)), Unknown, Cause.BAD_ANSWER)
    assert not kinguin.calls("give")


async def test_a_refused_connection_is_transient(make_settings: MakeSettings):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening
        base = f"http://127.0.0.1:{free.getsockname()[1]}"
        kinguin_settings = make_settings(kinguin_base_url=base)
        async with open_market(kinguin_settings) as market:
            await fails(market.buy(buy()), Transient, Cause.PROVIDER_UNAVAILABLE)


async def test_an_unknown_host_is_transient(make_settings: MakeSettings):
    async with open_market(make_settings(kinguin_base_url="http://kinguin.invalid")) as market:
        await fails(market.buy(buy()), Transient, Cause.PROVIDER_UNAVAILABLE)


async def test_429_is_transient_and_its_wait_is_passed_on(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("reserve", problem(429, "TooManyRequests", {"Retry-After": "17"}))
    error = await fails(market.buy(buy()), Transient, Cause.RATE_LIMITED)
    assert isinstance(error, Transient)
    assert error.retry_after == 17


async def test_401_after_a_new_token_is_transient(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("reserve", problem(401, "Authorization"))
    await fails(market.buy(buy()), Transient, Cause.AUTHORIZATION)
    assert len(kinguin.calls("reserve")) == 2
    assert kinguin.tokens_issued == 2


REFUSED = {
    (404, "ProductUnavailable"): Cause.OUT_OF_STOCK,
    (409, "OutOfStock"): Cause.OUT_OF_STOCK,
    (422, "out_of_stock"): Cause.OUT_OF_STOCK,
    (404, None): Cause.OUT_OF_STOCK,
    (404, "NotFound"): Cause.OUT_OF_STOCK,
    (409, "OfferNotVisible"): Cause.NOT_VISIBLE,
    (400, "ConstraintViolation"): Cause.REJECTED,
    (400, None): Cause.REJECTED,
    (422, "Preorder"): Cause.REJECTED,
    (400, "OrderNotSupported"): Cause.REJECTED,
    (413, None): Cause.REJECTED,
}


@pytest.mark.parametrize(("status", "kind"), REFUSED)
async def test_a_refused_reservation_says_why(kinguin: Kinguin, market: KeyMarket, status, kind):
    kinguin.script("reserve", problem(status, kind))
    error = await fails(market.buy(buy()), Refused, REFUSED[status, kind])
    assert str(status) in error.detail
    assert "ab12" in error.detail


@pytest.mark.parametrize(("status", "kind"), [(402, None), (400, "InsufficientBalance"), (403, "InsufficientBalance")])
async def test_an_empty_account_is_waited_for(kinguin: Kinguin, market: KeyMarket, status, kind):
    kinguin.script("reserve", problem(status, kind))
    kinguin.script("give", problem(status, kind))
    for call in (market.buy(buy()), market.give(give())):
        error = await fails(call, Transient, Cause.INSUFFICIENT_BALANCE)
        assert isinstance(error, Transient)
        assert error.retry_after == 60


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (422, "OrderFailed"),
        (400, "Error"),
        (400, "HttpClient"),
        (422, None),
        (409, None),
        (409, "ResourceLock"),
        (409, "OrderExists"),
        (400, "OrderAlreadyExists"),
        (408, None),
    ],
)
async def test_a_refusal_that_leaves_the_outcome_open_is_unknown(kinguin: Kinguin, market: KeyMarket, status, kind):
    kinguin.script("reserve", problem(status, kind))
    with pytest.raises(Unknown):
        await market.buy(buy())


async def test_403_is_repaired_in_the_account_not_in_the_order(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("reserve", problem(403, None))
    await fails(market.buy(buy()), Transient, Cause.AUTHORIZATION)


async def test_a_404_of_something_in_between_says_nothing_about_the_stock(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("reserve", Says(404, b"<html>nginx</html>"))
    await fails(market.buy(buy()), Transient, Cause.BAD_ANSWER)


@pytest.mark.parametrize("status", [400, 404, 409, 410, 422])
async def test_a_refusal_to_read_that_nobody_can_read_is_asked_again(kinguin: Kinguin, market: KeyMarket, status):
    kinguin.script("delivered", Says(status, b'{"kind": "NotDeliv'))
    await fails(market.fetch(fetch()), Transient, Cause.BAD_ANSWER)


async def test_a_redirect_is_not_followed(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("reserve", Says(302, b"", {"Location": kinguin.base_url + "/elsewhere"}))
    await fails(market.buy(buy()), Unknown, Cause.BAD_ANSWER)
    assert {asked.path for asked in kinguin.asked} == {"/kinguin-id/auth/token", "/kinguin/reservations"}


# Giving


@pytest.mark.parametrize(
    "line",
    [
        GIVEN,
        Says(200),
        Says(204),
        Says(200, {}),
        Says(200, {"status": "delivered"}),
        Says(409),
        problem(409, None),
        problem(409, "AlreadyGiven"),
        problem(400, "ReservationAlreadyBought"),
        Says(409, {"kind": "Conflict", "status": "BOUGHT"}),
    ],
    ids=repr,
)
async def test_given_now_or_before_is_given(kinguin: Kinguin, market: KeyMarket, line):
    kinguin.script("give", line)
    await market.give(give())


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (problem(404, "ReservationNotFound"), Cause.NOT_FOUND),
        (problem(404, None), Cause.NOT_FOUND),
        (problem(409, "ReservationEnded"), Cause.CANCELED),
        (problem(409, "Cancelled"), Cause.CANCELED),
        (problem(410, None), Cause.CANCELED),
        (problem(409, "OutOfStock"), Cause.OUT_OF_STOCK),
        (Says(200, {"status": "CANCELED"}), Cause.CANCELED),
        (Says(200, {"status": "REVERSED"}), Cause.REFUNDED),
        (problem(409, "AlreadyCanceled"), Cause.CANCELED),
        (problem(400, "ReservationAlreadyExpired"), Cause.CANCELED),
        (problem(409, "already_refunded"), Cause.REFUNDED),
        (Says(409, {"error": "AlreadyProcessed", "status": "CANCELED"}), Cause.CANCELED),
        (Says(409, {"status": "REVERSED"}), Cause.REFUNDED),
    ],
    ids=repr,
)
async def test_a_refused_give_says_why(kinguin: Kinguin, market: KeyMarket, line, cause):
    kinguin.script("give", line)
    await fails(market.give(give()), Refused, cause)


@pytest.mark.parametrize(
    "line",
    [
        *BAD_ANSWERS.values(),
        problem(500, None),
        HangsUp(),
        problem(409, "ResourceLock"),
        problem(409, "AlreadyReserved"),
        Says(409, b"<html>nginx</html>"),
        Says(200, {"reservationId": "another"}),
        Says(200, {"status": "BUYING"}),
        Says(200, {"status": "SOMETHING_NEW"}),
    ],
    ids=lambda line: repr(line)[:60],
)
async def test_a_give_without_a_clear_answer_is_unknown(kinguin: Kinguin, market: KeyMarket, line):
    kinguin.script("give", line)
    with pytest.raises(Unknown):
        await market.give(give())
    assert len(kinguin.calls("give")) == 1


async def test_a_give_without_an_answer_in_time_is_unknown(kinguin: Kinguin, hasty_market: KeyMarket):
    kinguin.script("give", Hangs())
    await fails(hasty_market.give(give()), Unknown, Cause.TIMEOUT)


# Looking up


def item(reservation: str, status: str = "BOUGHT", order: str = EXTERNAL) -> dict[str, object]:
    return {"reservationId": reservation, "orderId": order, "status": status}


async def test_a_look_up_tells_what_there_is(kinguin: Kinguin, market: KeyMarket):
    statuses = ["BUYING", "BOUGHT", "DELIVERED", "CANCELED", "REVERSED"]
    kinguin.script("lookup", Says(200, {"items": [item(f"r{status}", status) for status in statuses]}))
    found = await market.look_up(look_up())
    assert [(each.provider_status, each.given, each.canceled) for each in found] == [
        ("BUYING", False, False),
        ("BOUGHT", True, False),
        ("DELIVERED", True, False),
        ("CANCELED", False, True),
        ("REVERSED", True, False),  # it was bought: no reason to buy again
    ]
    assert kinguin.calls("lookup")[0].query == {"orderId": EXTERNAL}


async def test_only_our_exact_external_id_counts(kinguin: Kinguin, market: KeyMarket):
    others = [item("r2", order=f"{EXTERNAL}0"), item("r3", order=EXTERNAL[:-2]), item("r4", order=f"{EXTERNAL}-p2")]
    kinguin.script("lookup", Says(200, {"items": [*others, item("r1")]}))
    assert [each.reservation_id for each in await market.look_up(look_up())] == ["r1"]


async def test_longer_external_ids_alone_mean_that_nothing_was_found(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("lookup", Says(200, {"items": [item("r2", order=f"{EXTERNAL}-p2")]}))
    assert await market.look_up(look_up()) == ()


@pytest.mark.parametrize("total", [{}, {"total": None}, {"total": 0}, {"total": "0"}], ids=repr)
async def test_nothing_found_is_an_answer(kinguin: Kinguin, market: KeyMarket, total):
    kinguin.script("lookup", Says(200, {"items": []} | total))
    assert await market.look_up(look_up()) == ()


@pytest.mark.parametrize("status", [404, 405])
async def test_a_look_up_that_something_in_between_refuses_is_asked_again(kinguin: Kinguin, market: KeyMarket, status):
    kinguin.script("lookup", Says(status, b"<html>nginx</html>"))
    await fails(market.look_up(look_up()), Transient, Cause.BAD_ANSWER)


@pytest.mark.parametrize("status", [404, 405])
async def test_a_market_without_look_ups_cannot_be_asked(kinguin: Kinguin, market: KeyMarket, status):
    kinguin.script("lookup", problem(status, None))
    await fails(market.look_up(look_up()), Refused, Cause.CANNOT_ASK)


@pytest.mark.parametrize(
    "line",
    [
        *BAD_ANSWERS.values(),
        Says(200, {}),
        Says(200, {"items": {}}),
        Says(200, {"items": [{"reservationId": "r1", "status": "BOUGHT"}]}),
        Says(200, {"items": [{"orderId": EXTERNAL, "status": "BOUGHT"}]}),
        Says(200, {"items": ["r1"]}),
        Says(200, {"items": [item("r1", "SOMETHING_NEW")]}),
        Says(200, {"items": [{"reservationId": "r1", "orderId": EXTERNAL}]}),
        Says(200, {"items": [item("r1", "BUYING"), item("r1", "BOUGHT")]}),
        Says(200, {"items": [], "total": 1}),
        Says(200, {"items": [], "total": "1"}),
        Says(200, {"items": [], "total": []}),
        Says(200, {"items": [item("r1", order="another order")]}),
    ],
    ids=lambda line: repr(line)[:80],
)
async def test_a_look_up_that_could_hide_a_purchase_is_asked_again(kinguin: Kinguin, market: KeyMarket, line):
    kinguin.script("lookup", line)
    await fails(market.look_up(look_up()), Transient, Cause.BAD_ANSWER)


async def test_a_failed_look_up_is_asked_again(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("lookup", problem(503, None, {"Retry-After": "3"}))
    error = await fails(market.look_up(look_up()), Transient, Cause.PROVIDER_UNAVAILABLE)
    assert isinstance(error, Transient)
    assert error.retry_after == 3


# Codes


@pytest.mark.parametrize(
    "body",
    [
        {"codes": ["AAA-1", "BBB-2"]},
        {"keys": ["AAA-1", "BBB-2"]},
        {"codes": [], "keys": ["AAA-1", "BBB-2"]},
        {"codes": ["AAA-1", "BBB-2"], "keys": ["AAA-1", "BBB-2"]},
        {"keys": [{"serial": "AAA-1", "type": "text/plain"}, {"serial": "BBB-2", "id": 5}]},
        {"codes": ["AAA-1", "BBB-2"], "status": "DELIVERED", "reservationId": RESERVATION, "orderId": EXTERNAL},
    ],
    ids=repr,
)
async def test_codes_come_sealed_and_in_order(kinguin: Kinguin, market: KeyMarket, opener: Opener, body):
    kinguin.script("delivered", Says(200, body))
    fetched = await market.fetch(fetch(2))
    assert isinstance(fetched, Delivered)
    (codes,) = (line.codes for line in fetched.lines)
    assert [opener.open(code) for code in codes] == [b"AAA-1", b"BBB-2"]
    assert {code.media_type for code in codes} == {"text/plain"}
    assert [code.hashes for code in codes] == [CodeHasher([HASH_KEY]).of(code) for code in ("AAA-1", "BBB-2")]
    assert kinguin.calls("delivered")[0].path == f"/kinguin/reservations/{RESERVATION}/delivered"


async def test_a_single_code(kinguin: Kinguin, market: KeyMarket, opener: Opener):
    kinguin.script("delivered", Says(200, {"code": "AAA-1"}))
    fetched = await market.fetch(fetch(1))
    assert isinstance(fetched, Delivered)
    assert [opener.open(code) for code in fetched.lines[0].codes] == [b"AAA-1"]


@pytest.mark.parametrize(
    "line",
    [
        problem(404, "NotDelivered"),
        problem(409, "NotDelivered"),
        problem(404, None),
        problem(409, "Error"),
        Says(404),
        Says(202),
        Says(204),
        Says(425),
        Says(202, {"status": "PROCESSING"}),
        Says(200, {"codes": []}),
        Says(200, {"codes": None, "status": "BOUGHT"}),
        Says(200, {"codes": ["AAA-1"], "status": "BOUGHT"}),
        Says(200, {"codes": ["AAA-1"]}),
        Says(200, {"keys": [{"serial": "AAA-1"}, {"id": 6, "status": "PENDING"}], "status": "DELIVERED"}),
    ],
    ids=repr,
)
async def test_codes_that_are_not_all_there_are_waited_for(kinguin: Kinguin, market: KeyMarket, line):
    kinguin.script("delivered", line)
    assert isinstance(await market.fetch(fetch(2)), Undelivered)


async def test_the_status_of_an_undelivered_purchase_is_told(kinguin: Kinguin, market: KeyMarket):
    kinguin.script("delivered", problem(409, "NotDelivered"), Says(200, {"status": "PROCESSING_PREORDER"}))
    assert await market.fetch(fetch()) == Undelivered("NotDelivered")
    assert await market.fetch(fetch()) == Undelivered("PROCESSING_PREORDER")


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (Says(200, {"status": "CANCELED"}), Cause.CANCELED),
        (Says(200, {"codes": ["AAA-1", "BBB-2"], "status": "REFUNDED"}), Cause.REFUNDED),
        (Says(200, {"status": "REVERSED"}), Cause.REFUNDED),
        (Says(409, {"kind": "NotDelivered", "status": "CANCELED"}), Cause.CANCELED),
        (problem(409, "Cancelled"), Cause.CANCELED),
        (problem(409, "ReservationRefunded"), Cause.REFUNDED),
        (problem(410, None), Cause.CANCELED),
        (Says(200, {"keys": [{"serial": "AAA-1"}, {"status": "REFUNDED"}]}), Cause.REFUNDED),
        (Says(200, {"keys": [{"serial": "AAA-1"}, {"status": "CANCELED"}]}), Cause.CANCELED),
        (Says(200, {"codes": ["AAA-1", "BBB-2", "CCC-3"]}), Cause.BAD_CODES),
        (Says(200, {"codes": ["AAA-1", "AAA-1"]}), Cause.BAD_CODES),
        (Says(200, {"codes": ["AAA-1"], "status": "DELIVERED"}), Cause.BAD_CODES),
    ],
    ids=repr,
)
async def test_codes_that_cannot_be_handed_on_say_why(kinguin: Kinguin, market: KeyMarket, line, cause):
    kinguin.script("delivered", line)
    await fails(market.fetch(fetch(2)), Refused, cause)


@pytest.mark.parametrize(
    "line",
    [
        *(line for line in BAD_ANSWERS.values() if line is not ERROR_IN_DISGUISE),
        Says(200, {"kind": "Error", "status": 500}),
        Says(200, {"codes": ["AAA-1", "BBB-2"], "reservationId": "another"}),
        Says(200, {"codes": ["AAA-1", "BBB-2"], "orderId": "another"}),
        Says(404, b"<html>nginx</html>"),
    ],
    ids=lambda line: repr(line)[:80],
)
async def test_an_answer_that_makes_no_sense_is_asked_for_again(kinguin: Kinguin, market: KeyMarket, line):
    kinguin.script("delivered", line)
    await fails(market.fetch(fetch(2)), Transient, Cause.BAD_ANSWER)


@pytest.mark.parametrize("line", [problem(500, None), HangsUp()], ids=repr)
async def test_a_failed_read_is_transient(kinguin: Kinguin, market: KeyMarket, line):
    kinguin.script("delivered", line)
    await fails(market.fetch(fetch(2)), Transient, Cause.PROVIDER_UNAVAILABLE)


async def test_a_read_without_an_answer_in_time_is_transient(kinguin: Kinguin, hasty_market: KeyMarket):
    kinguin.script("delivered", Hangs())
    await fails(hasty_market.fetch(fetch(2)), Transient, Cause.TIMEOUT)


async def fails(call, family: type[BitLootError], cause: Cause) -> BitLootError:
    with pytest.raises(BitLootError) as caught:
        await call
    assert (type(caught.value), caught.value.cause) == (family, cause), caught.value
    return caught.value
