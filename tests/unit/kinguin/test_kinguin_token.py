"""One token for all calls: asked for once, renewed ahead, never waited for longer than needed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from pydantic import SecretStr

from bitloot.errors import Cause, Transient
from fulfillment.kinguin.token import TokenSource
from tests.unit.kinguin.scripted import SECRET, TOKEN, Hangs, HangsUp, Kinguin, Says


@dataclass
class Uptime:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def uptime() -> Uptime:
    return Uptime()


@pytest.fixture
async def tokens(kinguin: Kinguin, uptime: Uptime) -> AsyncIterator[TokenSource]:
    async with httpx.AsyncClient(trust_env=False) as client:
        source = TokenSource(client, kinguin.auth_url, "bitloot", SecretStr(SECRET), total=10, uptime=uptime)
        yield source
        await source.close()


async def current(tokens: TokenSource) -> str:
    return (await tokens.current()).get_secret_value().removeprefix(f"{TOKEN}-")


async def test_client_credentials_are_sent_as_a_form(kinguin: Kinguin, tokens: TokenSource):
    assert await current(tokens) == "1"
    (asked,) = kinguin.asked
    assert (asked.method, asked.path) == ("POST", "/kinguin-id/auth/token")
    assert asked.body == {"grant_type": "client_credentials", "client_id": "bitloot", "client_secret": SECRET}


async def test_a_whole_address_is_taken_as_it_is(kinguin: Kinguin):
    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"{kinguin.auth_url}/oauth2/token"
        source = TokenSource(client, url, "bitloot", SecretStr(SECRET), total=5)
        await source.current()
    assert kinguin.asked[0].path == "/kinguin-id/oauth2/token"


async def test_a_token_is_kept_for_most_of_its_life(kinguin: Kinguin, tokens: TokenSource, uptime: Uptime):
    assert await current(tokens) == "1"
    uptime.seconds += 3539
    assert await current(tokens) == "1"
    uptime.seconds += 2
    assert await current(tokens) == "2"
    assert kinguin.tokens_issued == 2


@pytest.mark.parametrize(
    ("life", "kept_for"),
    [(100, 80), ("100", 80), (None, 240), ("soon", 240), (True, 240), (10**12, 86_340), (600.5, 540)],
)
async def test_whatever_its_life_it_is_renewed_ahead_of_its_end(
    kinguin: Kinguin, tokens: TokenSource, uptime: Uptime, life, kept_for
):
    kinguin.token_life = life
    assert await current(tokens) == "1"
    uptime.seconds += kept_for - 1
    assert await current(tokens) == "1"
    uptime.seconds += 2
    assert await current(tokens) == "2"


@pytest.mark.parametrize("life", [0, -5])
async def test_a_token_without_a_life_serves_the_call_that_asked_for_it(kinguin: Kinguin, tokens: TokenSource, life):
    kinguin.token_life = life
    assert [await current(tokens), await current(tokens)] == ["1", "2"]


async def test_however_many_wait_one_request_is_made(kinguin: Kinguin, tokens: TokenSource):
    assert set(await asyncio.gather(*(current(tokens) for _ in range(50)))) == {"1"}
    assert kinguin.tokens_issued == 1


async def test_a_caller_that_gives_up_does_not_take_the_others_token_with_it(kinguin: Kinguin, tokens: TokenSource):
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        asked.set()
        await go_on.wait()

    kinguin.before_token = hold
    first = asyncio.create_task(current(tokens))
    await asked.wait()
    second = asyncio.create_task(current(tokens))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go_on.set()
    assert await second == "1"
    assert kinguin.tokens_issued == 1


async def test_a_rejected_token_is_renewed_once_for_all(kinguin: Kinguin, tokens: TokenSource):
    rejected = await tokens.current()
    renewed = await asyncio.gather(*(tokens.renewed(rejected) for _ in range(20)))
    assert {token.get_secret_value() for token in renewed} == {f"{TOKEN}-2"}
    assert (await tokens.renewed(rejected)).get_secret_value() == f"{TOKEN}-2"  # heard of it late
    assert kinguin.tokens_issued == 2


async def test_a_token_that_cannot_be_renewed_yet_is_used_to_its_end(
    kinguin: Kinguin, tokens: TokenSource, uptime: Uptime
):
    await tokens.current()
    kinguin.script("token", Says(503))
    uptime.seconds += 3545
    assert [await current(tokens), await current(tokens)] == ["1", "1"]
    assert len(kinguin.asked) == 2  # not with every call
    uptime.seconds += 6
    assert await current(tokens) == "1"
    assert len(kinguin.asked) == 3
    uptime.seconds += 60
    with pytest.raises(Transient):
        await tokens.current()


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (Says(401, {"error": "invalid_client"}), Cause.AUTHORIZATION),
        (Says(400, {"error": "invalid_client"}), Cause.AUTHORIZATION),
        (Says(403), Cause.AUTHORIZATION),
        (Says(429, {}, {"Retry-After": "9"}), Cause.RATE_LIMITED),
        (Says(500), Cause.PROVIDER_UNAVAILABLE),
        (Says(302, b"", {"Location": "http://127.0.0.1:9/"}), Cause.PROVIDER_UNAVAILABLE),
        (HangsUp(), Cause.PROVIDER_UNAVAILABLE),
        (Says(200, b"<html>"), Cause.BAD_ANSWER),
        (Says(200, []), Cause.BAD_ANSWER),
        (Says(200, {"access_token": ""}), Cause.BAD_ANSWER),
        (Says(200, {"access_token": "a\r\nX-Evil: 1"}), Cause.BAD_ANSWER),
        (Says(200, {"access_token": 5}), Cause.BAD_ANSWER),
        (Says(200, {"access_token": "a", "token_type": "mac"}), Cause.BAD_ANSWER),
    ],
    ids=repr,
)
async def test_without_a_token_nothing_happened_and_it_may_work_later(
    kinguin: Kinguin, tokens: TokenSource, line, cause
):
    kinguin.script("token", line)
    with pytest.raises(Transient) as caught:
        await tokens.current()
    assert caught.value.cause is cause
    assert caught.value.retry_after == (9 if cause is Cause.RATE_LIMITED else None)
    assert SECRET not in repr(caught.value)


async def test_a_token_that_never_comes_is_not_waited_for(kinguin: Kinguin):
    kinguin.script("token", Hangs())
    async with httpx.AsyncClient(trust_env=False) as client:
        source = TokenSource(client, kinguin.auth_url, "bitloot", SecretStr(SECRET), total=0.1)
        with pytest.raises(Transient) as caught:
            await source.current()
    assert caught.value.cause is Cause.TIMEOUT


async def test_all_who_wait_for_a_failure_hear_of_it(kinguin: Kinguin, tokens: TokenSource):
    kinguin.script("token", Says(503))
    errors = await asyncio.gather(*(tokens.current() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(error, Transient) for error in errors)
    assert len({id(error) for error in errors}) == 5
    assert len(kinguin.asked) == 1
    kinguin.script("token")
    assert await current(tokens) == "1"


async def test_closing_ends_a_renewal(kinguin: Kinguin, tokens: TokenSource):
    hangs = Hangs()
    kinguin.script("token", hangs)
    waiting = asyncio.create_task(tokens.current())
    await hangs.reached.wait()
    await tokens.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
