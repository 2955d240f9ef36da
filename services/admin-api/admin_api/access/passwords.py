"""Passwords of local accounts: Argon2id."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH = 12
_AT_ONCE = 2  # each takes 64 MiB and a core for some 50 ms


class Passwords:
    """Makes and checks hashes, away from the loop and a few at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._nobodys: str | None = None

    async def matches(self, password: str, stored: str | None) -> bool:
        """Tell whether a password is an account's; without an account it takes as long, and is not."""
        async with self._slots:
            return await asyncio.to_thread(self._verify, password, stored)

    def hash(self, password: str) -> str:
        """Return what to store. Raises `ValueError` for a password that is too short."""
        if len(password) < MIN_LENGTH:
            raise ValueError(f"A password has at least {MIN_LENGTH} characters.")
        return self._hasher.hash(password)

    def _verify(self, password: str, stored: str | None) -> bool:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash("the password of an account that does not exist")
        try:
            return self._hasher.verify(stored or self._nobodys, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False
