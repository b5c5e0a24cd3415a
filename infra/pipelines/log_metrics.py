"""Pipeline ``log_metrics``: the trader's log files; their lines go to Loki, the metrics in them to Mimir."""

from __future__ import annotations

import pulumi

from infra.catalogue import Component, catalogue
from infra.host import Host
from infra.pipelines.logs import COLLECTOR_COMMANDS
from infra.service import Service
from infra.settings import LogMetrics

# Go frees memory before a container's limit is reached; without this it does not know of the limit.
GO_MEMORY_SHARE = 0.8


class LogMetricsPipeline(pulumi.ComponentResource):
    """Mimir, Loki, and the Alloy that reads the trader's log files. Retention stands in the stores' configuration files."""

    def __init__(self, host: Host, _settings: LogMetrics) -> None:
        super().__init__("crowsnest:pipelines:LogMetrics", "log-metrics")
        stores = [self._store(host, name) for name in ("mimir", "loki")]
        reader = catalogue()["alloy-trader"]
        # Begun after the stores and so ended before them: what it holds when it ends, it must still deliver.
        self.reader = Service(
            reader,
            host,
            command=COLLECTOR_COMMANDS["alloy"](reader),
            environment=_memory(host, reader),
            after=stores,
            parent=self,
        )
        self.register_outputs({})

    def _store(self, host: Host, name: str) -> Service:
        component = catalogue()[name]
        return Service(
            component,
            host,
            command=[f"-config.file={component.config}/{name}.yaml"],
            environment=_memory(host, component),
            parent=self,
        )


def _memory(host: Host, component: Component) -> dict[str, str]:
    return {"GOMEMLIMIT": f"{int(host.settings.memory_limit_mb(component) * GO_MEMORY_SHARE)}MiB"}
