"""docker-compose.yml, in step with what runs and with the pinned images; nothing in it is a secret."""

import re
from pathlib import Path

import pytest
import yaml

from embedded.compose import needs_by_process, write_settings
from embedded.paths import CHECKOUT
from embedded.services import MIGRATIONS, SANDBOX, SERVICES, TOPICS

COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
OURS = {each.name: each.module for each in (SANDBOX, *SERVICES, TOPICS, MIGRATIONS)}
MODULES = {"ingress": "ingress", "fulfillment": "fulfillment", "delivery": "delivery", "admin-api": "admin_api"}


@pytest.mark.parametrize("process", OURS)
def test_every_process_runs_as_in_the_embedded_stack_and_with_its_own_settings(process: str):
    service = COMPOSE[process]
    image = service["image"].removeprefix("bitloot/").removesuffix(":${TAG:-dev}")
    default = MODULES.get(image, image)
    assert service.get("command", [default]) == [OURS[process]]
    assert service["env_file"] == f"${{BITLOOT_SETTINGS:-.run/compose}}/{process}.env"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["restart"] == ("on-failure:5" if process in {"topics", "migrations"} else "unless-stopped")


def test_whatever_runs_on_has_a_health_check():
    for name, service in COMPOSE.items():
        own = service["image"].startswith("bitloot/")  # in the image
        assert own or "healthcheck" in service or name == "otel-collector", name


def test_services_wait_for_topics_migrations_and_storage():
    for service in SERVICES:
        waits = {name: each["condition"] for name, each in COMPOSE[service.name]["depends_on"].items()}
        assert waits == {
            "topics": "service_completed_successfully",
            "migrations": "service_completed_successfully",
            "s3": "service_healthy",
        }


def test_images_are_pinned_in_one_place():
    pins = (CHECKOUT / "deploy/images.env").read_text()
    for name, service in COMPOSE.items():
        image = service["image"]
        if not image.startswith("bitloot/"):
            variable = re.match(r"\$\{(\w+):\?", image)
            assert variable, name
            assert re.search(rf"^{variable[1]}=", pins, re.MULTILINE), name


def test_settings_are_made_once_told_to_those_that_need_them_and_private(tmp_path: Path):
    facts = write_settings(tmp_path, {})
    assert write_settings(tmp_path, {}) == facts
    for process, needs in needs_by_process().items():
        path = tmp_path / f"{process}.env"
        told = {line.partition("=")[0] for line in path.read_text().splitlines()}
        assert told <= needs
        assert path.stat().st_mode & 0o077 == 0
    sandbox, ingress = ((tmp_path / f"{name}.env").read_text() for name in ("sandbox", "ingress"))
    secret = re.search("^NOWPAYMENTS_IPN_SECRET='(.+)'$", ingress, re.MULTILINE)
    assert secret
    assert secret[1] in sandbox
    assert "RESEND_API_KEY" not in ingress
