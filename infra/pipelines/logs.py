"""Pipeline ``logs``: VictoriaLogs, where every log record ends."""

from __future__ import annotations

import pulumi

from infra.catalogue import catalogue
from infra.host import Host
from infra.service import Service
from infra.settings import Logs

# Acknowledged records survive a SIGKILL after this long; 1 s is the store's minimum, its default is 5 s.
FLUSH_INTERVAL_SECONDS = 1
# Below this the store turns read-only instead of filling the disk that trading needs.
FREE_SPACE_FLOOR = "1GiB"


class LogsPipeline(pulumi.ComponentResource):
    """Log store with retention by time and by size."""

    def __init__(self, host: Host, settings: Logs) -> None:
        super().__init__("crowsnest:pipelines:Logs", "logs")
        component = catalogue()["victorialogs"]
        self.store = Service(
            component,
            host,
            command=[
                f"-storageDataPath={component.data}",
                f"-retentionPeriod={settings.retention.time}",
                f"-retention.maxDiskSpaceUsageBytes={settings.retention.size}",
                f"-storage.minFreeDiskSpaceBytes={FREE_SPACE_FLOOR}",
                f"-inmemoryDataFlushInterval={FLUSH_INTERVAL_SECONDS}s",
                f"-httpListenAddr=:{component.ports['http'].container}",
                "-loggerFormat=json",
            ],
            parent=self,
        )
        self.register_outputs({})
