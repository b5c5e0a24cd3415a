"""What Prometheus scrapes and what is probed, from the catalogue and a stack's settings: no address stands anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from infra import gateway
from infra.catalogue import Component, Scrape

if TYPE_CHECKING:
    from infra.settings import Settings

PROBER = "blackbox-exporter"
CONTAINERS = "containers"
# How Alloy names the endpoint of its exporter for containers, which the role `alloy` configures.
ALLOY_CONTAINERS = Scrape(path="/api/v0/component/prometheus.exporter.cadvisor.containers/metrics")


def targets(settings: Settings) -> list[dict[str, object]]:
    """Scrape jobs with their targets: every component's own, and those that the stack's settings add."""
    metrics = settings.pipelines.metrics
    assert metrics is not None  # noqa: S101 - asked for a stack that has the pipeline
    own = [
        _target(component, job, scrape)
        for component in settings.components
        for job, scrape in _scrapes(component, containers=metrics.containers)
    ]
    return own + [target.model_dump() for target in metrics.targets]


def _scrapes(component: Component, *, containers: str) -> Iterator[tuple[str, Scrape]]:
    yield from component.metrics.items()
    if component.name == containers == "alloy":
        yield CONTAINERS, ALLOY_CONTAINERS


def _target(component: Component, job: str, scrape: Scrape) -> dict[str, object]:
    return {
        "job": job,
        "address": f"{component.name}:{component.ports[scrape.port].container}",
        "path": scrape.path,
        "labels": {"component": component.name, **scrape.labels},
    }


def probes(settings: Settings) -> list[dict[str, str]]:
    """What is asked from outside: the health of who has an address for it, else whether each port takes connections."""
    return [probe for component in settings.components if component.name != PROBER for probe in _probes(component)]


def _probes(component: Component) -> Iterator[dict[str, str]]:
    if component.name == gateway.NAME:
        yield {"module": "tls", "component": component.name, "target": f"{component.name}:{component.ports['https'].container}"}
    if http := component.probe.http:
        yield {"module": "http", "component": component.name, "target": f"{component.url(http.port)}{http.path}"}
        return
    for port in component.ports.values():
        yield {"module": "tcp", "component": component.name, "target": f"{component.name}:{port.container}"}
