"""Pipeline ``viewer``: the API with the viewer's pages: people and machines read logs and trading data, and change budgets."""

from __future__ import annotations

import pulumi

from infra import gateway
from infra.catalogue import Component, catalogue
from infra.host import Host
from infra.pipelines.trading import database_url
from infra.service import SECRETS_FOLDER, Service
from infra.settings import API_ROLE, Viewer


class ViewerPipeline(pulumi.ComponentResource):
    """The API, and the proxy before Docker's socket where the stack chose it."""

    def __init__(self, host: Host, settings: Viewer) -> None:
        super().__init__("crowsnest:pipelines:Viewer", "viewer")
        if settings.services:
            self.proxy = _socket_proxy(host, self)
        component = catalogue()["api"]
        admin_password, _ = component.secrets
        # It waits neither for the log store nor for the database: without them, it says so.
        self.api = Service(
            component,
            host,
            command=["serve"],
            environment={
                "VICTORIALOGS_URL": catalogue()["victorialogs"].url(),
                "CROWSNEST_API_HOST": "0.0.0.0",  # noqa: S104 - of the container, which is on internal networks only
                "CROWSNEST_API_PORT": str(component.ports["http"].container),
                "CROWSNEST_API_DATABASE": f"{component.data}/api.sqlite3",
                "CROWSNEST_API_ADMIN_PASSWORD_FILE": f"{SECRETS_FOLDER}/{admin_password}",
                "CROWSNEST_API_TRUSTED_PROXIES": ",".join(settings.trusted_proxies),
                **({"CROWSNEST_API_TOOLS": links} if (links := gateway.links(host.settings)) else {}),
                **_database(host, component),
                **(_services(host) if settings.services else {}),
            },
            parent=self,
        )
        self.register_outputs({})


def _database(host: Host, component: Component) -> dict[str, str]:
    if not host.settings.has_trading_database:
        return {}
    _, password = component.secrets
    return {
        "CROWSNEST_API_POSTGRESQL_URL": database_url(API_ROLE),
        "CROWSNEST_API_POSTGRESQL_PASSWORD_FILE": f"{SECRETS_FOLDER}/{password}",
    }


def _services(host: Host) -> dict[str, str]:
    settings = host.settings
    silent = [component.name for component in settings.components if component.container_logs or component.name == "trader"]
    return {
        "CROWSNEST_API_DOCKER_URL": catalogue()["socket-proxy"].url(),
        "CROWSNEST_API_NAME_PREFIX": settings.name_prefix,
        "CROWSNEST_API_RESTARTABLE": ",".join(component.name for component in settings.restartable),
        "CROWSNEST_API_SILENT": ",".join(silent),
    }


def _socket_proxy(host: Host, parent: pulumi.Resource) -> Service:
    component = catalogue()["socket-proxy"]
    # The official image takes arguments that begin with a dash as its program's, as ours does.
    return Service(component, host, command=["-f", f"{component.config}/haproxy.cfg"], parent=parent)
