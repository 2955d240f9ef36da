"""Telling what is being prepared: from the supervisor, through a pipe, to the terminal."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Report(Protocol):
    """Hears of each step when it begins and when it has ended well. A step that fails only begins."""

    def began(self, step: str) -> None:
        """`step` is under way."""

    def ended(self, step: str, seconds: float) -> None:
        """`step` is done and took this long."""


@contextmanager
def step(report: Report, name: str) -> Iterator[None]:
    """Report the time that the block takes."""
    started = time.monotonic()
    report.began(name)
    yield
    report.ended(name, time.monotonic() - started)


class PipeReport:
    """Writes JSON lines to a file descriptor, and closes it with the outcome.

    A reader that went away is no trouble.
    """

    def __init__(self, descriptor: int) -> None:
        self._pipe: TextIO | None = os.fdopen(descriptor, "w")

    def began(self, step: str) -> None:
        """Send the beginning."""
        self._send({"began": step})

    def ended(self, step: str, seconds: float) -> None:
        """Send the end."""
        self._send({"ended": step, "seconds": seconds})

    def ready(self) -> None:
        """Everything is up."""
        self._send({"ready": True})
        self.close()

    def failed(self, message: str) -> None:
        """Nothing is up."""
        self._send({"failed": message})
        self.close()

    def close(self) -> None:
        """Let the reader go on."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                return

    def _send(self, event: dict[str, object]) -> None:
        if self._pipe is None:
            return
        try:
            self._pipe.write(json.dumps(event) + "\n")
            self._pipe.flush()
        except BrokenPipeError:
            self.close()


class Display:
    """Shows the steps: live with spinners on a terminal, else a line for each step that ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the steps while the block runs."""
        with self._progress:
            yield

    def began(self, step: str) -> None:
        """Add a line with a spinner, or let it spin again."""
        if step in self._tasks:
            self._progress.reset(self._tasks[step])
        else:
            self._tasks[step] = self._progress.add_task(step, total=1)

    def ended(self, step: str, seconds: float) -> None:
        """Tick the line off."""
        if self._console.is_terminal:
            self._progress.update(self._tasks[step], completed=1)
        else:
            self._console.print(f"  {step:<28}{seconds:6.1f} s")


def follow(descriptor: int, display: Display) -> str | None:
    """Show what the supervisor sends until it has sent the outcome; return why it failed, or None when all is up."""
    with os.fdopen(descriptor) as pipe, display.live():
        for line in pipe:
            match json.loads(line):
                case {"began": str(name)}:
                    display.began(name)
                case {"ended": str(name), "seconds": float(seconds)}:
                    display.ended(name, seconds)
                case {"failed": str(message)}:
                    return message
                case {"ready": True}:
                    return None
    return "the supervisor ended without a word"
