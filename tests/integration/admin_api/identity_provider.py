"""A real identity provider, run by node."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr

from admin_api.access.oidc import OidcSettings

_HERE = Path(__file__).parent / "provider"
_NODE = shutil.which("node") or ""

MISSING = (
    "there is no node to run the identity provider"
    if not _NODE
    else None
    if (_HERE / "node_modules" / "oidc-provider").is_dir()
    else "the identity provider is not installed: make test does it where there is npm"
)
"""Why there is no provider here, or None."""


@contextmanager
def identity_provider(callback: str) -> Iterator[str]:
    """Run a provider that sends browsers back to `callback`; give its issuer."""
    process = subprocess.Popen(
        [_NODE, "provider.js", callback], cwd=_HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def settings(issuer: str, callback: str, **changes: object) -> OidcSettings:
    """Return the desk's settings for it."""
    known = {
        "issuer": issuer,
        "client_id": "desk",
        "client_secret": SecretStr("the-desks-secret"),
        "redirect_url": callback,
        "roles_claim": "groups",
        "roles": {"desk-admins": "admin", "helpdesk": "support"},
    }
    return OidcSettings(**(known | changes))


async def is_somebody(issuer: str, name: str, group: str, verified: str = "") -> None:
    """Let whoever comes to it be this person; `verified`, in JSON, is what it says of their mail address."""
    async with httpx.AsyncClient() as client:
        assert (await client.post(f"{issuer}/_person/{name}/{group}/{verified}")).status_code == 200
