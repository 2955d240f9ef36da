"""Renders the overlays of deploy/k8s, and checks what comes out against Kubernetes' own schemas.

`make lint` runs it: `python -m embedded.kustomize`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import yaml

from embedded import manifests
from embedded.errors import FetchFailed, MissingTool
from embedded.paths import CHECKOUT, cache_dir

OVERLAYS: Final = ("local", "staging", "production")
KUBERNETES_VERSION: Final = "1.34"
MODULE: Final = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
OPERATORS: Final = frozenset(
    {
        "external-secrets.io/v1",
        "kafka.strimzi.io/v1beta2",
        "keda.sh/v1alpha1",
        "monitoring.coreos.com/v1",
    }
)
"""What operators define: their schemas are not Kubernetes' own, and are checked by the cluster that has them."""

Manifest = dict[str, Any]


@cache
def command() -> tuple[str, ...]:
    """Return what renders a directory: kustomize, or kubectl, which has it in it, or kustomize built once with Go.

    Raises MissingTool when the machine has none of the three.
    """
    if found := shutil.which("kustomize"):
        return (found, "build")
    if (found := shutil.which("kubectl")) and _run(found, "kustomize", "--help").returncode == 0:
        return (found, "kustomize")
    built = cache_dir() / "kustomize" / "kustomize"
    if not built.exists():
        _build(built.parent)
    return (str(built), "build")


def _build(directory: Path) -> None:
    if shutil.which("go") is None:
        raise MissingTool("There is no kustomize, no kubectl and no Go toolchain to build kustomize with.")
    directory.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(
        ["go", "install", MODULE],
        env={**os.environ, "GOBIN": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        raise FetchFailed(f"kustomize could not be built: {built.stderr.strip()[-500:]}")


def _run(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False)


@cache
def render(overlay: str) -> tuple[Manifest, ...]:
    """Return an overlay's manifests. Raises MissingTool, FetchFailed, and ValueError when it cannot be rendered."""
    directory = CHECKOUT / "deploy" / "k8s" / "overlays" / overlay
    rendered = _run(*command(), str(directory))
    if rendered.returncode != 0:
        raise ValueError(f"{overlay}: {rendered.stderr.strip()}")
    return tuple(each for each in yaml.safe_load_all(rendered.stdout) if each)


def complaints(overlay: str) -> list[str]:
    """Return a sentence for each manifest of an overlay that Kubernetes would not take as it is written."""
    found = []
    for manifest in render(overlay):
        name = f"{overlay}: {manifest['kind']} {manifest['metadata']['name']}"
        if manifest["apiVersion"] in OPERATORS:
            continue
        try:
            kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{name}: {error.message} at {'.'.join(map(str, error.path))}")
        except kubernetes_validate.SchemaNotFoundError:
            found.append(f"{name}: Kubernetes {KUBERNETES_VERSION} has no {manifest['apiVersion']}")
    return found


def main() -> int:
    """Check everything and tell what was checked; returns the exit status."""
    stale = [f"{path} is stale: make manifests" for path, text in manifests.files().items() if path.read_text() != text]
    try:
        command()
    except MissingTool as error:
        print(f"Manifests: {len(OVERLAYS)} overlays NOT checked. {error}")
        return 1 if stale else 0
    found = [*stale, *(complaint for overlay in OVERLAYS for complaint in complaints(overlay))]
    for complaint in found:
        print(complaint, file=sys.stderr)
    if not found:
        counts = ", ".join(f"{overlay} {len(render(overlay))}" for overlay in OVERLAYS)
        print(f"Manifests: all valid for Kubernetes {KUBERNETES_VERSION} ({counts}).")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
