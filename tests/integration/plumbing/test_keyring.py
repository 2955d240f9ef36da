"""What is sealed must be able to be opened: told by both sides, against a real database."""

import asyncio

import asyncpg
import pytest

from bitloot.errors import Transient
from bitloot.keyring import Keyring
from bitloot.ledger import NOT_MIGRATED, open_pool, translated
from bitloot.schema import migrated
from bitloot.sealing import Opener, generate_key_pair

OLD, NEW, IMPOSTOR = generate_key_pair("old"), generate_key_pair("new"), generate_key_pair("new")


@pytest.fixture
async def pool(database: str):
    async with open_pool(database) as pool:
        yield pool


def sealer(pool: asyncpg.Pool, public: str) -> Keyring:
    return Keyring.of_sealer(pool, "orders", public)


def opener(pool: asyncpg.Pool, *pairs) -> Keyring:
    return Keyring.of_opener(pool, "orders", Opener([pair.private for pair in pairs]))


async def test_who_comes_first_has_nothing_to_complain_about(pool):
    assert await sealer(pool, OLD.public).check() is None
    assert await opener(pool, OLD).check() is None
    assert await sealer(pool, OLD.public).check() is None


async def test_a_sealer_with_a_wrong_key_is_told_so_and_those_who_open_are_not_to_blame(pool):
    await opener(pool, OLD).check()
    complaint = await sealer(pool, NEW.public).check()
    assert complaint == "what is sealed with key new cannot be opened: the private keys held are old"
    assert await opener(pool, OLD).check() is None


async def test_an_opener_without_the_key_in_use_is_told_so(pool):
    assert await sealer(pool, NEW.public).check() is None
    assert await opener(pool, OLD).check() == "codes are sealed with key new, whose private half is not held here"


async def test_halves_that_do_not_belong_together_are_told_though_their_ids_are_the_same(pool):
    await opener(pool, NEW).check()
    complaint = await sealer(pool, IMPOSTOR.public).check()
    assert complaint == "the public key new is not the other half of the private key new that opens"


async def test_a_rotation_in_order_is_never_red(pool):
    assert await opener(pool, OLD).check() is None
    assert await sealer(pool, OLD.public).check() is None
    assert await opener(pool, NEW, OLD).check() is None  # 1. those who open hold both
    assert await sealer(pool, NEW.public).check() is None  # 2. those who seal take the new one
    await pool.execute("update sealing_keys set sealed_at = now() - interval '11 minutes' where key_id = 'old'")
    await pool.execute("update sealing_keys set opened_at = now() - interval '11 minutes' where key_id = 'old'")
    assert await opener(pool, NEW).check() is None  # 3. the old one goes
    assert await sealer(pool, OLD.public).check() is not None


async def test_the_stock_has_keys_of_its_own(pool):
    await Keyring.of_opener(pool, "stock", Opener([OLD.private])).check()
    assert await sealer(pool, NEW.public).check() is None


async def test_whoever_buys_waits_until_the_keys_agree(pool):
    await opener(pool, OLD).check()
    waiting = asyncio.create_task(sealer(pool, NEW.public).agreed())
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    await opener(pool, NEW, OLD).check()
    async with asyncio.timeout(20):
        await waiting


async def test_a_database_that_is_not_migrated_is_told(pool):
    assert await migrated(pool)() is None
    await pool.execute("drop table sealing_keys")
    waiting = asyncio.create_task(sealer(pool, NEW.public).agreed())
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done, "nothing is bought while nobody knows"
    waiting.cancel()
    assert await sealer(pool, NEW.public).check() is None, "the database's own check tells it"
    await pool.execute("delete from schema_migrations where version > 5")
    assert await migrated(pool)() == NOT_MIGRATED
    await pool.execute("drop table schema_migrations")
    assert await migrated(pool)() == NOT_MIGRATED


async def test_a_newer_database_is_fine_for_everyone_but_the_migrator(pool):
    await pool.execute("insert into schema_migrations (version, name, checksum) values (9999, '9999_later.sql', 'x')")
    assert await migrated(pool)() is None


async def test_a_database_that_is_away_changes_nothing(pool):
    keyring = sealer(pool, NEW.public)
    await opener(pool, OLD).check()
    complaint = await keyring.check()
    await pool.close()
    assert await keyring.check() == complaint is not None
    assert await sealer(pool, NEW.public).check() is None


@pytest.mark.parametrize("query", ["select 1 from not_there_yet", "select not_there_yet from effect_ledger"])
async def test_what_a_migration_has_yet_to_bring_is_waited_for(pool, query):
    with pytest.raises(Transient) as failure, translated():
        await pool.fetch(query)
    assert failure.value.detail == NOT_MIGRATED
