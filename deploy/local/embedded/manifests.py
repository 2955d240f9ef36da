"""Writes those Kubernetes manifests that follow from the contracts: Kafka's topics and users, who knows which secret.

`python -m embedded.manifests` writes them; a test compares, so that they cannot drift.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bitloot.contracts.access import TOPICS_COMMAND, Grant, grants, users
from bitloot.contracts.topics import CHANGELOGS, DEFAULT_PARTITIONS, TOPICS, Topic
from embedded.paths import CHECKOUT
from embedded.services import MIGRATIONS, SERVICES
from embedded.services import TOPICS as TOPICS_JOB

K8S = CHECKOUT / "deploy" / "k8s"
_OBSERVABILITY = CHECKOUT / "deploy" / "observability"
_CLUSTER = {"strimzi.io/cluster": "bitloot"}
_STORE = {"kind": "ClusterSecretStore", "name": "bitloot"}
_HEADER = "# Made by `make manifests` from {source}: do not edit.\n"
_REPLICAS = 3

Manifest = dict[str, Any]


def config_keys() -> frozenset[str]:
    """Return the settings that are no secrets: those of the base's ConfigMaps."""
    lines = [line for name in ("settings", "web") for line in (K8S / "base" / f"{name}.env").read_text().splitlines()]
    return frozenset(line.partition("=")[0] for line in lines if line and not line.startswith("#"))


def secret_keys() -> Mapping[str, tuple[str, ...]]:
    """Return what the Secret of each process holds; processes that need none are not there."""
    told = {service.name: service.needs for service in SERVICES}
    told |= {"topics": TOPICS_JOB.needs | MIGRATIONS.needs, "migrations": MIGRATIONS.needs}
    public = config_keys() | {"KAFKA_BOOTSTRAP_SERVERS"}
    return {name: tuple(sorted(needs - public)) for name, needs in told.items() if needs - public}


def kafka_topics() -> list[Manifest]:
    """Return a KafkaTopic for each topic."""
    return [_topic(topic) for topic in (*TOPICS, *CHANGELOGS)]


def _topic(topic: Topic) -> Manifest:
    return {
        "apiVersion": "kafka.strimzi.io/v1beta2",
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": _CLUSTER},
        "spec": {
            "partitions": DEFAULT_PARTITIONS,
            "replicas": _REPLICAS,
            "config": {**topic.config, "min.insync.replicas": "2"},
        },
    }


def kafka_users() -> list[Manifest]:
    """Return a KafkaUser for each process, with the rights that it needs and no more."""
    return [
        {
            "apiVersion": "kafka.strimzi.io/v1beta2",
            "kind": "KafkaUser",
            "metadata": {"name": user, "labels": _CLUSTER},
            "spec": {
                "authentication": {"type": "scram-sha-512"},
                "authorization": {"type": "simple", "acls": [_acl(grant) for grant in grants(user)]},
            },
        }
        for user in users()
    ]


def _acl(grant: Grant) -> Manifest:
    return {
        "resource": {"type": grant.kind, "name": grant.name, "patternType": "literal"},
        "operations": list(grant.operations),
        "host": "*",
    }


def kafka_clients() -> list[Manifest]:
    """Return patches that let each process be its own user, over TLS."""
    kinds = {"fulfillment": "StatefulSet", TOPICS_COMMAND: "Job"}
    return [_client(user, kinds.get(user, "Deployment")) for user in users()]


def _client(user: str, kind: str) -> Manifest:
    container = {
        "name": user,
        "env": [
            {"name": "KAFKA_USERNAME", "value": user},
            {"name": "KAFKA_PASSWORD", "valueFrom": {"secretKeyRef": {"name": user, "key": "password"}}},
        ],
        "volumeMounts": [{"name": "kafka-ca", "mountPath": "/etc/bitloot/kafka", "readOnly": True}],
    }
    authority = {"secretName": "bitloot-cluster-ca-cert", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    pod = {"containers": [container], "volumes": [{"name": "kafka-ca", "secret": authority}]}
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {"name": user},
        "spec": {"template": {"spec": pod}},
    }


def external_secrets() -> list[Manifest]:
    """Return an ExternalSecret for each process: it gets what it needs by name, and nothing else."""
    return [
        {
            "apiVersion": "external-secrets.io/v1",
            "kind": "ExternalSecret",
            "metadata": {"name": f"{process}-settings"},
            "spec": {
                "refreshInterval": "1h",
                "secretStoreRef": _STORE,
                "target": {"name": f"{process}-settings", "creationPolicy": "Owner"},
                "data": [{"secretKey": key, "remoteRef": {"key": f"bitloot/{key}"}} for key in keys],
            },
        }
        for process, keys in secret_keys().items()
    ]


def prometheus_rule() -> list[Manifest]:
    """Return the alert rules as the Prometheus operator reads them."""
    rules = yaml.safe_load((_OBSERVABILITY / "prometheus" / "rules.yaml").read_text())
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "bitloot", "labels": {"release": "prometheus"}},
            "spec": {"groups": rules["groups"]},
        }
    ]


def grafana_dashboards() -> list[Manifest]:
    """Return a ConfigMap for each dashboard, with the label that Grafana's sidecar looks for."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"dashboard-{path.stem}", "labels": {"grafana_dashboard": "1"}},
            "data": {path.name: path.read_text()},
        }
        for path in sorted((_OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))
    ]


def files() -> Mapping[Path, str]:
    """Return each file's content."""
    contracts, services = "shared/bitloot/contracts", "deploy/local/embedded/services.py"
    strimzi, monitoring = K8S / "components" / "strimzi", K8S / "components" / "monitoring"
    return {
        strimzi / "topics.yaml": _text(kafka_topics(), contracts),
        strimzi / "users.yaml": _text(kafka_users(), contracts),
        strimzi / "clients.yaml": _text(kafka_clients(), contracts),
        monitoring / "rules.yaml": _text(prometheus_rule(), "deploy/observability/prometheus/rules.yaml"),
        monitoring / "dashboards.yaml": _text(grafana_dashboards(), "deploy/observability/grafana"),
        K8S / "components" / "external-secrets" / "secrets.yaml": _text(external_secrets(), services),
    }


def _text(manifests: Iterable[Manifest], source: str) -> str:
    return _HEADER.format(source=source) + yaml.safe_dump_all(manifests, sort_keys=False, width=110)


def main() -> int:
    """Write all files; returns the exit status."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
