"""What Grafana asks, and as whom, from the catalogue and a stack's settings: no uid and no address stands anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import gateway
from infra.catalogue import PROJECT_ROOT, Model, catalogue

if TYPE_CHECKING:
    from infra.settings import Settings

NAME = "grafana"
# As whom Grafana logs in at PostgreSQL: it may read everything there and change nothing.
ROLE = "crowsnest_grafana"
# The predefined role of PostgreSQL for that.
READS = "pg_read_all_data"
CONNECTIONS = 5
# As whom it logs in at QuestDB, which makes this user for readers.
TICKS_READER = "crowsnest_reader"
TICKS_DATABASE = "qdb"
DASHBOARDS = PROJECT_ROOT / "dashboards" / "json"
# Without this plugin, which is no part of Grafana's image, what is in VictoriaLogs is in the viewer alone.
LOGS_PLUGIN = "victoriametrics-logs-datasource"


class Datasource(Model):
    """A store that dashboards ask.

    Attributes:
        title: its name in Grafana.
        type: the plugin that speaks its language.
        component: where it is.
        port: which of the component's.
        path: below the address.
    """

    title: str
    type: str
    component: str
    port: str = "http"
    path: str = ""


# Dashboards name a datasource by its uid, `crowsnest-<name>`, which never changes.
DATASOURCES = {
    "prometheus": Datasource(title="Prometheus", type="prometheus", component="prometheus"),
    "mimir": Datasource(title="Mimir", type="prometheus", component="mimir", path="/prometheus"),
    "loki": Datasource(title="Loki", type="loki", component="loki"),
    "victorialogs": Datasource(title="VictoriaLogs", type=LOGS_PLUGIN, component="victorialogs"),
    "postgresql": Datasource(title="PostgreSQL", type="grafana-postgresql-datasource", component="postgresql", port="sql"),
    "questdb": Datasource(title="QuestDB", type="grafana-postgresql-datasource", component="questdb", port="sql"),
    "alertmanager": Datasource(title="Alertmanager", type="alertmanager", component="alertmanager"),
}


def uid(name: str) -> str:
    """The uid of a datasource."""
    return f"crowsnest-{name}"


def datasources(settings: Settings) -> dict[str, Datasource]:
    """The datasources that a stack has, by name."""
    chosen = settings.pipelines.dashboards
    running = {component.name for component in settings.components}
    plugins = {plugin.id for plugin in chosen.plugins} if chosen else set()
    return {
        name: one
        for name, one in DATASOURCES.items()
        if one.component in running
        and (one.type != LOGS_PLUGIN or LOGS_PLUGIN in plugins)
        and (name != "postgresql" or settings.has_trading_database)
    }


def dashboards(settings: Settings) -> list[str]:
    """Files of the dashboards whose data the stack has; the others would show nothing."""
    there = {uid(name) for name in datasources(settings)}
    absent = {f'"uid": "{uid(name)}"' for name in DATASOURCES if uid(name) not in there}
    files = sorted(DASHBOARDS.glob("*.json"))
    return [path.name for path in files if not any(mark in path.read_text(encoding="utf-8") for mark in absent)]


def root_url(settings: Settings) -> str:
    """The address that people know; Grafana makes its links from it."""
    path = gateway.TOOLS[NAME].path
    component = catalogue()[NAME]
    return f"{settings.gateway_url or settings.url(component) or component.url()}{path}/"


def described(settings: Settings) -> dict[str, object] | None:
    """What the configuration of Grafana is made from; None when the stack has none."""
    chosen = settings.pipelines.dashboards
    if chosen is None:
        return None
    metrics = settings.pipelines.metrics
    assert metrics is not None  # noqa: S101 - the settings refuse dashboards without it
    return {
        "root_url": root_url(settings),
        "behind_gateway": settings.pipelines.gateway is not None,
        "trusted_proxies": settings.pipelines.viewer.trusted_proxies if settings.pipelines.viewer else [],
        "editable": chosen.editable,
        "scrape_seconds": metrics.scrape_seconds,
        "plugins": [plugin.model_dump() for plugin in chosen.plugins],
        "database_user": ROLE,
        "ticks_user": TICKS_READER,
        "ticks_database": TICKS_DATABASE,
        "datasources": [
            {
                "name": name,
                "uid": uid(name),
                "title": one.title,
                "type": one.type,
                "address": f"{one.component}:{catalogue()[one.component].ports[one.port].container}{one.path}",
            }
            for name, one in datasources(settings).items()
        ],
        "dashboards": dashboards(settings),
    }
