import pickle

import pytest

from bitloot.errors import BitLootError, Cause, Malformed, Refused, Transient, Unknown


@pytest.mark.parametrize("family", [Transient, Refused, Malformed, Unknown])
def test_every_family_carries_cause_and_detail(family: type[BitLootError]):
    error = family(Cause.TIMEOUT, "no answer in 5 s")

    assert isinstance(error, BitLootError)
    assert (error.cause, error.detail) == (Cause.TIMEOUT, "no answer in 5 s")
    assert str(error) == "timeout: no answer in 5 s"


def test_the_families_exclude_each_other():
    families = (Transient, Refused, Malformed, Unknown)

    for one in families:
        assert [other for other in families if issubclass(one, other)] == [one]


def test_transient_says_how_long_to_wait():
    assert Transient(Cause.RATE_LIMITED, "slow down", retry_after=2.5).retry_after == 2.5
    assert Transient(Cause.RATE_LIMITED, "slow down").retry_after is None


def test_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(Transient(Cause.RATE_LIMITED, "slow down", retry_after=2.5)))  # noqa: S301

    assert (error.cause, error.detail, error.retry_after) == (Cause.RATE_LIMITED, "slow down", 2.5)


def test_causes_are_plain_words_for_labels():
    for cause in Cause:
        assert cause.value.replace("_", "").isalpha()
        assert cause.value == cause.value.lower()
