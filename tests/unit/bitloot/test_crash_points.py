"""Every registered point is in the code, and each armed file is one death."""

import ast
import os
import signal
from pathlib import Path

import pytest

from bitloot import crash_points
from bitloot.crash_points import CrashPoint, arm, armed, disarm, hits, reach, watch, watched
from bitloot.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def directory(tmp_path):
    watch(tmp_path, "ingress", "ingress-1")
    yield tmp_path
    watch(None, "ingress", "ingress-1")


@pytest.fixture
def killed():
    """What `reach` would have done to this process."""
    return []


def reached_in_the_code() -> set[str]:
    """The names in `reach(CrashPoint.NAME)`, wherever a service may get to."""
    calls = (
        node
        for root in ("shared", "services")
        for path in (CHECKOUT / root).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reach"
    )
    return {call.args[0].attr for call in calls if isinstance(call.args[0], ast.Attribute)}


def test_each_point_is_reached_somewhere_and_nothing_else_is():
    assert reached_in_the_code() == {point.name for point in CrashPoint}


def test_nothing_happens_where_nothing_watches(killed, tmp_path):
    arm(tmp_path, CrashPoint.LEDGER_CLAIMED)
    reach(CrashPoint.LEDGER_CLAIMED, lambda *how: killed.append(how))
    assert killed == []
    assert armed(tmp_path) == {CrashPoint.LEDGER_CLAIMED}


def test_only_the_armed_point_kills_and_only_once(directory, killed):
    arm(directory, CrashPoint.MAIL_ACCEPTED)
    for point in (CrashPoint.MAIL_RENDERED, CrashPoint.MAIL_ACCEPTED, CrashPoint.MAIL_ACCEPTED):
        reach(point, lambda *how: killed.append(how))
    assert killed == [(os.getpid(), signal.SIGKILL)]
    (hit,) = hits(directory)
    assert (hit.point, hit.service, hit.instance) == (CrashPoint.MAIL_ACCEPTED, "ingress", "ingress-1")
    assert hit.pid == os.getpid()
    assert armed(directory) == set()


def test_a_point_can_be_armed_again_and_disarmed(directory, killed):
    arm(directory, CrashPoint.SINK_WRITTEN)
    reach(CrashPoint.SINK_WRITTEN, lambda *how: killed.append(how))
    arm(directory, CrashPoint.SINK_WRITTEN)
    disarm(directory)
    reach(CrashPoint.SINK_WRITTEN, lambda *how: killed.append(how))
    assert len(killed) == 1
    watched(directory)


def test_a_misspelt_point_ends_the_start(tmp_path, monkeypatch, capsys):
    (tmp_path / "ledger.claimd").touch()
    monkeypatch.setenv("CRASH_POINTS", str(tmp_path))
    with pytest.raises(SystemExit):
        Settings.load()
    assert "there is no crash point ledger.claimd" in capsys.readouterr().err


def test_a_directory_that_is_not_there_ends_the_start(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CRASH_POINTS", str(tmp_path / "none"))
    with pytest.raises(SystemExit):
        Settings.load()
    assert "CRASH_POINTS cannot be used" in capsys.readouterr().err


def test_it_is_off_unless_it_is_asked_for(monkeypatch):
    monkeypatch.delenv("CRASH_POINTS", raising=False)
    assert Settings.load().crash_points is None
    assert crash_points._watch is None
