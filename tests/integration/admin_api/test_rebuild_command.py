"""`python -m admin_api.rebuild` from outside."""

import os
import subprocess
import sys


def test_without_the_database_it_fails_in_one_sentence(nowhere: str):
    ended = subprocess.run(
        [sys.executable, "-m", "admin_api.rebuild"],
        env=os.environ | {"DATABASE_URL": nowhere, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("The rebuild failed: ConnectionRefusedError")
    assert "Traceback" not in ended.stderr


def test_without_kafka_it_fails_and_leaves_nothing(database: str):
    ended = subprocess.run(
        [sys.executable, "-m", "admin_api.rebuild"],
        env=os.environ | {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 2
    assert "The rebuild failed: KafkaConnectionError" in ended.stderr
    assert "Traceback" not in ended.stderr
