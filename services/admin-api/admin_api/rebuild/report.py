"""A rebuild in words for people."""

import time
from typing import TextIO

from admin_api.rebuild.run import Rebuilt

_EVERY_SECONDS = 2.0
_HEAD = ("table", "rows before", "rows after", "digest before", "digest after", "missing", "surplus", "changed")


class Lines:
    """Writes a line of progress now and then."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._written_at = time.monotonic()

    def progress(self, read: int, wanted: int) -> None:
        """Tell how far it is, in records."""
        if time.monotonic() - self._written_at < _EVERY_SECONDS:
            return
        self._written_at = time.monotonic()
        self._out.write(f"{read:,} of {wanted:,} records read\n")
        self._out.flush()


def table(rebuilt: Rebuilt) -> str:
    """Return what became of each table, with a line for the whole."""
    rows = [_HEAD] + [
        (
            each.table,
            f"{each.before.rows:,}",
            f"{each.after.rows:,}",
            each.before.digest,
            each.after.digest,
            *(f"{number:,}" for number in (each.missing, each.surplus, each.changed)),
        )
        for each in rebuilt.tables
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(_aligned(cell, width, index) for index, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    different = sum(not each.equal for each in rebuilt.tables)
    verdict = f"{different} of {len(rebuilt.tables)} tables differed" if different else "all tables are equal"
    unused = f", {rebuilt.skipped:,} of them unusable" if rebuilt.skipped else ""
    return "\n".join([*lines, f"{rebuilt.records:,} records read{unused}: {verdict}.\n"])


def _aligned(cell: str, width: int, index: int) -> str:
    return cell.ljust(width) if index == 0 else cell.rjust(width)
