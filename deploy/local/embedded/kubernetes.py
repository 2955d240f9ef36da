"""The system on the cluster that kubectl points at: the overlay `local`, its secrets, and the way in from here."""

import base64
import contextlib
import json
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from embedded.compose import BUCKET, identities
from embedded.environment import Addresses, Settings, current, settings
from embedded.errors import MissingTool, ServerFailed
from embedded.paths import CHECKOUT
from embedded.ports import free_port
from embedded.report import Display, step
from embedded.services import MIGRATIONS, SANDBOX, SERVICES, TOPICS

NAMESPACE = "bitloot"
OVERLAY = CHECKOUT / "deploy" / "k8s" / "overlays" / "local"
IMAGES = ("ingress", "fulfillment", "delivery", "admin-api", "sandbox")
_SERVERS = ("statefulset/kafka", "statefulset/postgres", "statefulset/s3", "deployment/sandbox")
_JOBS = ("job/migrations", "job/topics")
_IN_CONTAINERS = {"HTTP_HOST", "HTTP_PORT", "FAUST_DATADIR", "SERVICE_INSTANCE"}
_PATIENCE = "600s"
_FORWARD_SECONDS = 30.0
# What the buyer's and the shop's sides are called inside; from here they are forwarded ports.
_ORDER_PAGE, _S3 = "http://order-page:8080", "http://s3:8333"


def up(console: Console) -> bool:
    """Apply the overlay and wait until all of it is ready; False when the namespace was there already.

    `LOAD_IMAGES` may name a command that brings images into the nodes, as `kind load docker-image` does. Raises
    MissingTool without a cluster, ServerFailed when something does not come up or is applied with a warning.
    """
    if _kubectl("get", "--raw", "/readyz").returncode != 0:
        raise MissingTool("kubectl reaches no cluster; see: kubectl cluster-info")
    fresh = _kubectl("get", "namespace", NAMESPACE).returncode != 0
    display = Display(console)
    with display.live():
        if load := os.environ.get("LOAD_IMAGES"):
            with step(display, "images into the nodes"):
                _checked(_run(*shlex.split(load), *(f"bitloot/{image}:dev" for image in IMAGES)))
        with step(display, "manifests, without a warning"):
            _apply(fresh=fresh)
        for what in (*_SERVERS, *_JOBS, *(f"{_kind(each.name)}/{each.name}" for each in SERVICES)):
            with step(display, what):
                _until_ready(what)
    return fresh


def _apply(*, fresh: bool) -> None:
    if fresh:
        _checked(_kubectl("apply", "-f", str(OVERLAY / "namespace.yaml")))
        _checked(
            _kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": _secrets()}))
        )
    for job in _JOBS:  # a job cannot be changed
        _checked(_kubectl("delete", "-n", NAMESPACE, job, "--ignore-not-found"))
    _checked(_kubectl("apply", "--warnings-as-errors", "-k", str(OVERLAY)))


def _until_ready(what: str) -> None:
    if what in _JOBS:
        _checked(_kubectl("wait", "-n", NAMESPACE, what, "--for=condition=complete", f"--timeout={_PATIENCE}"))
    else:
        _checked(_kubectl("rollout", "status", "-n", NAMESPACE, what, f"--timeout={_PATIENCE}"))


def _kind(service: str) -> str:
    return "statefulset" if service == "fulfillment" else "deployment"


def down() -> None:
    """Remove the namespace and all that is in it."""
    _checked(_kubectl("delete", "namespace", NAMESPACE, "--wait", "--ignore-not-found"))


@contextmanager
def running(console: Console) -> Iterator[dict[str, Any]]:
    """Yield where everything is; start it for that, and remove all of it afterwards, unless it was up already."""
    started = up(console)
    try:
        with reach() as facts:
            yield facts
    finally:
        if started:
            down()


# --- secrets -------------------------------------------------------------------------------------------------------


