"""What is scraped and probed comes from the catalogue and the stack's settings."""

from __future__ import annotations

from infra import scraping
from infra import settings as stack_settings
from infra.catalogue import catalogue
from infra.settings import parse

FULL = stack_settings.read("full")


def targets(tree: dict) -> dict[str, dict]:
    return {str(target["job"]): target for target in scraping.targets(parse("x", {"pipelines": tree}))}


def test_every_component_with_metrics_is_a_target_once():
    found = [(target["job"], target["address"]) for target in scraping.targets(FULL)]
    expected = {
        (job, f"{component.name}:{component.ports[scrape.port].container}")
        for component in FULL.components
        for job, scrape in component.metrics.items()
    }

    assert set(found) - {("containers", f"alloy:{catalogue()['alloy'].ports['http'].container}")} == expected
    assert len(found) == len(set(found))


def test_databases_are_scraped_by_their_exporters_and_keep_the_labels_of_the_sources():
    found = {str(target["job"]): target for target in scraping.targets(FULL)}

    assert found["redis"]["address"].startswith("redis-exporter:")
    assert found["redis"]["labels"]["service"] == "redis"
    assert found["postgresql"]["address"].startswith("postgres-exporter:")
    assert found["postgresql"]["labels"]["service"] == "database"


def test_a_plane_has_no_label_service_which_would_rename_its_own():
    planes = [target for target in scraping.targets(FULL) if "plane" in target["labels"]]

    assert len(planes) == 3
    assert not any("service" in target["labels"] for target in planes)


def test_containers_come_from_whom_the_settings_choose():
    assert "containers" not in targets({"metrics": {"containers": "none"}})
    assert targets({"metrics": {}})["containers"]["address"].startswith("cadvisor:")
    alloy = targets({"metrics": {"containers": "alloy"}})["containers"]
    assert alloy["address"].startswith("alloy:")
    assert alloy["path"] == scraping.ALLOY_CONTAINERS.path


def test_targets_of_the_settings_are_added():
    own = {"job": "alpha-oracle-api", "address": "host.docker.internal:9999", "labels": {"service": "api"}}

    assert targets({"metrics": {"targets": [own]}})["alpha-oracle-api"] == {**own, "path": "/metrics"}


def test_every_component_is_probed_from_outside():
    probed = {probe["component"] for probe in scraping.probes(FULL)}

    # Who listens on nothing can only be asked by Docker.
    assert probed == {component.name for component in FULL.components if component.ports} - {scraping.PROBER}


def test_a_stack_without_the_pipeline_says_so():
    assert stack_settings.read("dev").describe()["metrics"] is None
