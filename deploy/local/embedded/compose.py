"""The system in containers: what docker-compose.yml is told, starting and stopping it, and where it answers."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from embedded.environment import Addresses, Settings, current, settings
from embedded.errors import MissingTool, ServerFailed
from embedded.files import write_whole
from embedded.paths import CHECKOUT, RUN_DIR
from embedded.ports import free_ports, is_free
from embedded.services import MIGRATIONS, SANDBOX, SERVICES, TOPICS

SETTINGS_DIR = RUN_DIR / "compose"
BUCKET = "bitloot-keys"
_PORTS = {"INGRESS_PORT": 8080, "ADMIN_PORT": 8081, "ORDER_PAGE_PORT": 8082, "SANDBOX_PORT": 8083, "S3_PORT": 8333}
_IN_CONTAINERS = {"HTTP_HOST", "HTTP_PORT", "FAUST_DATADIR", "SERVICE_INSTANCE"}
"""Said by the images, or different for each container."""
_READY_SECONDS = 300


def needs_by_process() -> dict[str, frozenset[str]]:
    """Return what each container of ours is told; the topics command also looks whether topics were lost."""
    services = {service.name: service.needs - _IN_CONTAINERS for service in (SANDBOX, *SERVICES)}
    return services | {"topics": TOPICS.needs | MIGRATIONS.needs, "migrations": MIGRATIONS.needs}


def write_settings(directory: Path = SETTINGS_DIR, given: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Make the files that docker-compose.yml reads, unless they are there; return where everything will be.

    Secrets are made anew, and stay for as long as the volumes that were filled with them: `down` removes both.
    """
    facts_file = directory / "stack.json"
    if not facts_file.exists():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(directory, _ports(given), given)
    facts: dict[str, Any] = json.loads(facts_file.read_text())
    return facts


def _write(directory: Path, ports: Mapping[str, int], given: Mapping[str, str]) -> None:
    password, s3_access, s3_secret = (secrets.token_hex(16) for _ in range(3))
    addresses = Addresses(
        kafka="kafka:9092",
        postgres=f"postgresql://bitloot:{password}@postgres:5432/bitloot",
        # Browsers and curl find names below localhost on this machine; in the containers it is another name of s3.
        s3_endpoint=f"http://s3.localhost:{ports['S3_PORT']}",
        s3_bucket=BUCKET,
        s3_access_key=s3_access,
        s3_secret_key=s3_secret,
        ingress="http://ingress:8080",
        admin=f"http://localhost:{ports['ADMIN_PORT']}",
        order_page=f"http://localhost:{ports['ORDER_PAGE_PORT']}",
        sandbox="http://sandbox:8080",
    )
    everything = settings(addresses, given)
    for name, needs in needs_by_process().items():
        told = {key: everything[key] for key in sorted(needs) if key in everything}
        if name == SANDBOX.name:  # a provider signs with one secret, however many we still accept
            told = {key: current(value) for key, value in told.items()}
        _write_env(directory / f"{name}.env", told)
    _write_env(
        directory / "postgres.env",
        {"POSTGRES_USER": "bitloot", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "bitloot"},
    )
    write_whole(directory / "s3.json", json.dumps(identities(s3_access, s3_secret)))
    _write_env(
        directory / "compose.env",
        {**{name: str(port) for name, port in ports.items()}, "BITLOOT_SETTINGS": str(directory)},
    )
    write_whole(directory / "stack.json", json.dumps(_facts(everything, ports), indent=2))


def identities(access_key: str, secret_key: str) -> dict[str, Any]:
    """Return the configuration of the S3 stand-in: one user, who may do what R2's would."""
    user = {
        "name": "bitloot",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    return {"identities": [user]}


def _facts(everything: Settings, ports: Mapping[str, int]) -> dict[str, Any]:
    return {
        "ingress_url": f"http://localhost:{ports['INGRESS_PORT']}",
        "admin_url": f"http://localhost:{ports['ADMIN_PORT']}",
        "delivery_url": everything["PUBLIC_URL"],
        "sandbox_url": f"http://localhost:{ports['SANDBOX_PORT']}",
        "s3_endpoint": everything["R2_ENDPOINT_URL"],
        "s3_bucket": everything["R2_BUCKET"],
        "admin_token": current(everything["ADMIN_TOKEN"]),
        "shop_token": current(everything["SHOP_TOKEN"]),
        # Not every resolver knows names below localhost.
        "reach": {f"s3.localhost:{ports['S3_PORT']}": f"127.0.0.1:{ports['S3_PORT']}"},
        "log_dir": "docker compose logs",
    }


def _ports(given: Mapping[str, str]) -> dict[str, int]:
    """Return the usual ports, or free ones for those that are taken."""
    wanted = {name: int(given.get(name, usual)) for name, usual in _PORTS.items()}
    free = iter(free_ports(len(wanted)))
    return {name: port if is_free(port) else next(free) for name, port in wanted.items()}


def _write_env(path: Path, values: Mapping[str, str]) -> None:
    """Write lines that compose reads as they are: in single quotes nothing is special but they themselves."""
    if bad := [name for name, value in values.items() if "'" in value or "\n" in value]:
        raise ServerFailed(f"{', '.join(bad)}: compose takes no value with a quote or a line break in it")
    write_whole(path, "".join(f"{name}='{value}'\n" for name, value in values.items()))


def up(console: Console) -> bool:
    """Build the images, start everything, wait until all is ready; False when it was up already.

    Raises MissingTool without an engine, ServerFailed when something does not come up.
    """
    if compose("version", capture=True).returncode != 0:
        raise MissingTool("docker compose does not answer: it takes a Docker engine with the compose plugin.")
    write_settings()
    running = compose("ps", "--status", "running", "--quiet", "ingress", capture=True)
    was_up = running.returncode == 0 and bool(running.stdout.strip())
    _checked(subprocess.run([str(CHECKOUT / "tools/images.sh")], check=False), "The images could not be built.")
    _checked(compose("up", "--detach", "--wait", "--wait-timeout", str(_READY_SECONDS)), _NOT_UP)
    console.print("BitLoot is up in containers.")
    return not was_up


def down(*, forget: bool) -> None:
    """Stop everything; with `forget` the volumes and the secrets that they were filled with go too."""
    _checked(compose("down", *(["--volumes"] if forget else [])), "compose could not stop it.")
    if forget:
        for path in SETTINGS_DIR.glob("*"):
            path.unlink()


@contextmanager
def running(console: Console) -> Iterator[dict[str, Any]]:
    """Yield where everything is; start it for that, and remove all of it afterwards, unless it was up already."""
    started = up(console)
    try:
        yield write_settings()
    finally:
        if started:
            down(forget=True)


_NOT_UP = "It did not come up; see: docker compose logs"


def compose(*words: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `docker compose` with our files."""
    files = [
        part for path in (CHECKOUT / "deploy/images.env", SETTINGS_DIR / "compose.env") for part in _env_file(path)
    ]
    return subprocess.run(
        ["docker", "compose", *files, *words], cwd=CHECKOUT, check=False, capture_output=capture, text=True
    )


def _env_file(path: Path) -> list[str]:
    return ["--env-file", str(path)] if path.exists() else []


def _checked(finished: subprocess.CompletedProcess[Any], complaint: str) -> None:
    if finished.returncode != 0:
        raise ServerFailed(complaint)
