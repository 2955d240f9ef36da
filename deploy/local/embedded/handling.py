"""A running system in containers as its operators handle it: change a setting, start anew, run an order, ask."""

import contextlib
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import SecretStr
from rich.console import Console

from bitloot.signing import nowpayments_sign
from embedded import compose, demo
from embedded.errors import ServerFailed

ORDER_SECONDS = 120.0
QUIET = Console(quiet=True)
_WAIT_SECONDS = 120.0


@dataclass(slots=True)
class Handled:
    """The system, and what is known of it: `facts` as stack.json has them."""

    facts: dict[str, Any]

    def set(self, name: str, value: str, *services: str) -> None:
        """Give a setting another value and start these processes anew; returns when they are ready."""
        self.write(name, value, *services)
        self.start(*services)

    def write(self, name: str, value: str, *services: str) -> None:
        """Write down another value of a setting: processes have it from their next start on."""
        for service in services:
            path = compose.SETTINGS_DIR / f"{service}.env"
            lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{name}=")]
            path.write_text("\n".join([*lines, f"{name}='{value}'"]) + "\n")

    def read(self, name: str, service: str) -> str:
        """Return what a process is told. Raises ServerFailed."""
        for line in (compose.SETTINGS_DIR / f"{service}.env").read_text().splitlines():
            if line.startswith(f"{name}="):
                return line.partition("=")[2].strip("'")
        raise ServerFailed(f"{service} has no {name}")

    def start(self, *services: str) -> None:
        """Start processes, anew where their settings are others; returns when they are ready. Raises ServerFailed."""
        docker_compose("up", "--detach", "--no-deps", "--wait", "--wait-timeout", "120", *services)

    def order(self, what: str) -> None:
        """Run a whole order: placed, paid, bought, mailed, opened, and compared with what the seller sold."""
        demo.demo(contextlib.nullcontext(self.facts), QUIET, patience_seconds=ORDER_SECONDS)
        told(what)

    def ask(self, token: str) -> int:
        """Return how the admin API answers to a token."""
        return self._listed(token, 1).status_code

    def place_nothing(self, token: str) -> int:
        """Return how the ingress answers to a shop's token with an order of nothing."""
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": secrets.token_hex(16)}
        return httpx.post(
            f"{self.facts['ingress_url']}/orders", headers=headers, json={}, timeout=10, trust_env=False
        ).status_code

    def notify(self, secret: str) -> int:
        """Return how the ingress answers to a payment's notification that is signed with a secret."""
        body = b'{"payment_id":1,"payment_status":"finished"}'
        headers = {"x-nowpayments-sig": nowpayments_sign(body, SecretStr(secret)), "Content-Type": "application/json"}
        url = f"{self.facts['ingress_url']}/webhooks/nowpayments"
        return httpx.post(url, headers=headers, content=body, timeout=10, trust_env=False).status_code

    def says(self, service: str) -> str:
        """Return what a process says of its readiness, or nothing while it does not answer."""
        words = ("exec", "-T", service, "python", "-S", "-m", "bitloot.probe")
        return compose.compose(*words, capture=True).stderr

    def orders(self) -> dict[str, str]:
        """Return the status of each of the last hundred orders, as the desk shows it."""
        answer = self._listed(str(self.facts["admin_token"]), 100).raise_for_status()
        return {each["id"]: each["status"] for each in answer.json()["items"]}

    def _listed(self, token: str, limit: int) -> httpx.Response:
        url = f"{self.facts['admin_url']}/admin/orders?limit={limit}"
        return httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=10)


def told(what: str) -> None:
    """Print a step that went as it has to."""
    print(f"  {what}", flush=True)


def expect(what: str, found: object, wanted: object) -> None:
    """Tell a step whose outcome is as it has to be. Raises ServerFailed when it is not."""
    if found != wanted:
        raise ServerFailed(f"{what}: {found} is not {wanted}")
    told(what)


def until(what: str, happened: Callable[[], bool]) -> None:
    """Wait for something and tell it. Raises ServerFailed when it does not happen."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            raise ServerFailed(f"not within {_WAIT_SECONDS:.0f} s: {what}")
        time.sleep(0.5)
    told(what)


def docker_compose(*words: str) -> None:
    """Run a command of compose. Raises ServerFailed with what it said."""
    finished = compose.compose(*words, capture=True)
    if finished.returncode != 0:
        raise ServerFailed(f"docker compose {' '.join(words)}: {finished.stderr.strip()[-1000:]}")


def postgres(*words: str, given: bytes = b"") -> bytes:
    """Run a command of PostgreSQL in its container; returns what it writes."""
    container = compose.compose("ps", "--quiet", "postgres", capture=True).stdout.strip()
    finished = subprocess.run(
        ["docker", "exec", "-i", "-e", "PGHOST=/tmp", container, *words], input=given, capture_output=True, check=False
    )
    if finished.returncode != 0:
        raise ServerFailed(f"{words[0]}: {finished.stderr.decode(errors='replace').strip()[-1000:]}")
    return finished.stdout
