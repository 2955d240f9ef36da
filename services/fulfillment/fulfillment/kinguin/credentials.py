"""How a call proves whose it is."""

from typing import Protocol

from pydantic import SecretStr


class Credentials(Protocol):
    """A secret and the header that shows it."""

    async def current(self) -> SecretStr:
        """Return a secret that is valid for a while. Raises `Transient` when there is none to be had."""
        ...

    async def renewed(self, rejected: SecretStr) -> SecretStr | None:
        """Return another secret than the one that was rejected, or None when there is no other."""
        ...

    def header(self, secret: SecretStr) -> dict[str, str]:
        """Return the header that shows a secret."""
        ...


class ApiKey:
    """One key for a whole store, which stays until a human changes it."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    async def current(self) -> SecretStr:
        """See `Credentials.current`."""
        return self._key

    async def renewed(self, rejected: SecretStr) -> None:
        """See `Credentials.renewed`."""

    def header(self, secret: SecretStr) -> dict[str, str]:
        """See `Credentials.header`."""
        return {"X-Api-Key": secret.get_secret_value()}
