"""Pipeline ``dashboards``: Grafana, over the stores that the stack has."""

from __future__ import annotations

import pulumi

from infra import grafana
from infra.catalogue import catalogue
from infra.host import Host
from infra.service import Service
from infra.settings import Dashboards


class DashboardsPipeline(pulumi.ComponentResource):
    """Grafana. It waits for nobody: a panel whose store is away says so, and asks again."""

    def __init__(self, host: Host, _settings: Dashboards) -> None:
        super().__init__("crowsnest:pipelines:Dashboards", "dashboards")
        component = catalogue()[grafana.NAME]
        # Everything else stands in grafana.ini, to which the official image's entrypoint leads.
        self.grafana = Service(
            component,
            host,
            environment={"GF_PATHS_CONFIG": f"{component.config}/grafana.ini", "GF_PATHS_DATA": str(component.data)},
            parent=self,
        )
        self.register_outputs({})
