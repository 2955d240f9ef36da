"""The Kubernetes manifests: as strict as they claim, and in step with the code that runs in them."""

import copy
import re
from typing import Any, get_args

import kubernetes_validate
import pytest

import admin_api.settings
import bitloot.topics
import delivery.settings
import fulfillment.kinguin.settings
import fulfillment.selling.settings
import fulfillment.settings
import ingress.payments.settings
import ingress.settings
from admin_api.api.intake import MAX_BYTES as MAX_FILE
from bitloot.contracts import access
from bitloot.contracts.topics import CHANGELOGS, TOPICS, Service
from bitloot.http import MAX_SIZE
from bitloot.settings import PostgresSettings, Settings
from embedded import kustomize, manifests
from embedded.errors import MissingTool
from embedded.services import MIGRATIONS, SERVICES
from embedded.services import TOPICS as TOPICS_JOB

SETTINGS: dict[str, type[Settings]] = {
    "admin-api": admin_api.settings.ApiSettings,
    "delivery": delivery.settings.WorkerSettings,
    "fulfillment": fulfillment.settings.Settings,
    "ingress": ingress.settings.Settings,
    "kinguin": fulfillment.kinguin.settings.KinguinSettings,
    "migrations": PostgresSettings,
    "order-page": delivery.settings.OrderPageSettings,
    "payments": ingress.payments.settings.PaymentsSettings,
    "seller": fulfillment.selling.settings.SellerSettings,
    "sink": admin_api.settings.SinkSettings,
    "topics": bitloot.topics.Settings,
}
MODULES = {each.name: each.module for each in (*SERVICES, TOPICS_JOB, MIGRATIONS)}
WORKLOADS = ("Deployment", "StatefulSet", "Job")
OVERLAYS = kustomize.OVERLAYS


def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    try:
        return kustomize.render(overlay)
    except MissingTool as error:
        pytest.skip(str(error))


def workloads(overlay: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in rendered(overlay) if each["kind"] in WORKLOADS}


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    return workload["spec"]["template"]["spec"]


def named(overlay: str, kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in rendered(overlay) if each["kind"] == kind}


def labels(workload: dict[str, Any]) -> dict[str, str]:
    return workload["spec"]["template"]["metadata"]["labels"]


def environment(overlay: str, process: str) -> set[str]:
    """Return the names of all that a process of ours is told in an overlay."""
    container = pod(workloads(overlay)[process])["containers"][0]
    maps = {name.rsplit("-", 1)[0]: each["data"] for name, each in named(overlay, "ConfigMap").items()}
    told = {each["name"] for each in container.get("env", [])}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            told |= maps[source["configMapRef"]["name"].rsplit("-", 1)[0]].keys()
        else:
            name = source["secretRef"]["name"].removesuffix("-settings")
            told |= set(manifests.secret_keys()[name])
    return told


# --- strictness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_takes_every_manifest_as_it_is_written(overlay: str):
    rendered(overlay)
    assert kustomize.complaints(overlay) == []


