"""Stops each of our containers and starts it again; tells how long both take.

`python -m embedded.starting`, while the system runs on compose (`make up STACK=compose`): one container after the
other gets SIGTERM, has to end by itself with status 0, and is started. Told are the seconds until it is alive (a
process that listens, `/healthz`) and until it is ready (`/readyz`: connected, migrated, keys agreed).
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass

import httpx

from embedded.errors import EmbeddedError, ServerFailed
from embedded.services import SANDBOX, SERVICES

_GRACE_SECONDS = 60
_PATIENCE_SECONDS = 120.0
_LOOK_AGAIN_SECONDS = 0.02
_PORT = 8080


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one container."""

    service: str
    stop: float
    status: int
    alive: float
    ready: float


def measured(service: str, project: str) -> Times:
    """Stop a service's first container and start it again. Raises ServerFailed when it does not become ready."""
    container = _docker("ps", "-q", "-f", f"label=com.docker.compose.project={project}",
                        "-f", f"label=com.docker.compose.service={service}").split()[:1]  # fmt: skip
    if not container:
        raise ServerFailed(f"{service} does not run on compose: make up STACK=compose")
    began = time.monotonic()
    _docker("stop", "-t", str(_GRACE_SECONDS), *container)
    stopped = time.monotonic()
    status = int(_docker("inspect", "-f", "{{.State.ExitCode}}", *container))
    started = time.monotonic()
    _docker("start", *container)
    networks = json.loads(_docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", *container))
    address = next(each["IPAddress"] for each in networks.values())
    with httpx.Client(base_url=f"http://{address}:{_PORT}", timeout=5, trust_env=False) as client:
        alive = _until(client, "/healthz") - started
        ready = _until(client, "/readyz") - started
    return Times(service, stopped - began, status, alive, ready)


def _until(client: httpx.Client, path: str) -> float:
    """Return when it answered 200."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    said = "nothing"
    while time.monotonic() < deadline:
        try:
            answer = client.get(path)
        except httpx.TransportError:
            pass  # nobody listens yet
        else:
            if answer.status_code == httpx.codes.OK:
                return time.monotonic()
            said = answer.text
        time.sleep(_LOOK_AGAIN_SECONDS)
    raise ServerFailed(f"{client.base_url}{path} says {said[:300]}")


def _docker(*words: str) -> str:
    finished = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise ServerFailed(f"docker {' '.join(words)}: {finished.stderr.strip()[-500:]}")
    return finished.stdout.strip()


def main() -> int:
    """Measure and print; returns the exit status: 1 when a process was not ended by itself."""
    parser = argparse.ArgumentParser(prog="python -m embedded.starting", description=__doc__)
    parser.add_argument("services", nargs="*", default=[each.name for each in (SANDBOX, *SERVICES)])
    parser.add_argument("--project", default="bitloot")
    options = parser.parse_args()
    unclean = False
    print("| process | SIGTERM to end | alive after | ready after |\n| --- | --- | --- | --- |")
    try:
        for service in options.services:
            times = measured(service, options.project)
            unclean |= times.status != 0
            end = f"{times.stop:.1f} s" + (f", status {times.status}" if times.status else "")
            print(f"| {service} | {end} | {times.alive:.1f} s | {times.ready:.1f} s |", flush=True)
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if unclean else 0


if __name__ == "__main__":
    sys.exit(main())
