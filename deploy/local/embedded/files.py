"""Small files that other processes read while we write them."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a private file so that a reader sees the old content or the new, never a part of it."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.touch(mode=0o600)
    scratch.write_text(text)
    scratch.rename(path)
