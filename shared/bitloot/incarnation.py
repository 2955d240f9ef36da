"""The name of one start of a process."""

import uuid


def incarnation(instance: str) -> str:
    """Return a name that no other start of any process has: claims must not outlive the memory behind them."""
    return f"{instance}/{uuid.uuid4().hex}"