def test_the_check_finds_a_field_that_does_not_exist():
    broken = copy.deepcopy(workloads("production")["ingress"])
    pod(broken)["containers"][0]["livelinessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, kustomize.KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted_bounded_and_without_a_token(overlay: str):
    ours = {*MODULES, "sandbox"}
    for name, workload in workloads(overlay).items():
        spec = pod(workload)
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume], name
        for container in (*spec["containers"], *spec.get("initContainers", [])):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context.get("readOnlyRootFilesystem") is True or name not in ours, name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), name
            assert re.fullmatch(r"[\w./-]+:v?[\w.-]*\d[\w.-]*|bitloot/[\w-]+:dev", container["image"]), container[
                "image"
            ]
            assert not container["image"].endswith(":latest"), name
            if workload["kind"] != "Job":
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), name
            for each in container.get("env", []):  # secrets are referred to
                assert not re.search("PASSWORD|SECRET|TOKEN|PRIVATE", each["name"]) or "valueFrom" in each, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_demands_the_restricted_standard_and_nothing_lies_outside(overlay: str):
    (namespace,) = named(overlay, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for each in rendered(overlay):
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == namespace["metadata"]["name"], each["metadata"]["name"]
        assert each["kind"] != "Secret", "secrets come from elsewhere"


# --- in step with the code -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_process_runs_and_runs_what_the_embedded_stack_runs(overlay: str):
    found = workloads(overlay)
    assert found.keys() >= MODULES.keys()
    for name, module in MODULES.items():
        assert pod(found[name])["containers"][0]["args"] == [module]


@pytest.mark.parametrize("process", SETTINGS)
def test_a_process_is_told_what_it_cannot_start_without(process: str):
    fields = SETTINGS[process].model_fields
    needed = {name.upper() for name, field in fields.items() if field.is_required()}
    assert needed - environment("production", process) == set()


@pytest.mark.parametrize("process", SETTINGS)
def test_a_secret_holds_nothing_that_its_process_does_not_read(process: str):
    known = {name.upper() for name in SETTINGS[process].model_fields}
    assert set(manifests.secret_keys().get(process, ())) - known == set()


def test_generated_manifests_are_in_step_with_the_contracts():
    for path, text in manifests.files().items():
        assert path.read_text() == text, f"{path}: run make manifests"


def test_kafka_has_the_topics_and_users_of_the_contracts():
    topics = named("production", "KafkaTopic")
    assert topics.keys() == {topic.name for topic in (*TOPICS, *CHANGELOGS)}
    users = named("production", "KafkaUser")
    assert users.keys() == {*get_args(Service), access.TOPICS_COMMAND}
    for name, user in users.items():
        granted = {
            (acl["resource"]["type"], acl["resource"]["name"], tuple(acl["operations"]))
            for acl in user["spec"]["authorization"]["acls"]
        }
        assert granted == {(each.kind, each.name, each.operations) for each in access.grants(name)}
        assert all(acl["resource"]["patternType"] == "literal" for acl in user["spec"]["authorization"]["acls"])


def test_each_process_is_its_own_user_at_the_brokers():
    for name in access.users():
        told = {each["name"]: each for each in pod(workloads("production")[name])["containers"][0]["env"]}
        assert told["KAFKA_USERNAME"]["value"] == name
        assert told["KAFKA_PASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": name, "key": "password"}


def test_groups_are_those_that_the_code_joins():
    from admin_api.sink.loop import GROUP as SINK  # noqa: PLC0415
    from delivery.app import GROUP as DELIVERY  # noqa: PLC0415
    from fulfillment.app import APP_ID  # noqa: PLC0415
    from fulfillment.kinguin.app import GROUP as KINGUIN  # noqa: PLC0415
    from fulfillment.selling.app import GROUP as SELLER  # noqa: PLC0415
    from ingress.payments.app import GROUP as PAYMENTS  # noqa: PLC0415

    assert access.GROUPS == {
        "sink": SINK,
        "delivery": DELIVERY,
        "fulfillment": APP_ID,
        "kinguin": KINGUIN,
        "payments": PAYMENTS,
        "seller": SELLER,
    }
    consumed = {topic.name: topic.consumers for topic in TOPICS}
    for name, scaled in named("production", "ScaledObject").items():
        trigger = scaled["spec"]["triggers"][0]["metadata"]
        assert trigger["consumerGroup"] == access.GROUPS[name]
        assert name in consumed[trigger["topic"]]
        assert "replicas" not in workloads("production")[name]["spec"], "the scaler says how many"


# --- edges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_passes_but_what_is_named(overlay: str):
    policies = named(overlay, "NetworkPolicy")
    assert policies["deny-all"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_a_process_has_the_edges_that_its_settings_speak_of():
    edges = {"kafka": "KAFKA_BOOTSTRAP_SERVERS", "postgres": "DATABASE_URL"}
    outside = re.compile(
        "R2_ENDPOINT_URL|KINGUIN_BASE_URL|NOWPAYMENTS_BASE_URL|RESEND_BASE_URL|KINGUIN_SELLER_BASE_URL"
    )
    needs = {each.name: each.needs for each in SERVICES}
    needs |= {"topics": TOPICS_JOB.needs | MIGRATIONS.needs, "migrations": MIGRATIONS.needs}
    for name, settings in needs.items():
        has = {
            label.partition("/")[2] for label in labels(workloads("production")[name]) if "bitloot.example/" in label
        }
        wants = {edge for edge, setting in edges.items() if setting in settings}
        wants |= {"internet"} if any(outside.fullmatch(each) for each in settings) else set()
        assert has - {"web"} == wants, name


def test_the_way_in_lets_through_what_the_doors_take():
    (door,) = named("production", "Ingress").values()
    most = door["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert int(most.removesuffix("m")) << 20 >= max(MAX_FILE, MAX_SIZE)


def test_what_is_open_to_the_world_is_no_health_and_no_metrics():
    (door,) = named("production", "Ingress").values()
    hosts = {rule["host"]: rule["http"]["paths"] for rule in door["spec"]["rules"]}
    assert {host for tls in door["spec"]["tls"] for host in tls["hosts"]} == set(hosts)
    for paths in hosts.values():
        for path in paths:
            target = path["backend"]["service"]["name"]
            assert target in named("production", "Service")
            assert labels(workloads("production")[target])["bitloot.example/web"] == "true"
            assert path["path"] != "/" or target == "admin-api"


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_what_may_be_evicted_leaves_somebody(overlay: str):
    budgets, scaled = named(overlay, "PodDisruptionBudget"), named(overlay, "HorizontalPodAutoscaler")
    keda = named(overlay, "ScaledObject")
    for name in {each.name for each in SERVICES}:
        workload = workloads(overlay)[name]
        assert budgets[name]["spec"]["maxUnavailable"] == 1
        least = workload["spec"].get("replicas", 1)
        least = scaled[name]["spec"]["minReplicas"] if name in scaled else least
        least = keda[name]["spec"]["minReplicaCount"] if name in keda else least
        assert least >= 2, name
        assert len(pod(workload)["topologySpreadConstraints"]) == 2


def test_alerts_and_dashboards_of_the_cluster_are_those_that_are_tested():
    (rule,) = named("production", "PrometheusRule").values()
    assert {group["name"] for group in rule["spec"]["groups"]} >= {"bitloot-objective", "bitloot-orders"}
    (monitor,) = named("production", "ServiceMonitor").values()
    (endpoint,) = monitor["spec"]["endpoints"]
    services = named("production", "Service")
    for each in SERVICES:  # all of them have what is scraped, under the name that the alerts ask for
        assert services[each.name]["metadata"]["labels"][monitor["spec"]["jobLabel"]] == each.name
        assert endpoint["port"] in {port["name"] for port in services[each.name]["spec"]["ports"]}
