"""Every published vector of the Svix signature, by name."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bitloot.signing import Refusal, svix_verify

VECTORS = json.loads(Path(__file__).with_name("svix-vectors.json").read_text(encoding="utf-8"))["vectors"]

EXPECTED = {
    "svix-01-valid": None,
    "svix-02-valid-rotation": None,
    "svix-03-invalid-reserialised-body": Refusal.MISMATCH,
    "svix-04-invalid-too-old": Refusal.STALE,
    "svix-05-invalid-too-new": Refusal.STALE,
    "svix-06-invalid-undecoded-secret": Refusal.MISMATCH,
    "svix-07-invalid-id-swapped": Refusal.MISMATCH,
    "svix-08-invalid-malformed-list": Refusal.MALFORMED_HEADER,
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_vector(vector: dict[str, Any]):
    verdict = svix_verify(
        bytes.fromhex(vector["body_utf8_hex"]),
        vector["headers"],
        [SecretStr(vector["secret"])],
        datetime.fromtimestamp(vector["now"], UTC),
        timedelta(seconds=vector["tolerance_seconds"]),
    )

    assert verdict.refusal is EXPECTED[vector["id"]]
    assert verdict.accepted == (vector["expect"] == "valid")


def test_no_vector_was_forgotten():
    assert {each["id"] for each in VECTORS} == set(EXPECTED)
