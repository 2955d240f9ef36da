import prometheus_client
import pytest

from bitloot import metrics
from bitloot.metrics import BUILD_INFO

ALL = {
    name: each for name, each in vars(metrics).items() if isinstance(each, prometheus_client.metrics.MetricWrapperBase)
}


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_metric_is_named_and_explained(name: str):
    metric = ALL[name]

    assert metric._name.startswith("bitloot_")
    assert metric._documentation.endswith(".")
    assert ("seconds" in metric._name) == name.endswith("SECONDS")


@pytest.mark.parametrize("name", sorted(ALL))
def test_no_label_grows_with_the_number_of_orders(name: str):
    forbidden = {"order_id", "item_id", "path", "url", "id", "email", "detail", "instance"}

    assert forbidden.isdisjoint(ALL[name]._labelnames)


def test_announces_what_runs():
    metrics.announce("a-test")

    (sample,) = [each for each in BUILD_INFO.collect()[0].samples if each.labels["service"] == "a-test"]
    assert sample.value == 1
    assert sample.labels["version"]
