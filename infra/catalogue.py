"""Typed view of ``catalogue.yml``, the one registry of components.

Everything that needs a version, port, user, path or limit of a component takes it from here.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

PROJECT_ROOT = Path(__file__).resolve().parent.parent
NetworkName = Literal["edge", "telemetry", "data", "control"]
Port = Annotated[int, Field(ge=1, le=65535)]


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"{path!r} must be an absolute path")
    return path


AbsolutePath = Annotated[str, AfterValidator(_absolute)]


class Model(BaseModel):
    """Base of every typed tree in ``infra``: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Upstream(Model):
    """The official image: repository and tag. Its digest stands in ``catalogue.lock``."""

    image: str
    version: str

    @property
    def reference(self) -> str:
        """Repository and tag as an image reference."""
        return f"{self.image}:{self.version}"


class Packages(Model):
    """The version that the packages supply builds; the recipe is ``supply/images/<component>/``."""

    version: str


class PublishedPort(Model):
    """A port the component listens on, and the host port it gets on loopback when a stack publishes it."""

    container: Port
    published: Port


class HttpProbe(Model):
    """A GET that a healthy component answers with a status below 400. ``port`` is the name of one of its ports."""

    port: str = "http"
    path: Annotated[str, Field(pattern=r"^/")]


class Reload(Model):
    """How a component is told to read its configuration anew: a POST to ``path``, or a signal. One of the two."""

    port: str = "http"
    path: Annotated[str, Field(pattern=r"^/")] | None = None
    signal: Literal["SIGHUP", "SIGUSR1"] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.path is None) == (self.signal is None):
            raise ValueError("a reload is either `path` or `signal`")
        return self


class Scrape(Model):
    """Where a component shows its metrics, and the labels that tell these from others."""

    port: str = "http"
    path: Annotated[str, Field(pattern=r"^/")] = "/metrics"
    labels: dict[str, str] = {}


class Probe(Model):
    """Health check: ``test`` is run inside the container by Docker, ``http`` is asked from outside of it.

    ``{name}`` in ``test`` stands for the container port of that name. Images without a shell can only be asked.
    """

    test: Annotated[list[str], Field(min_length=1)] | None = None
    http: HttpProbe | None = None
    interval_seconds: PositiveInt = 5
    timeout_seconds: PositiveInt = 5
    retries: PositiveInt = 6
    start_seconds: PositiveInt

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.test is None) == (self.http is None):
            raise ValueError("a probe is either `test` or `http`")
        return self


class Limits(Model):
    """What a container may use at the most. Swap is never granted on top of memory."""

    memory_mb: PositiveInt
    cpus: PositiveFloat
    pids: PositiveInt


class Stop(Model):
    """How a container is asked to end, and the seconds it gets before SIGKILL."""

    signal: Literal["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1"]
    grace_seconds: PositiveInt


class HardeningException(Model):
    """A hardening default that this component cannot have, with the reason."""

    rule: Literal["read_only", "cap_drop", "non_root", "no_new_privileges"]
    reason: Annotated[str, Field(min_length=20)]
    capabilities: list[str] = []


