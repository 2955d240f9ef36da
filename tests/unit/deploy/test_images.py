"""What goes into the images: of each service, what it needs and nothing else, in the versions of everybody."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from embedded.paths import CHECKOUT

IMAGES = {
    "ingress": CHECKOUT / "services/ingress",
    "fulfillment": CHECKOUT / "services/fulfillment",
    "delivery": CHECKOUT / "services/delivery",
    "admin-api": CHECKOUT / "services/admin-api",
    "sandbox": CHECKOUT / "deploy/sandbox",
}
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ;\\]+)(?: ; ([^\\]*))?", re.MULTILINE)
OURS = re.compile(r"^bitloot")
HERE = {"sys_platform": "linux", "platform_system": "Linux", "python_full_version": "3.11.9", "python_version": "3.11"}


def pins(name: str) -> dict[str, str]:
    """Return the versions that a lock file has for the images' platform."""
    text = (CHECKOUT / "requirements" / f"{name}.lock").read_text()
    return {
        package: version
        for package, version, marker in PIN.findall(text)
        if not marker or Marker(marker.strip()).evaluate(dict(HERE))
    }


def closure(package: str, extras: frozenset[str] = frozenset(), seen: set[str] | None = None) -> set[str]:
    """Return what a package needs, directly or not, by what is installed here."""
    seen = set() if seen is None else seen
    for line in requires(package) or ():
        needed = Requirement(line)
        marked = [not needed.marker or needed.marker.evaluate({**HERE, "extra": extra}) for extra in extras or {""}]
        name = canonicalize_name(needed.name)
        if any(marked) and (name not in seen or needed.extras):
            first = name not in seen
            seen.add(name)
            if first or needed.extras:
                closure(name, frozenset({"", *needed.extras}), seen)
    return seen


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_what_its_service_needs_in_the_versions_of_everybody(image: str):
    everybody, own = pins("all"), pins(image)
    needed = {name for name in closure(f"bitloot-{image}") if not OURS.match(name)}
    assert set(own) == needed, "run: make lock ARGS=..."
    assert own == {name: everybody[name] for name in own}


@pytest.mark.parametrize("image", IMAGES)
def test_every_pin_of_an_image_has_hashes(image: str):
    text = (CHECKOUT / "requirements" / f"{image}.lock").read_text()
    for pin in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in pin, pin.splitlines()[0]


@pytest.mark.parametrize("directory", IMAGES.values(), ids=IMAGES)
def test_an_image_is_small_in_rights_and_needs_no_shell(directory: Path):
    text = (directory / "Dockerfile").read_text()
    final = text[text.rindex("FROM ") :]
    pinned = dict(
        line.split("=", 1) for line in (CHECKOUT / "deploy/images.env").read_text().splitlines() if "=" in line
    )
    assert f"ARG PYTHON_IMAGE={pinned['PYTHON_IMAGE']}" in text
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["python", "-m"\]$', final, re.MULTILINE)
    assert re.search(r'^CMD \["[a-z_.]+"\]$', final, re.MULTILINE)
    assert "HEALTHCHECK" in final
    assert "org.opencontainers.image.revision" in final
    assert not re.search(r"pip install|apt-get|uv pip|npm ", final)


def test_no_image_is_named_by_a_tag_that_moves():
    for line in (CHECKOUT / "deploy/images.env").read_text().splitlines():
        if not line.startswith("#"):
            _, _, image = line.partition("=")
            assert re.search(r":v?\d", image), image
