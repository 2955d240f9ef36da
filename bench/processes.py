"""What processes cost, in CPU seconds."""

import psutil


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds, user and system, that a process and its children have used since they began."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    ended = float(times.children_user + times.children_system)
    return float(times.user + times.system) + ended + sum(cpu_seconds(child.pid) for child in process.children())
