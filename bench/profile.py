"""Profiles of processes while they are measured, by py-spy: `PROFILE=1 make bench`. The figures are then worth less."""

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_RATE = 100  # samples a second
_SHOWN = 40  # functions


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


def summary(stacks: list[str]) -> Iterator[str]:
    """Return a table of the functions that were on the stack most often: with what they called, and themselves."""
    total, whole, own = 0, Counter[str](), Counter[str]()
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        names = [frame.rpartition(":")[0] for frame in frames.split(";")]
        total += int(count)
        own[names[-1]] += int(count)
        whole.update(dict.fromkeys(set(names), int(count)))
    yield f"{total} samples; % with what it called, % itself"
    for name, times in whole.most_common(_SHOWN):
        yield f"{100 * times / total:5.1f} {100 * own[name] / total:5.1f}  {name}"
