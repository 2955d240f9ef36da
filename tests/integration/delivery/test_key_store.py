"""What every key store does: the one in memory and R2's adapter on a real S3 server."""

from datetime import timedelta

import httpx
import pytest

from bitloot.errors import Cause, Refused
from tests.fakes.key_store import FakeKeyStore
from tests.integration.delivery.conftest import now, open_r2

KEY = "keys/0f8fad5b-d9cb-869f-a165-70867728950e.json"
BODY = '{"codes": ["ÄÖÜ-1"]}'.encode()


@pytest.fixture(params=["memory", pytest.param("r2", marks=pytest.mark.stack)])
def store(request):
    return FakeKeyStore(now) if request.param == "memory" else request.getfixturevalue("r2")


async def test_an_object_is_written_once(store):
    assert await store.put_new(KEY, BODY) is True
    assert await store.put_new(KEY, BODY) is False
    assert await store.put_new(KEY, b"other") is False
    assert await store.get(KEY) == BODY


async def test_objects_do_not_share(store):
    assert await store.put_new(KEY, BODY) is True
    assert await store.put_new(f"{KEY}2", b"other") is True
    assert await store.get(KEY) == BODY


async def test_what_is_not_there_cannot_be_read(store):
    with pytest.raises(Refused) as refused:
        await store.get(KEY)

    assert refused.value.cause is Cause.NOT_FOUND


async def test_a_link_lives_for_its_time(store):
    before = now()
    link = await store.sign(KEY)

    assert KEY in link.url
    assert before + timedelta(minutes=15) <= link.expires_at <= now() + timedelta(minutes=15)


# --- What only a server can show ------------------------------------------------------------------


async def test_a_link_opens_the_object_for_whoever_has_it(r2):
    await r2.put_new(KEY, BODY)
    link = await r2.sign(KEY)
    async with httpx.AsyncClient() as stranger:
        answer = await stranger.get(link.url)
        unsigned = await stranger.get(link.url.split("?", maxsplit=1)[0])
        altered = await stranger.get(link.url[:-1] + ("0" if link.url[-1] != "0" else "1"))

    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert {unsigned.status_code, altered.status_code} == {403}


async def test_a_page_of_another_origin_may_read_through_a_link(r2):
    await r2.put_new(KEY, BODY)
    link = await r2.sign(KEY)
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(link.url, headers={"Origin": "http://127.0.0.1:8080"})

    assert answer.headers["Access-Control-Allow-Origin"] in {"*", "http://127.0.0.1:8080"}


async def test_a_link_past_its_time_opens_nothing(bucket):
    async with open_r2(bucket, timedelta(seconds=1)) as r2, httpx.AsyncClient() as stranger:
        await r2.put_new(KEY, BODY)
        link = await r2.sign(KEY)
        assert (await stranger.get(link.url)).status_code == 200
        while (answer := await stranger.get(link.url)).status_code == 200:
            assert now() < link.expires_at + timedelta(seconds=5)

    assert answer.status_code in {400, 403}


async def test_wrong_credentials_are_refused(bucket):
    async with open_r2(type(bucket)(bucket.name, bucket.endpoint, bucket.access_key, "wrong")) as r2:
        with pytest.raises(Refused) as refused:
            await r2.put_new(KEY, BODY)

    assert refused.value.cause is Cause.AUTHORIZATION


async def test_a_missing_bucket_is_refused(bucket):
    async with open_r2(type(bucket)("no-such-bucket", bucket.endpoint, bucket.access_key, bucket.secret_key)) as r2:
        with pytest.raises(Refused) as refused:
            await r2.put_new(KEY, BODY)

    assert refused.value.cause is Cause.NOT_FOUND
