"""Profiles of processes while they are measured, by py-spy: `PROFILE=1 make bench`. The figures are then worth less."""

import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_RATE = 100  # samples a second
_SHOWN = 40  # functions
_LEAST = 1.5  # %: what is less is left out of the graph
_THROUGH = 0.97  # a function of which another one makes so much does nothing itself
_BAR = 30  # characters for 100 %
_LINE = re.compile(r":\d+\)$")
_WAITS = {"EpollSelector.select (selectors.py)", "_worker (concurrent/futures/thread.py)"}
"""Threads that wait; py-spy takes some of them for busy."""


class Profiler:
    """Watches processes and writes what they did below `directory`; does nothing where that is None."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._program = shutil.which("py-spy") or "py-spy"

    @contextmanager
    def watching(self, pids: Mapping[str, int]) -> Iterator[None]:
        """Take samples of these processes, by name, until the body ends."""
        if self._directory is None:
            yield
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        spies = {name: self._spy(pid, self._stacks(name)) for name, pid in pids.items()}
        try:
            yield
        finally:
            for name, spy in spies.items():
                spy.send_signal(signal.SIGINT)
                spy.wait()
                text = "\n".join(summary(self._stacks(name).read_text().splitlines()))
                self._stacks(name).with_suffix(".txt").write_text(f"{text}\n")

    def _stacks(self, name: str) -> Path:
        return Path(self._directory or ".") / f"{name}.stacks"

    def _spy(self, pid: int, file: Path) -> "subprocess.Popen[bytes]":
        command = [self._program, "record", "--rate", str(_RATE), "--format", "raw", "--output", str(file)]
        return subprocess.Popen([*command, "--duration", "3600", "--pid", str(pid)], stdout=subprocess.DEVNULL)


def summary(stacks: Iterable[str]) -> Iterator[str]:
    """Return a flame graph as text, then a table of the functions that were on the stack most often."""
    samples = [sample for line in stacks if line.strip() and (sample := _sample(line))[0][-1] not in _WAITS]
    total = sum(times for _, times in samples)
    whole, own = Counter[str](), Counter[str]()
    root = _Node()
    for names, times in samples:
        own[names[-1]] += times
        whole.update(dict.fromkeys(set(names), times))
        root.add(names, times)
    yield f"{total} samples. Of each function: % of all with what it called, those of {_LEAST} % and more."
    yield from _flames(root, total, 0)
    yield "\n% with what it called, % itself"
    for name, times in whole.most_common(_SHOWN):
        yield f"{100 * times / total:5.1f} {100 * own[name] / total:5.1f}  {name}"


def _sample(line: str) -> tuple[list[str], int]:
    frames, _, times = line.rpartition(" ")
    return [_LINE.sub(")", frame) for frame in frames.split(";")], int(times)


class _Node:
    """A function as it was called from where it stands in the graph."""

    def __init__(self) -> None:
        self.times = 0
        self.called: dict[str, _Node] = {}

    def add(self, names: Sequence[str], times: int) -> None:
        """Count a stack."""
        node = self
        node.times += times
        for name in names:
            node = node.called.setdefault(name, _Node())
            node.times += times


def _flames(node: _Node, total: int, depth: int) -> Iterator[str]:
    """Return a line for each function that counts, the costliest first; one that only calls another has none."""
    for name, called in sorted(node.called.items(), key=lambda each: -each[1].times):
        share = 100 * called.times / total
        if share < _LEAST:
            return
        costliest = max((each.times for each in called.called.values()), default=0)
        through = costliest >= _THROUGH * called.times
        if not through:
            bar = "█" * max(1, round(share * _BAR / 100))
            yield f"{share:5.1f} {bar:<{_BAR}} {'  ' * depth}{name}"
        yield from _flames(called, total, depth + (not through))
