"""A file of codes on its way into the stock: read, checked, sealed. Codes are in memory for that long only.

The file is CSV as RFC 4180 has it, in UTF-8, whose first line names the columns; the one named `code` is taken.
"""

import csv
import hashlib
import hmac
import io
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydantic import SecretStr

from bitloot.contracts.sealed import SealedCode
from bitloot.problem import Problem
from bitloot.sealing import Sealer

MAX_BYTES = 4 << 20
"""Of one file. It is held in memory while it is read."""
MAX_CODES = 50_000
"""In one file: sealing them takes seconds."""
MAX_CODE_CHARACTERS = 1000
COLUMN = "code"

# Control characters, invisible format marks, half surrogate pairs, line and paragraph separators.
_FORBIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class PlainCode:
    """A code that is not sealed yet, and the line on which it ends."""

    line: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedLine:
    """A code as the stock takes it. `digest` is the same for the same code, and tells nothing else."""

    line: int
    digest: bytes
    sealed: SealedCode


class Intake:
    """Seals codes for the seller worker, and names them by a keyed hash."""

    def __init__(self, sealer: Sealer, hash_key: SecretStr) -> None:
        self._sealer = sealer
        self._key = hash_key.get_secret_value().encode()

    def seal(self, codes: Iterable[PlainCode]) -> list[SealedLine]:
        """Seal codes; takes a tenth of a millisecond for each."""
        return [SealedLine(code.line, self.digest(code.text), self._sealer.seal(code.text)) for code in codes]

    def digest(self, text: str) -> bytes:
        """Return the keyed hash of a code: who has the database alone cannot try codes against it."""
        return hmac.digest(self._key, b"stock code\x00" + text.encode(), hashlib.sha256)


def read_codes(raw: bytes) -> list[PlainCode]:
    """Return the codes of a file. Raises `Problem` 400, naming lines and never quoting them, when it is not sound."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Problem(400, "The file is not UTF-8.") from None
    rows = _rows(text)
    column = _column(next(rows, (1, []))[1])
    codes = [_code(line, row, column) for line, row in rows if row]
    if not codes:
        raise Problem(400, "The file has no codes.")
    if len(codes) > MAX_CODES:
        raise Problem(413, f"The file has {len(codes)} codes; {MAX_CODES} fit into one.")
    return codes


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error:
        told = "quotes that do not fit, or a field that is too long"
        raise Problem(400, f"Line {reader.line_num} is not CSV: {told}.") from None


def _column(names: list[str]) -> int:
    found = [number for number, name in enumerate(names) if name.strip().lower() == COLUMN]
    if len(found) != 1:
        raise Problem(400, f"The first line has to name the columns, and one of them `{COLUMN}`.")
    return found[0]


def _code(line: int, row: list[str], column: int) -> PlainCode:
    text = unicodedata.normalize("NFC", row[column].strip()) if column < len(row) else ""
    if not text:
        raise Problem(400, f"Line {line} has no code.")
    if len(text) > MAX_CODE_CHARACTERS:
        raise Problem(400, f"The code on line {line} is longer than {MAX_CODE_CHARACTERS} characters.")
    if any(unicodedata.category(letter) in _FORBIDDEN for letter in text):
        raise Problem(400, f"The code on line {line} has characters that cannot be printed.")
    return PlainCode(line, text)
