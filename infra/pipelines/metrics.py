"""Pipeline ``metrics``: Prometheus and Alertmanager, the exporters, and what probes every component from outside."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from infra import gateway
from infra.catalogue import Component, catalogue
from infra.host import Host
from infra.pipelines.logs import COLLECTOR_COMMANDS
from infra.service import SECRETS_FOLDER, Service
from infra.settings import MONITOR, PROJECT, Metrics, Settings

# A query that takes longer, or is one too many, must not take the memory that scraping needs.
QUERY_SECONDS = 30
CONCURRENT_QUERIES = 8
# How long Alertmanager knows what it has notified: longer than any repetition.
NOTIFICATIONS_KEPT = "120h"
# A database that is away has no name on an internal network, and asking for it takes longer than a scrape may: without these
# bounds the exporter would look dead instead of saying that the database is.
CONNECT_SECONDS = 1
# How a container reaches a process on this machine.
HOST_ALIAS = {"host.docker.internal": "host-gateway"}
# Of a container's own file systems and network devices nobody wants to know.
NOT_MOUNTS = r"^/(dev|proc|run|sys|var/lib/docker/.+|var/lib/containerd/.+)($|/)"
NOT_DEVICES = r"^(veth.*|br-.*|docker.*|lo)$"


class MetricsPipeline(pulumi.ComponentResource):
    """Every component that the stack's settings chose; none waits for another, all of them wait by themselves."""

    def __init__(self, host: Host, settings: Metrics) -> None:
        super().__init__("crowsnest:pipelines:Metrics", "metrics")
        commands = {
            "prometheus": _prometheus(host.settings, settings),
            "alertmanager": _alertmanager(host.settings),
            "node-exporter": _node_exporter(),
            "blackbox-exporter": _blackbox_exporter(),
            "redis-exporter": _redis_exporter(),
            "postgres-exporter": [_listen("postgres-exporter")],
            "cadvisor": _cadvisor(),
            "alloy": COLLECTOR_COMMANDS["alloy"](catalogue()["alloy"]),
        }
        logs = host.settings.pipelines.logs
        elsewhere = set(logs.components) if logs else set()
        for component in host.settings.components:
            if component.name in settings.components and component.name not in elsewhere:
                Service(
                    component,
                    host,
                    command=commands[component.name],
                    environment=_environment(component),
                    hosts=_hosts(component, settings),
                    parent=self,
                )
        self.register_outputs({})


def _listen(name: str) -> str:
    return f"--web.listen-address=:{catalogue()[name].ports['http'].container}"


def _prometheus(settings: Settings, metrics: Metrics) -> list[str]:
    component = catalogue()["prometheus"]
    command = [
        f"--config.file={component.config}/prometheus.yml",
        f"--storage.tsdb.path={component.data}",
        f"--storage.tsdb.retention.time={metrics.retention.time}",
        # Prometheus writes 2^30 bytes as GB.
        f"--storage.tsdb.retention.size={metrics.retention.size.replace('iB', 'B')}",
        f"--query.timeout={QUERY_SECONDS}s",
        f"--query.max-concurrency={CONCURRENT_QUERIES}",
        "--web.enable-lifecycle",
        "--log.format=json",
        _listen(component.name),
        *_seen_from_outside(component, settings),
    ]
    # It deletes series and makes snapshots, and asks nobody who he is: only where no port is published.
    return command if settings.published_ports(component) else [*command, "--web.enable-admin-api"]


def _seen_from_outside(component: Component, settings: Settings) -> list[str]:
    """What makes its pages, and the links in notifications, point to the gateway, which takes the path away again."""
    if settings.gateway_url is None:
        return []
    return [f"--web.external-url={settings.gateway_url}{gateway.TOOLS[component.name].path}/", "--web.route-prefix=/"]


def _alertmanager(settings: Settings) -> list[str]:
    component = catalogue()["alertmanager"]
    return [
        f"--config.file={component.config}/alertmanager.yml",
        f"--storage.path={component.data}",
        f"--data.retention={NOTIFICATIONS_KEPT}",
        "--cluster.listen-address=",  # one machine, no cluster
        "--log.format=json",
        _listen(component.name),
        *_seen_from_outside(component, settings),
    ]


def _node_exporter() -> list[str]:
    component = catalogue()["node-exporter"]
    proc, system, root = component.host_paths
    return [
        f"--path.procfs={proc}",
        f"--path.sysfs={system}",
        f"--path.rootfs={root}",
        # What backup, drift and reconciliation have to say stands in files here.
        f"--collector.textfile.directory={component.data}",
        f"--collector.filesystem.mount-points-exclude={NOT_MOUNTS}",
        f"--collector.netdev.device-exclude={NOT_DEVICES}",
        f"--collector.netclass.ignored-devices={NOT_DEVICES}",
        _listen(component.name),
    ]


def _blackbox_exporter() -> list[str]:
    component = catalogue()["blackbox-exporter"]
    return [f"--config.file={component.config}/blackbox.yml", _listen(component.name)]


def _redis_exporter() -> list[str]:
    component, redis = catalogue()["redis-exporter"], catalogue()["redis"]
    return [
        f"--redis.addr=redis://{redis.name}:{redis.ports['resp'].container}",
        f"--redis.user={MONITOR}",
        f"--connection-timeout={CONNECT_SECONDS}s",
        f"--redis.password-file={component.config}/passwords.json",
        _listen(component.name),
    ]


def _cadvisor() -> list[str]:
    component = catalogue()["cadvisor"]
    return [
        f"--port={component.ports['http'].container}",
        "--docker_only=true",
        "--housekeeping_interval=30s",
        "--store_container_labels=false",
        "--disable_metrics=percpu,sched,tcp,udp,hugetlb,referenced_memory,cpu_topology,resctrl",
    ]


def _environment(component: Component) -> Mapping[str, str] | None:
    if component.name != "postgres-exporter":
        return None
    database = catalogue()["postgresql"]
    (secret,) = component.secrets
    place = f"{database.name}:{database.ports['sql'].container}/{PROJECT}"
    return {
        "DATA_SOURCE_URI": f"{place}?sslmode=disable&connect_timeout={CONNECT_SECONDS}",
        "DATA_SOURCE_USER": MONITOR,
        "DATA_SOURCE_PASS_FILE": f"{SECRETS_FOLDER}/{secret}",
    }


def _hosts(component: Component, settings: Metrics) -> Mapping[str, str] | None:
    named = any(target.address.split(":")[0] in HOST_ALIAS for target in settings.targets)
    return HOST_ALIAS if component.name == "prometheus" and named else None
