"""One order, from the shop to the codes."""

from rich.console import Console

from embedded.rundir import RunDir


def demo(run: RunDir, console: Console) -> None:
    """Run."""
