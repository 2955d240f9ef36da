import re

import pytest

from admin_api.migrations import Migration, MigrationError, available, outstanding
from admin_api.sql import named_queries

ONE, TWO, THREE = (Migration(number, f"000{number}_x.sql", f"select {number}") for number in (1, 2, 3))


def applied(*migrations: Migration) -> list[tuple[int, str, str]]:
    return [(each.version, each.name, each.checksum) for each in migrations]


def test_what_is_missing_is_outstanding_in_order():
    assert outstanding((ONE, TWO, THREE), applied()) == (ONE, TWO, THREE)
    assert outstanding((ONE, TWO, THREE), applied(ONE)) == (TWO, THREE)
    assert outstanding((ONE, TWO), applied(ONE, TWO)) == ()


def test_a_newer_database_is_refused():
    with pytest.raises(MigrationError, match=r"newer than this program.*0003_x\.sql"):
        outstanding((ONE, TWO), applied(ONE, TWO, THREE))


def test_a_changed_file_is_refused():
    changed = Migration(1, ONE.name, "select 'changed'")
    with pytest.raises(MigrationError, match=r"0001_x\.sql is not the file"):
        outstanding((changed, TWO), applied(ONE))


def test_a_lower_number_that_came_later_is_outstanding():
    assert outstanding((ONE, TWO, THREE), applied(ONE, THREE)) == (TWO,)


def test_the_files_have_a_number_each_and_are_in_order():
    versions = [each.version for each in available()]
    assert versions == sorted(set(versions))


def test_every_table_and_every_index_says_what_it_is_for():
    for migration in available():
        for kind, name in re.findall(
            r"^create (?:unique )?(table|index) (?:if not exists )?(\w+)", migration.sql, re.MULTILINE
        ):
            assert f"comment on {kind} {name} is" in migration.sql, name


@pytest.mark.parametrize("package", ["admin_api.access", "admin_api.api", "admin_api.sink", "admin_api.rebuild"])
def test_every_query_says_what_it_does(package: str):
    queries = named_queries(package)

    assert queries
    for name, query in queries.items():
        assert query.startswith("-- "), name
