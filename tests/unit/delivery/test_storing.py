import hashlib
import json

import pytest

from bitloot.contracts.sealed import SealedCode
from bitloot.errors import Cause, Refused, Transient
from bitloot.sealing import Sealer, generate_key_pair
from delivery.storing import object_key, store_keys
from tests.fakes.key_store import FakeKeyStore
from tests.fakes.time import FakeTime
from tests.unit.delivery.samples import OPENER, ORDER, SEALER, sealed_effect, store_effect

KEY = f"keys/{ORDER}.json"


@pytest.fixture
def time():
    return FakeTime()


@pytest.fixture
def store(time):
    return FakeKeyStore(time)


@pytest.fixture
def run(store, time):
    async def run(effect):
        return await store_keys(effect, opener=OPENER, store=store, clock=time)

    return run


async def test_codes_are_written_in_the_order_of_the_items(run, store, time):
    outcome = await run(store_effect(["AAA-1", "AAA-2"], ["BBB-1"]))

    assert object_key(ORDER) == KEY
    assert list(store.objects) == [KEY]
    assert json.loads(store.objects[KEY]) == {"codes": ["AAA-1", "AAA-2", "BBB-1"]}
    assert outcome.event_id == f"{ORDER}/store/1/stored"
    assert outcome.effect_id == f"{ORDER}/store/1"
    assert outcome.occurred_at == time()
    assert (outcome.object_key, outcome.codes) == (KEY, 3)
    assert outcome.sha256 == hashlib.sha256(store.objects[KEY]).hexdigest()


async def test_codes_may_be_any_text(run, store):
    codes = ["Ключ-“1”", 'quote"back\\slash', " spaced ", "line\nbreak", "🎮"]

    await run(store_effect(codes))

    assert json.loads(store.objects[KEY]) == {"codes": codes}


async def test_storing_again_is_the_same_outcome(run, store):
    first = await run(store_effect(["AAA-1"]))
    second = await run(store_effect(["AAA-1"], attempt=2))  # sealed anew: other boxes, same content

    assert len(store.objects) == 1
    assert (second.object_key, second.sha256, second.codes) == (first.object_key, first.sha256, first.codes)
    assert second.event_id == f"{ORDER}/store/2/stored"


async def test_a_lost_answer_is_found_by_the_next_try(run, store):
    store.lost_answers = [Transient(Cause.STORAGE_UNAVAILABLE, "storage: ReadTimeoutError")]

    with pytest.raises(Transient):
        await run(store_effect(["AAA-1"]))

    assert (await run(store_effect(["AAA-1"], attempt=2))).codes == 1


async def test_an_object_with_other_codes_is_a_conflict_and_stays(run, store):
    await run(store_effect(["AAA-1"]))

    with pytest.raises(Refused) as refused:
        await run(store_effect(["ZZZ-9"], attempt=2))

    assert refused.value.cause is Cause.CONFLICT
    assert "ZZZ" not in str(refused.value)
    assert json.loads(store.objects[KEY]) == {"codes": ["AAA-1"]}


@pytest.mark.parametrize("items", [(["SAME", "SAME"],), (["SAME"], ["OTHER", "SAME"])])
async def test_the_same_code_twice_is_refused(run, store, items):
    with pytest.raises(Refused) as refused:
        await run(store_effect(*items))

    assert refused.value.cause is Cause.DUPLICATE_KEY
    assert "SAME" not in str(refused.value)
    assert store.objects == {}


STRANGER = Sealer(generate_key_pair("another-key").public)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (SEALER.seal(b"<svg/>", media_type="image/svg+xml"), Cause.UNSUPPORTED_MEDIA),
        (SEALER.seal(b"<html>", media_type="image/png"), Cause.UNSUPPORTED_MEDIA),
        (SEALER.seal(b"\xff\xfe"), Cause.UNSUPPORTED_MEDIA),
        (STRANGER.seal("AAA-2"), Cause.UNKNOWN_KEY_ID),
        (SealedCode(key_id="test-key", box="AAAA"), Cause.BROKEN_BOX),
    ],
    ids=["svg", "no picture", "not UTF-8", "another key", "broken box"],
)
async def test_codes_that_cannot_be_read_store_nothing_and_name_the_item(run, store, code, cause):
    with pytest.raises(Refused) as refused:
        await run(sealed_effect([SEALER.seal("AAA-1"), code]))

    assert refused.value.cause is cause
    assert f"code 2 of {ORDER}-1" in refused.value.detail
    assert store.objects == {}


PNG, JPEG = b"\x89PNG\r\n\x1a\n" + bytes(9), b"\xff\xd8\xff\xe0" + bytes(9)


async def test_a_picture_is_an_object_of_its_own_beside_the_list(run, store):
    items = [SEALER.seal("AAA-1"), SEALER.seal(PNG, "image/png")], [SEALER.seal(JPEG, "image/jpeg"), SEALER.seal("B")]
    outcome = await run(sealed_effect(*items))

    assert json.loads(store.objects[KEY]) == {"codes": ["AAA-1", "B"]}
    first, second = f"keys/{ORDER}/2.png", f"keys/{ORDER}/3.jpg"
    assert (store.objects[first], store.types[first]) == (PNG, "image/png")
    assert (store.objects[second], store.types[second]) == (JPEG, "image/jpeg")
    assert [(each.item_id, each.position, each.object_key, each.media_type) for each in outcome.objects] == [
        (f"{ORDER}-1", 2, first, "image/png"),
        (f"{ORDER}-2", 1, second, "image/jpeg"),
    ]
    assert outcome.codes == 4
    again = await run(sealed_effect(*items, attempt=2))
    assert (again.objects, again.sha256) == (outcome.objects, outcome.sha256)


async def test_the_list_is_written_last_so_that_where_it_is_all_is(run, store):
    store.lost_answers = [Transient(Cause.STORAGE_UNAVAILABLE, "storage: ReadTimeoutError")]
    effect = sealed_effect([SEALER.seal("AAA-1"), SEALER.seal(PNG, "image/png")])
    with pytest.raises(Transient):
        await run(effect)
    assert list(store.objects) == [f"keys/{ORDER}/2.png"]
    assert (await run(effect)).codes == 2


async def test_another_picture_under_the_same_name_is_a_conflict(run, store):
    store.objects[f"keys/{ORDER}/1.png"] = PNG + b"other"
    with pytest.raises(Refused) as refused:
        await run(sealed_effect([SEALER.seal(PNG, "image/png")]))
    assert refused.value.cause is Cause.CONFLICT
    assert KEY not in store.objects
