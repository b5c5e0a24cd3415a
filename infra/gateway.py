"""What the gateway lets in besides the viewer and its API, from the catalogue: no address and no role stands anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.catalogue import Component, Model, catalogue

if TYPE_CHECKING:
    from infra.settings import Settings

NAME = "caddy"
API = "api"


class Tool(Model):
    """A component with pages of its own, which knows no users: the gateway asks the API who comes.

    Attributes:
        title: what people call it.
        path: where it begins, below the gateway's address.
        start: page to open, below that.
        needs: what the API is asked of whoever comes.
        only: paths that exist, all others do not; empty means all.
        hidden: paths that do not exist, although the tool has them.
        named: whether it is told who comes.
        rooted: whether it expects its own path in an address, rather than to be at the top.
    """

    title: str
    path: str
    start: str = "/"
    needs: str = "role=operator"
    only: list[str] = []
    hidden: list[str] = []
    named: bool = False
    rooted: bool = False


# Whatever a tool has for its operation, and what deletes data, is for the networks inside.
TOOLS = {
    "victorialogs": Tool(title="VictoriaLogs", path="/victorialogs", start="/select/vmui/", only=["/select/*"]),
    "prometheus": Tool(title="Prometheus", path="/prometheus", hidden=["/-/*", "/api/v1/admin/*", "/debug/*", "/metrics"]),
    "alertmanager": Tool(title="Alertmanager", path="/alertmanager", hidden=["/-/*", "/debug/*", "/metrics"]),
    # It has roles of its own, and shows all strategies.
    "grafana": Tool(
        title="Grafana", path="/grafana", needs="role=viewer&strategies=all", hidden=["/metrics"], named=True, rooted=True
    ),
}


def described(settings: Settings) -> dict[str, object] | None:
    """What the configuration of the gateway is made from; None when the stack has none."""
    gateway = settings.pipelines.gateway
    if gateway is None:
        return None
    entry = catalogue()[NAME]
    return {
        "names": gateway.hosts,
        "url": settings.gateway_url,
        "https_port": settings.port_of(entry, "https"),
        "own_authority": gateway.domain is None,
        "acme": gateway.acme.model_dump(exclude_none=True),
        "open_ports": settings.open_ports,
        "tools": [
            {
                "name": one.name,
                "upstream": f"{one.name}:{one.ports['http'].container}",
                **TOOLS[one.name].model_dump(exclude={"title"}),
            }
            for one in tools(settings)
        ],
    }


def tools(settings: Settings) -> list[Component]:
    """The stack's components that the gateway lets people in to."""
    return [one for one in settings.components if one.name in TOOLS] if settings.pipelines.gateway else []


def links(settings: Settings) -> str:
    """Title and path of each tool, as the API takes them."""
    return ",".join(f"{TOOLS[one.name].title}={TOOLS[one.name].path}{TOOLS[one.name].start}" for one in tools(settings))
