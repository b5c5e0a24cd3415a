"""Pipeline ``viewer``: the log API with the viewer's pages, through which people and machines read what the log store has."""

from __future__ import annotations

import pulumi

from infra import gateway
from infra.catalogue import catalogue
from infra.host import Host
from infra.service import SECRETS_FOLDER, Service
from infra.settings import Viewer


class ViewerPipeline(pulumi.ComponentResource):
    """The log API and the viewer."""

    def __init__(self, host: Host, settings: Viewer) -> None:
        super().__init__("crowsnest:pipelines:Viewer", "viewer")
        component = catalogue()["api"]
        (admin_password,) = component.secrets
        # It does not wait for the log store: without it, it says so.
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
            },
            parent=self,
        )
        self.register_outputs({})
