"""Pipeline ``logs``: VictoriaLogs, where every log record ends, and the collector of what containers print."""

from __future__ import annotations

import pulumi

from infra.catalogue import Component, catalogue
from infra.host import Host
from infra.service import SECRETS_FOLDER, Service
from infra.settings import Logs

# Acknowledged records survive a SIGKILL after about three times this (docs/delivery.md). It is the least; the default is 5 s.
FLUSH_INTERVAL_SECONDS = 1
# Below this the store turns read-only instead of filling the disk that trading needs.
FREE_SPACE_FLOOR = "1GiB"
# The API gives people 10 s; what reconciles or exports may take longer, but not for ever.
QUERY_SECONDS = 30
# More than these wait, up to the same time, and are then refused: queries must not take the memory that ingestion needs.
CONCURRENT_QUERIES = 8
# What shows the command line, profiles the process or makes the store work takes a key.
GUARDED = ("flags", "pprof", "forceFlush", "forceMerge")


class LogsPipeline(pulumi.ComponentResource):
    """Log store with retention by time and by size."""

    def __init__(self, host: Host, settings: Logs) -> None:
        super().__init__("crowsnest:pipelines:Logs", "logs")
        component = catalogue()["victorialogs"]
        (key,) = component.secrets
        self.store = Service(
            component,
            host,
            command=[
                f"-storageDataPath={component.data}",
                f"-retentionPeriod={settings.retention.time}",
                f"-retention.maxDiskSpaceUsageBytes={settings.retention.size}",
                f"-storage.minFreeDiskSpaceBytes={FREE_SPACE_FLOOR}",
                f"-inmemoryDataFlushInterval={FLUSH_INTERVAL_SECONDS}s",
                f"-search.maxQueryDuration={QUERY_SECONDS}s",
                f"-search.maxQueueDuration={QUERY_SECONDS}s",
                f"-search.maxConcurrentRequests={CONCURRENT_QUERIES}",
                *(f"-{name}AuthKey=file://{SECRETS_FOLDER}/{key}" for name in GUARDED),
                f"-httpListenAddr=:{component.ports['http'].container}",
                "-loggerFormat=json",
            ],
            parent=self,
        )
        if settings.collector != "none":
            collector = catalogue()[settings.collector]
            # Begun after the store and so ended before it: what a collector holds when it ends, it must still deliver.
            self.collector = Service(
                collector, host, command=COLLECTOR_COMMANDS[collector.name](collector), after=[self.store], parent=self
            )
        self.register_outputs({})


def _vector(component: Component) -> list[str]:
    return ["--config", f"{component.config}/vector.yaml"]


def _alloy(component: Component) -> list[str]:
    listen = f"--server.http.listen-addr=0.0.0.0:{component.ports['http'].container}"
    return ["run", f"{component.config}", f"--storage.path={component.data}", listen, "--disable-reporting"]


COLLECTOR_COMMANDS = {"vector": _vector, "alloy": _alloy}
