"""The schedule is repeatable, bounded, and names only what the sandbox and the stack know."""

import pytest

from bitloot.crash_points import CrashPoint
from chaos.plan import KINDS, WORKERS, Arm, Kill, Outage, Pause, Restart, Weather, schedule
from embedded.services import SANDBOX, SERVICES
from sandbox.control import _RULES
from sandbox.dials import Dials
from sandbox.faults import Kind

SEEDS = range(20)


def test_the_same_seed_gives_the_same_schedule_and_another_gives_another():
    assert schedule(1, 300) == schedule(1, 300)
    assert schedule(1, 300) != schedule(2, 300)


@pytest.mark.parametrize("seconds", [5, 30, 300])
@pytest.mark.parametrize("seed", SEEDS)
def test_everything_ends_within_the_time(seed, seconds):
    plan = schedule(seed, seconds)
    assert [action.at for action in plan] == sorted(action.at for action in plan)
    assert all(action.at >= 0 and action.at + getattr(action, "seconds", 0) <= seconds for action in plan)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sandbox_is_the_proof_and_is_left_alone(seed):
    known = {service.name for service in SERVICES} | {"kafka", "postgres", "s3"}
    struck = {a.target for a in schedule(seed, 300) if isinstance(a, Kill | Pause | Restart | Outage)}
    assert struck <= known
    assert SANDBOX.name not in struck


@pytest.mark.parametrize("dialect", ["reservations", "esa"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_sandbox_accepts_the_weather_and_every_fault_is_bounded(seed, dialect):
    weather = [action for action in schedule(seed, 300, dialect) if isinstance(action, Weather)]
    assert weather
    names = {field.alias for field in Dials.model_fields.values()}
    for each in weather:
        assert all(rule.count for rule in _RULES.validate_python([dict(rule) for rule in each.rules]))
        assert set(each.dials) <= names


def test_long_runs_strike_every_server_in_every_way():
    plan = schedule(1, 600)
    assert {a.target for a in plan if isinstance(a, Restart)} == {"kafka", "postgres", "s3"}
    assert {a.target for a in plan if isinstance(a, Outage) and a.seconds} == {"kafka", "postgres", "s3"}
    assert {a.target for a in plan if isinstance(a, Outage) and not a.seconds} == {"kafka", "postgres", "s3"}


@pytest.mark.parametrize("seconds", [40, 300])
@pytest.mark.parametrize("seed", SEEDS)
def test_each_kind_of_worker_is_killed_in_short_runs_too(seed, seconds):
    assert {a.target for a in schedule(seed, seconds) if isinstance(a, Kill)} >= set(WORKERS)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_crash_point_is_armed_early_enough_in_a_default_run(seed):
    assert {a.point for a in schedule(seed, 300) if isinstance(a, Arm) and a.at < 270} == set(CrashPoint)


@pytest.mark.parametrize(("dialect", "kinguin"), [("reservations", "kinguin"), ("esa", "kinguin-esa")])
@pytest.mark.parametrize("seed", SEEDS)
def test_each_provider_fails_in_every_way_in_a_default_run(seed, dialect, kinguin):
    rules = [rule for a in schedule(seed, 300, dialect) if isinstance(a, Weather) for rule in a.rules]
    assert {(rule["provider"], rule["kind"]) for rule in rules} == {
        (provider, kind) for provider in (kinguin, "resend", "nowpayments") for kind in KINDS
    }


def test_every_kind_of_fault_that_the_sandbox_knows_is_drawn():
    assert set(KINDS) == {kind.value for kind in Kind}