class Component(Model):
    """One third-party or own service."""

    name: str
    summary: str
    licence: str
    upstream: Upstream | None = None
    packages: Packages | None = None
    # The component whose image it runs; it has none of its own then.
    image_of: str | None = None
    # User and group of its own. With an exception to the rule non_root the user is root, and the group stays.
    uid: Annotated[int, Field(ge=10000, le=19999)]
    networks: Annotated[list[NetworkName], Field(min_length=1)]
    ports: dict[str, PublishedPort] = {}
    data: AbsolutePath | None = None
    config: AbsolutePath | None = None
    # Makes it read its configuration anew; without it, a changed configuration replaces the container.
    reload: Reload | None = None
    # Scrape jobs of Prometheus by name.
    metrics: dict[str, Scrape] = {}
    # The component whose metrics it shows; it runs only where that one does.
    exports: str | None = None
    # Folders of the host that it sees, read-only, by where it sees them.
    host_paths: dict[AbsolutePath, AbsolutePath] = {}
    # Folders that other components write, "component/folder", by where it sees them, read-only. Ansible gives such a folder the
    # reader's group: who writes there and who reads there need no right beyond it.
    reads: dict[AbsolutePath, Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*/[a-z][a-z0-9_-]*$")]] = {}
    # Where it sees the files in which Docker keeps what containers print; mounted read-only.
    container_logs: AbsolutePath | None = None
    secrets: list[str] = []
    tmpfs: dict[AbsolutePath, PositiveInt] = {"/tmp": 16}  # noqa: S108 a mount point inside the container
    shm_mb: PositiveInt = 64
    probe: Probe
    limits: Limits
    stop: Stop
    exceptions: list[HardeningException] = []

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not (self.upstream or self.packages or self.image_of):
            raise ValueError("it comes from nowhere; name `upstream`, `packages` or both, or `image_of`")
        if self.image_of and (self.upstream or self.packages):
            raise ValueError("it runs another component's image; `upstream` and `packages` are that one's")
        asked = {"probe": self.probe.http, "reload": self.reload if self.reload and self.reload.path else None} | {
            f"metrics.{job}": one for job, one in self.metrics.items()
        }
        for what, place in asked.items():
            if place and place.port not in self.ports:
                raise ValueError(f"{what}: {place.port!r} is not one of its ports: {', '.join(self.ports)}")
        return self

    @property
    def user(self) -> str:
        """``uid:gid`` inside the container."""
        return f"{self.owner}:{self.uid}"

    @property
    def owner(self) -> int:
        """Who writes its files, inside the container and on the host."""
        return 0 if self.excepted("non_root") else self.uid

    def excepted(self, rule: str) -> bool:
        """Whether it cannot have this hardening default."""
        return any(exception.rule == rule for exception in self.exceptions)

    @property
    def probe_command(self) -> list[str]:
        """The health check that Docker runs, with its ports filled in; empty when it is asked from outside."""
        ports = {name: port.container for name, port in self.ports.items()}
        return [word.format(**ports) for word in self.probe.test or []]

    def url(self, port: str = "http") -> str:
        """Where other containers reach a port of this component, by its network alias."""
        return f"http://{self.name}:{self.ports[port].container}"


class Network(Model):
    """A Docker network; an internal one has no way out of the host."""

    internal: bool
    summary: str


class Tools(Model):
    """Versions of what builds or drives the rest."""

    pulumi: str
    go: str


class Paths(Model):
    """Folders on the host. ``CROWSNEST_<NAME>_DIR`` in the environment moves one (tests and unprivileged users do)."""

    config: Path
    data: Path
    state: Path
    cache: Path
    backup: Path

    @model_validator(mode="before")
    @classmethod
    def _moved_by_environment(cls, declared: dict[str, str]) -> dict[str, str]:
        return {name: os.environ.get(f"CROWSNEST_{name.upper()}_DIR", path) for name, path in declared.items()}


class Catalogue(Model):
    """The whole registry.

    Raises:
        pydantic.ValidationError: on unknown or missing fields, and when two components share a port, a uid or a secret.
    """

    paths: Paths
    tools: Tools
    networks: dict[NetworkName, Network]
    components: dict[str, Component]

    @model_validator(mode="before")
    @classmethod
    def _name_components(cls, tree: dict[str, dict[str, dict[str, object]]]) -> dict[str, object]:
        named = {name: {"name": name, **entry} for name, entry in tree.get("components", {}).items()}
        return {**tree, "components": named}

    @model_validator(mode="after")
    def _nothing_is_shared(self) -> Self:
        claims: dict[str, str] = {}
        for component in self.components.values():
            mine = [f"port {port.published}" for port in component.ports.values()]
            mine += [f"uid {component.uid}"] + [f"secret {name}" for name in component.secrets]
            for claim in mine:
                if claim in claims:
                    raise ValueError(f"{claim} is claimed by both {claims[claim]} and {component.name}")
                claims[claim] = component.name
        return self

    @model_validator(mode="after")
    def _names_lead_somewhere(self) -> Self:
        for component in self.components.values():
            for writer, _ in (folder.split("/") for folder in component.reads.values()):
                if writer not in self.components or self.components[writer].data is None:
                    raise ValueError(f"{component.name}: reads: there is no component {writer!r} with data")
            if component.image_of is not None:
                lender = self.components.get(component.image_of)
                if lender is None or lender.image_of is not None:
                    raise ValueError(f"{component.name}: image_of: {component.image_of!r} has no image of its own")
        return self

    def __getitem__(self, name: str) -> Component:
        return self.components[name]

    def image_source(self, component: Component) -> Component:
        """The component whose image a component runs: mostly itself."""
        return self[component.image_of] if component.image_of else component


def read(path: Path) -> Catalogue:
    """Parse and check a catalogue file."""
    return Catalogue.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@functools.cache
def catalogue() -> Catalogue:
    """The project's catalogue, read once."""
    return read(PROJECT_ROOT / "catalogue.yml")
