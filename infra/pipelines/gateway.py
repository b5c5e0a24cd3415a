"""Pipeline ``gateway``: Caddy, the one way in from outside, with TLS and one login."""

from __future__ import annotations

import pulumi

from infra import gateway
from infra.catalogue import catalogue
from infra.host import Host
from infra.service import Service
from infra.settings import Gateway


class GatewayPipeline(pulumi.ComponentResource):
    """The gateway. It waits for nobody: without the API behind it, it says so."""

    def __init__(self, host: Host, _settings: Gateway) -> None:
        super().__init__("crowsnest:pipelines:Gateway", "gateway")
        component = catalogue()[gateway.NAME]
        self.gateway = Service(
            component,
            host,
            # The official image has no entrypoint.
            entrypoint=["caddy"],
            command=["run", "--config", f"{component.config}/Caddyfile", "--adapter", "caddyfile"],
            parent=self,
        )
        self.register_outputs({})