def _secrets() -> list[dict[str, Any]]:
    """Make everything anew: each process's settings, and the servers' own."""
    password, s3_access, s3_secret = (secrets.token_hex(16) for _ in range(3))
    everything = settings(
        Addresses(
            kafka="kafka:9092",
            postgres=f"postgresql://bitloot:{password}@postgres:5432/bitloot",
            s3_endpoint=_S3,
            s3_bucket=BUCKET,
            s3_access_key=s3_access,
            s3_secret_key=s3_secret,
            ingress="http://ingress:8080",
            admin="http://admin-api:8080",
            order_page=_ORDER_PAGE,
            sandbox="http://sandbox:8080",
        ),
        os.environ,
    )
    told = {each.name: _told(everything, each.needs) for each in SERVICES}
    told["sandbox"] = {name: current(value) for name, value in _told(everything, SANDBOX.needs).items()}
    told["topics"] = _told(everything, TOPICS.needs | MIGRATIONS.needs)
    told["migrations"] = _told(everything, MIGRATIONS.needs)
    told["postgres"] = {"POSTGRES_USER": "bitloot", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "bitloot"}
    told["s3"] = {"s3.json": json.dumps(identities(s3_access, s3_secret))}
    return [_secret(f"{name}-settings", values) for name, values in told.items()]


def _told(everything: Settings, needs: frozenset[str]) -> Settings:
    return {name: everything[name] for name in sorted(needs - _IN_CONTAINERS) if name in everything}


def _secret(name: str, values: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)}


def read_secret(name: str, key: str) -> str:
    """Return one of the secrets that were made for a process, the current one. Raises ServerFailed."""
    answer = _kubectl("get", "secret", "-n", NAMESPACE, f"{name}-settings", "-o", "json")
    _checked(answer)
    return current(base64.b64decode(json.loads(answer.stdout)["data"][key]).decode())


# --- the way in ----------------------------------------------------------------------------------------------------


@contextmanager
def reach() -> Iterator[dict[str, Any]]:
    """Forward ports to what people and shops talk to; yield where it is and the tokens. Raises ServerFailed."""
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(_forwarded(name, port))
            for name, port in (
                ("ingress", 8080), ("order-page", 8080), ("sandbox", 8080), ("admin-api", 8080), ("s3", 8333)
            )
        }  # fmt: skip
        yield {
            "ingress_url": f"http://127.0.0.1:{ports['ingress']}",
            "admin_url": f"http://127.0.0.1:{ports['admin-api']}",
            "delivery_url": _ORDER_PAGE,
            "sandbox_url": f"http://127.0.0.1:{ports['sandbox']}",
            "s3_endpoint": _S3,
            "s3_bucket": BUCKET,
            "shop_token": read_secret("ingress", "SHOP_TOKEN"),
            "admin_token": read_secret("admin-api", "ADMIN_TOKEN"),
            "reach": {"order-page:8080": f"127.0.0.1:{ports['order-page']}", "s3:8333": f"127.0.0.1:{ports['s3']}"},
            "log_dir": f"kubectl logs -n {NAMESPACE}",
        }


@contextmanager
def _forwarded(service: str, port: int) -> Iterator[int]:
    local = free_port()
    command = [
        "kubectl",
        "port-forward",
        "-n",
        NAMESPACE,
        f"service/{service}",
        f"{local}:{port}",
        "--address=127.0.0.1",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        _until_forwarding(process, service)
        yield local
    finally:
        process.terminate()
        process.wait()


def _until_forwarding(process: "subprocess.Popen[str]", service: str) -> None:
    """Wait for kubectl's word; what it says later has to be read too, but nobody needs it: a pipe holds it."""
    deadline = time.monotonic() + _FORWARD_SECONDS
    assert process.stdout is not None  # noqa: S101 - by its construction
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if line.startswith("Forwarding from"):
            return
        if not line:
            break
    raise ServerFailed(f"kubectl does not forward a port to {service}")


def _kubectl(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    with contextlib.suppress(FileNotFoundError):
        return _run("kubectl", *words, given=given)
    raise MissingTool("kubectl is not there.")


def _run(*words: str, given: str | None = None, cwd: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, input=given, capture_output=True, text=True, check=False)


def _checked(finished: subprocess.CompletedProcess[str]) -> None:
    if finished.returncode != 0:
        words = " ".join(finished.args[:6])
        raise ServerFailed(f"{words}: {(finished.stderr or finished.stdout).strip()[-2000:]}")
