"""What the tables' databases keep beside what is stored in them."""

from pathlib import Path

import rocksdict

from bitloot.faust_app import store


def test_the_log_of_a_database_that_runs_for_months_is_bounded(tmp_path: Path):
    """RocksDB begins a new one only when it is opened: a worker's 48 databases wrote a gigabyte a month."""
    database = rocksdict.Rdict(str(tmp_path / "table"), store._Options().as_options())
    for number in range(300):  # 1.5 MB of log
        database[f"order-{number}".encode()] = b"changed"
        database.flush()
    database.close()
    logs = [path.stat().st_size for path in (tmp_path / "table").glob("LOG*")]
    assert sum(logs) < 1 << 20
