"""What processes cost, in CPU seconds."""

import psutil


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds, user and system, that a process and its children have used since they began."""
    return _cpu_seconds(psutil.Process(pid))


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    own = float(times.user + times.system + times.children_user + times.children_system)
    return own + sum(map(_of_child, process.children()))


def _of_child(process: psutil.Process) -> float:
    """Return its CPU seconds; none where it has just ended, for then the parent has them."""
    try:
        return _cpu_seconds(process)
    except psutil.NoSuchProcess:
        return 0.0
