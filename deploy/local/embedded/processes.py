"""Telling one process from another that got its id later, and the living from the dead."""

from collections.abc import Mapping

import psutil

# psutil derives start times from the wall clock, which may be adjusted between two looks.
_START_TIME_SLACK_SECONDS = 2.0


def identity(pid: int) -> dict[str, float]:
    """Return what is recorded of a process: `{pid, started}`. Raises psutil.NoSuchProcess."""
    return {"pid": pid, "started": psutil.Process(pid).create_time()}


def living(recorded: Mapping[str, float]) -> psutil.Process | None:
    """Return the very process that was recorded, or None when it is gone or its id belongs to another now."""
    try:
        process = psutil.Process(int(recorded["pid"]))
        same = abs(process.create_time() - recorded["started"]) < _START_TIME_SLACK_SECONDS
        return process if same and lives(process) else None
    except psutil.NoSuchProcess:
        return None


def lives(process: psutil.Process) -> bool:
    """Tell whether it still does something: a zombie only waits for its parent."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def listens(pid: int, port: int) -> bool:
    """Tell whether this very process listens on a TCP port; True where the system does not say."""
    try:
        found = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


def children(process: psutil.Process) -> list[psutil.Process]:
    """Return all processes below this one; none when it is gone."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
