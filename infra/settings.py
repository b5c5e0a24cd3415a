"""The configuration of one stack: ``Pulumi.<stack>.yaml`` as one typed tree.

Secrets are not in it: it only decides what runs and for how long data is kept. Secret values live in files on the host.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from pydantic_core import ErrorDetails

from infra import gateway, grafana, scraping
from infra.catalogue import PROJECT_ROOT, Component, Model, Paths, Port, PublishedPort, catalogue

PROJECT = "crowsnest"
# As whom the exporters log in at the databases.
MONITOR = f"{PROJECT}_monitor"
# As whom the trader and the API log in at PostgreSQL. The first migration gives the trader's role its rights, by this name.
TRADER_ROLE = f"{PROJECT}_trader"
API_ROLE = f"{PROJECT}_api"
API_SCHEMA = "trading"
# As whom backups read PostgreSQL: everything, and nothing can be changed.
BACKUP_ROLE = f"{PROJECT}_backup"
# The API's pool, and what migrates beside it.
API_CONNECTIONS = 12
# As whom dashboards log in at the store of ticks, who may only read.
TICKS_READER = grafana.TICKS_READER
# In the folder that Telegraf reads.
TICKS_LOG_FILE = "trader.logs"
CONFIG_KEY = f"{PROJECT}:stack"
LOOPBACK = "127.0.0.1"
REFILL_FOLDER = "refill"  # in a collector's data folder: lines that it reads beside Docker's (infra/refill.py)
# What an address of https means that names no port.
HTTPS_PORT = 443
# Below the data path of who writes log files for another to read; the catalogue says who (`reads`).
LOGS_FOLDER = "logs"

Supply = Literal["auto", "upstream", "packages"]


class SettingsError(ValueError):
    """The stack's configuration cannot be used. The message names each key and says what it takes, a line each."""


def _duration(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[hdwy]", text):
        raise ValueError(f"{text!r} is not a duration: a whole number above zero and h, d, w or y, such as 14d")
    return text


def _size(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*(MiB|GiB|TiB)", text):
        raise ValueError(f"{text!r} is not a size: a whole number above zero and MiB, GiB or TiB, such as 10GiB")
    return text


def _days(text: str) -> str:
    if _duration(text).endswith("h"):
        raise ValueError(f"{text!r} is below what this store can keep: a whole number of d, w or y, such as 14d")
    return text


Duration = Annotated[str, AfterValidator(_duration)]
Days = Annotated[str, AfterValidator(_days)]
Size = Annotated[str, AfterValidator(_size)]


class Retention(Model):
    """How long a store keeps data: it drops the oldest when either bound is reached."""

    time: Duration
    size: Size


class Logs(Model):
    """Pipeline ``logs``: VictoriaLogs, and what brings it the lines that containers print."""

    # vector: nothing is lost when it is killed; has only an official image. alloy: for where Vector cannot be had; can be
    # built from packages. none: only what a trading process sends itself. See docs/delivery.md.
    collector: Literal["vector", "alloy", "none"] = "vector"
    # First parts of the names of containers whose lines are brought; empty takes all of the machine.
    containers: list[Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$")]] = []
    # 14 days is the source's; the cap leaves half of a small VM's 40 GB disk to everything else.
    retention: Retention = Retention(time="14d", size="20GiB")

    @property
    def components(self) -> list[str]:
        """What runs."""
        return ["victorialogs"] if self.collector == "none" else ["victorialogs", self.collector]


class ContainersBrought(Model):
    """Containers whose lines the collector brings: first parts of names (none: all), and whole names that it leaves out."""

    brought: list[str]
    left_out: list[str]

    def takes(self, container: str) -> bool:
        """Whether the collector brings this container's lines."""
        return container not in self.left_out and (not self.brought or container.startswith(tuple(self.brought)))


class Trader(Model):
    """What the trading process replays, and how fast. Zero bars per second means as fast as it can."""

    # The five of the source: two that trade, and three latency-instrumented variants.
    strategies: Annotated[list[str], Field(min_length=1)] = [
        *("mean_reversion", "hourly_buy"),
        *("mean_reversion_latency", "hourly_buy_latency", "ema_cross_latency"),
    ]
    bars_per_second: NonNegativeInt = 20
    # replay: simulated time. sandbox: a live node whose venue is simulated.
    mode: Literal["replay", "sandbox"] = "replay"
    # Budget of a strategy that has none yet, in dollars; afterwards people set it.
    cap_usd: NonNegativeInt = 1_000_000


class Trading(Model):
    """Pipeline ``trading``: the trading process and its databases."""

    components: list[Literal["postgresql", "redis", "trader"]] = ["postgresql", "redis", "trader"]
    trader: Trader = Trader()


class KeptByTime(Model):
    """How long Loki keeps lines and Mimir metrics. Neither knows a bound by size: see docs/log-metrics.md."""

    lines: Days = "14d"
    metrics: Days = "30d"


class LogMetrics(Model):
    """Pipeline ``log_metrics``: the trader's log files, their lines in Loki and the metrics in them in Mimir."""

    retention: KeptByTime = KeptByTime()
    # How often the counters and gauges are read; what `increase()` says can be this much behind the database.
    scrape_seconds: Annotated[int, Field(ge=1, le=60)] = 5

    @property
    def components(self) -> list[str]:
        """What runs."""
        return ["mimir", "loki", "alloy-trader"]


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


class Services(Model):
    """The stack's containers in the viewer, through a proxy before Docker's socket."""

    # What operators may restart from there. Not the trader, and not its databases: trading is stopped by who trades.
    restart: list[str] = ["victorialogs", "vector", "alloy", "prometheus", "alertmanager"]


class Viewer(Model):
    """Pipeline ``viewer``: the API, for people and machines who sign in."""

    # Networks whose word for a client's address is believed: the gateway's, which is somewhere in Docker's. The API listens on
    # internal networks only.
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    # Off unless chosen: whoever takes over the proxy has the machine.
    services: Services | None = None

    @model_validator(mode="before")
    @classmethod
    def _present_means_on(cls, tree: dict[str, object]) -> dict[str, object]:
        return {**tree, "services": {}} if "services" in tree and tree["services"] is None else tree

    @property
    def components(self) -> list[str]:
        """What runs."""
        return ["api", "socket-proxy"] if self.services else ["api"]


def _host(text: str) -> str:
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if re.fullmatch(r"[0-9.]+", text):
        return str(ipaddress.IPv4Address(text))
    if len(text) > 253 or not re.fullmatch(rf"{label}(\.{label})*", text):
        raise ValueError(f"{text!r} is neither a host name in lower case nor an IPv4 address")
    return text


def _domain(text: str) -> str:
    if "." not in _host(text) or re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f"{text!r} is no domain name that an authority can reach, such as logs.example.com")
    return text


def _is_address(host: str) -> bool:
    return re.fullmatch(r"[0-9.]+", host) is not None


class Acme(Model):
    """Who is asked for certificates of a domain; without a directory, the public authorities that Caddy knows."""

    email: Annotated[str, Field(pattern=r"^[^@\s{}]+@[^@\s{}]+$")] | None = None
    directory: Annotated[str, Field(pattern=r"^https://[^\s{}]+$")] | None = None


class Gateway(Model):
    """Pipeline ``gateway``: the one way in, with TLS and one login. Nothing else of the stack gets a port of the machine."""

    # Its name in the internet's DNS: an authority makes its certificate, for which both ports have to be reachable from there.
    # None: the gateway has an authority of its own, whose root people's machines have to trust (docs/gateway.md).
    domain: Annotated[str, AfterValidator(_domain)] | None = None
    acme: Acme = Acme()
    # Without a domain: the names by which people come, and at the most one address.
    names: Annotated[list[Annotated[str, AfterValidator(_host)]], Field(min_length=1)] = ["localhost"]
    # Address of the machine whose ports it gets: 0.0.0.0 for all of them. A hardened machine's firewall lets these ports in.
    listen: Annotated[str, AfterValidator(lambda text: str(ipaddress.IPv4Address(text)))] = LOOPBACK

    @model_validator(mode="after")
    def _can_be_certified(self) -> Self:
        if len(addresses := [name for name in self.names if _is_address(name)]) > 1:
            raise ValueError(f"names: only one of {', '.join(addresses)}; who comes by an address does not say by which")
        if self.domain and "names" in self.model_fields_set:
            raise ValueError("names: a gateway with a domain is reached by it alone; remove `names` or `domain`")
        if not self.domain and self.acme != Acme():
            raise ValueError("acme: an authority is asked for a domain only; set `domain` or remove `acme`")
        return self

    @property
    def hosts(self) -> list[str]:
        """By which it is reached; the first is shown to people."""
        return [self.domain] if self.domain else self.names

    @property
    def components(self) -> list[str]:
        """What runs."""
        return [gateway.NAME]


class Receiver(Model):
    """Somebody who is told of alerts. Its secret (address or token) is the file of its name, see docs/alerting.md."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    type: Literal["email", "slack", "telegram", "pagerduty", "webhook"]
    severities: Annotated[list[Literal["critical", "warning"]], Field(min_length=1)] = ["critical", "warning"]
    channel: str | None = None  # slack, where the webhook's own is not meant
    chat_id: int | None = None  # telegram
    to: str | None = None  # email
    sender: str | None = None
    smarthost: Annotated[str, Field(pattern=r"^[^:/]+:\d+$")] | None = None

    @model_validator(mode="after")
    def _has_what_its_type_takes(self) -> Self:
        takes = {"slack": {"channel"}, "telegram": {"chat_id"}, "email": {"to", "sender", "smarthost"}}.get(self.type, set())
        given = {name for name in ("channel", "chat_id", "to", "sender", "smarthost") if getattr(self, name) is not None}
        if surplus := sorted(given - takes):
            raise ValueError(f"{self.name}: a receiver of type {self.type} takes no {', '.join(surplus)}")
        if missing := sorted(takes - given - {"channel"}):
            raise ValueError(f"{self.name}: a receiver of type {self.type} needs {', '.join(missing)}")
        return self


class QuietHours(Model):
    """When warnings wait; critical alerts never do. May pass midnight."""

    begin: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    end: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    location: Annotated[str, Field(pattern=r"^[A-Za-z_]+(/[A-Za-z_+-]+)*$")] = "UTC"


class Target(Model):
    """A process outside of the stack that is scraped, too; one on this machine is ``host.docker.internal:PORT``."""

    job: Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_-]*$")]
    address: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+:\d+$")]
    path: Annotated[str, Field(pattern=r"^/")] = "/metrics"
    labels: dict[str, str] = {}


class Metrics(Model):
    """Pipeline ``metrics``: Prometheus, Alertmanager, exporters and probes."""

    # 30 days are the source's. The cap keeps a burst of series from taking the disk that trading needs.
    retention: Retention = Retention(time="30d", size="10GiB")
    scrape_seconds: Annotated[int, Field(ge=1, le=60)] = 15
    # When alerts may expect market data: see rules/tables/calendar.yml.
    market_hours: Literal["always", "us_equities"] = "us_equities"
    # Metrics of containers. cadvisor: has only an official image. alloy: can be built from packages.
    containers: Literal["cadvisor", "alloy", "none"] = "cadvisor"
    targets: list[Target] = []
    receivers: list[Receiver] = []
    quiet_hours: QuietHours | None = None
    # Whether Watchdog is sent to the address in the file `heartbeat`, for the other machine to miss it.
    heartbeat: bool = False
    # For rehearsals: no alert waits longer than this for its condition to last. Never on a machine that trades.
    longest_wait_seconds: PositiveInt | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [receiver.name for receiver in self.receivers]
        if doubled := sorted({name for name in names if names.count(name) > 1} | ({"heartbeat"} & set(names))):
            raise ValueError(f"receivers: the name {', '.join(doubled)} is taken")
        return self

    @property
    def components(self) -> list[str]:
        """What runs, of exporters those whose subject runs as well."""
        always = ["prometheus", "alertmanager", "node-exporter", "blackbox-exporter"]
        return [*always, "redis-exporter", "postgres-exporter", *([] if self.containers == "none" else [self.containers])]


class Ticker(Model):
    """What the price process logs, how often, and how much of its log it keeps for who reads it."""

    prices: Literal["bars", "walk"] = "bars"
    interval_seconds: Annotated[float, Field(ge=0, le=10)] = 0.5
    segment_mb: Annotated[float, Field(ge=0.01)] = 16
    segments: Annotated[int, Field(ge=2)] = 8


class Ticks(Model):
    """Pipeline ``ticks``: a structured log file, Telegraf, QuestDB."""

    # durable: nothing is lost or doubled. source: the source's own TCP writer, for comparison. See docs/ticks.md.
    profile: Literal["durable", "source"] = "durable"
    # By size, whole days go; today's never does. The cap leaves most of a small VM's disk to everything else.
    retention: Retention = Retention(time="30d", size="10GiB")
    ticker: Ticker = Ticker()

    @property
    def components(self) -> list[str]:
        """What runs."""
        return ["questdb", "telegraf", "ticker", *(["ticks-relay"] if self.profile == "durable" else [])]


class Plugin(Model):
    """A plugin of Grafana that is no part of its image: an archive on this machine or elsewhere, and its sum."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[str, Field(pattern=r"^v?\d+\.\d+\.\d+$")]
    archive: Annotated[str, Field(pattern=r"^(/|https://)\S+\.(zip|tar\.gz)$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Dashboards(Model):
    """Pipeline ``dashboards``: Grafana, over the stores that the stack has."""

    # False: people change what they look at, and save nothing; dashboards are changed in dashboards/. True is the source's way
    # (allowUiUpdates): what is saved stays until the file changes.
    editable: bool = False
    # Without victoriametrics-logs-datasource, the dashboard of VictoriaLogs is left out; see docs/dashboards.md.
    plugins: list[Plugin] = []

    @property
    def components(self) -> list[str]:
        """What runs."""
        return [grafana.NAME]


class Kept(Model):
    """Of how many days, weeks and months the last backup is kept."""

    daily: PositiveInt = 7
    weekly: PositiveInt = 5
    monthly: PositiveInt = 12


TIME_OF_DAY = r"([01]\d|2[0-3]):[0-5]\d"
DAY_OF_WEEK = "(Mon|Tue|Wed|Thu|Fri|Sat|Sun)"


class Backup(Model):
    """Where backups go, when, for how long they are kept, and when their restore is tried. See docs/backup.md."""

    # A folder, or a place that restic reaches over S3, whose keys stand in the file that docs/backup.md names. None: the
    # catalogue's folder on this machine, which does not survive its disk.
    repository: Annotated[str, Field(pattern=r"^(/|s3:https?://)[^\s]+$")] | None = None
    kept: Kept = Kept()
    # Before markets open in New York and after they close; times are the machine's.
    daily_at: Annotated[str, Field(pattern=rf"^{TIME_OF_DAY}$")] = "02:30"
    # The restore of every store into a scratch place.
    tried_at: Annotated[str, Field(pattern=rf"^{DAY_OF_WEEK} {TIME_OF_DAY}$")] = "Sun 04:30"
    # Share of the repository's data that is read back after each backup; its structure is checked whole.
    read_percent: Annotated[int, Field(ge=1, le=100)] = 5


class Drift(Model):
    """When the machine is compared with what was declared, and what is declared of the machine. See docs/drift.md."""

    daily_at: Annotated[str, Field(pattern=rf"^{TIME_OF_DAY}$")] = "05:30"
    # TCP ports that other machines may reach, beside those that the gateway opens.
    ports: list[Port] = [22]
    # Who may log in or has rights of root, beside root, with the groups that give them: a person, the user who deploys.
    users: dict[str, list[str]] = {}


class Pipelines(Model):
    """A pipeline runs when its key is present, with its defaults where the value is empty."""

    logs: Logs | None = None
    trading: Trading | None = None
    viewer: Viewer | None = None
    metrics: Metrics | None = None
    gateway: Gateway | None = None
    log_metrics: LogMetrics | None = None
    ticks: Ticks | None = None
    dashboards: Dashboards | None = None

    @model_validator(mode="before")
    @classmethod
    def _present_means_on(cls, tree: dict[str, object]) -> dict[str, object]:
        return {name: {} if value is None else value for name, value in tree.items()}

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not self.enabled:
            raise ValueError(f"choose at least one pipeline of {', '.join(type(self).model_fields)}")
        if self.viewer and not self.logs:
            raise ValueError("viewer shows what logs stores; choose the pipeline logs, too")
        if self.gateway and not self.viewer:
            raise ValueError("gateway lets in who has signed in at the viewer; choose the pipeline viewer, too")
        if self.dashboards and not self.metrics:
            raise ValueError("dashboards show what metrics stores; choose the pipeline metrics, too")
        return self

    @property
    def enabled(self) -> dict[str, Logs | Trading | Viewer | Metrics | LogMetrics | Gateway | Ticks | Dashboards]:
        """The pipelines that run, by name."""
        return {name: value for name, value in self if value is not None}


class Settings(Model):
    """One stack.

    Raises:
        pydantic.ValidationError: on unknown keys, bad values, or ports that clash; ``read`` turns it into `SettingsError`.
    """

    stack: str
    pipelines: Pipelines
    # First part of every container, network and volume name, and folder name below the catalogue's paths.
    name_prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")] = PROJECT
    supply: Supply = "auto"
    docker_host: Annotated[str, Field(pattern=r"^(unix:///|tcp://127\.0\.0\.1:|ssh://)")] = "unix:///var/run/docker.sock"
    # "component.port" names that get a port on loopback. With a gateway none: what is published goes around it.
    publish: list[str] = []
    # Added to every published port, so that two stacks fit on one machine.
    port_offset: NonNegativeInt = 0
    # How long `up` waits for a service to become healthy beyond its own start_seconds.
    health_timeout_seconds: PositiveInt = 60
    # Overrides of the catalogue's limits, by component.
    memory_mb: dict[str, PositiveInt] = {}
    # Backups are made when the key is present, with its defaults where the value is empty.
    backup: Backup | None = None
    # The same for checks of the machine: ports and users are compared with what stands here.
    drift: Drift | None = None

    @model_validator(mode="before")
    @classmethod
    def _present_means_on(cls, tree: dict[str, object]) -> dict[str, object]:
        return {**tree, **{name: {} for name in ("backup", "drift") if name in tree and tree[name] is None}}

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        names = [component.name for component in self.components]
        viewer = self.pipelines.viewer
        known = catalogue().components
        for name in viewer.services.restart if viewer and viewer.services else []:
            if name not in known or name in ("api", "socket-proxy"):
                raise ValueError(f"viewer.services.restart: {name!r} cannot be restarted from the viewer; name a component")
        for name in self.memory_mb:
            if name not in names:
                raise ValueError(f"memory_mb: {name!r} does not run in this stack; choose from {', '.join(names)}")
        if self.pipelines.gateway and self.publish:
            raise ValueError(
                f"publish: {', '.join(self.publish)} would go around the gateway; remove it, or the pipeline gateway"
            )
        ports: dict[int, str] = {}
        for entry in self.published:
            number = self._published_number(entry)
            if number in ports:
                raise ValueError(f"publish: port {number} is claimed by both {ports[number]} and {entry}")
            ports[number] = entry
        return self

    @property
    def restartable(self) -> list[Component]:
        """Components that operators may restart from the viewer, of those that run."""
        viewer = self.pipelines.viewer
        names = viewer.services.restart if viewer and viewer.services else []
        return [component for component in self.components if component.name in names]

    @property
    def has_trading_database(self) -> bool:
        """Whether what is traded goes to PostgreSQL: the API makes its tables, so both have to run."""
        trading = self.pipelines.trading
        return bool(self.pipelines.viewer and trading and "postgresql" in trading.components)

    @property
    def database_roles(self) -> list[dict[str, object]]:
        """Roles that log in at PostgreSQL, in the order in which they are made: who gets rights before who gives them."""
        running = {component.name: component for component in self.components}
        wanted: dict[str, dict[str, object]] = {
            "postgres-exporter": {"name": MONITOR, "member_of": ["pg_monitor"]},
            "trader": {"name": TRADER_ROLE},
            grafana.NAME: {"name": grafana.ROLE, "member_of": [grafana.READS], "connections": grafana.CONNECTIONS},
            "api": {"name": API_ROLE, "owns_schema": API_SCHEMA, "connections": API_CONNECTIONS},
            "postgresql": {"name": BACKUP_ROLE, "member_of": ["pg_read_all_data"]},
        }
        asked_for = {"postgres-exporter": True, "postgresql": self.backup is not None}
        return [
            {**role, "password_file": str(self.secret_file(running[name].secrets[-1]))}
            for name, role in wanted.items()
            if name in running and asked_for.get(name, self.has_trading_database)
        ]

    def _published_number(self, entry: str) -> int:
        choices = [f"{component.name}.{port}" for component in self.components for port in component.ports]
        if entry not in choices:
            raise ValueError(f"publish: {entry!r} is not a port of this stack; choose from {', '.join(choices)}")
        name, _, port = entry.partition(".")
        number = self.port_of(catalogue()[name], port)
        if number > 65535:
            raise ValueError(f"port_offset: {self.port_offset} moves {entry} to {number}, beyond 65535")
        return number

    @property
    def components(self) -> list[Component]:
        """Components that run in this stack, in the catalogue's order."""
        chosen = {name for pipeline in self.pipelines.enabled.values() for name in pipeline.components}
        every = [component for component in catalogue().components.values() if component.name in chosen]
        return [component for component in every if component.exports is None or component.exports in chosen]

    @property
    def published(self) -> list[str]:
        """The "component.port" names that get a port of the machine: the gateway's own, or those that the stack names."""
        return [f"{gateway.NAME}.https", f"{gateway.NAME}.http"] if self.pipelines.gateway else self.publish

    @property
    def listen(self) -> str:
        """The address of the machine on which ports are published."""
        return self.pipelines.gateway.listen if self.pipelines.gateway else LOOPBACK

    @property
    def open_ports(self) -> list[int]:
        """Ports that are meant to be reached from other machines."""
        entries = [] if ipaddress.ip_address(self.listen).is_loopback else self.published
        return [self._published_number(entry) for entry in entries]

    def port_of(self, component: Component, port: str) -> int:
        """The number that a port of a component has, or would have, on the machine."""
        return component.ports[port].published + self.port_offset

    def published_ports(self, component: Component) -> list[PublishedPort]:
        """The ports of a component that this stack publishes, sorted by container port."""
        ports = [
            PublishedPort(container=port.container, published=self.port_of(component, name))
            for name, port in component.ports.items()
            if f"{component.name}.{name}" in self.published
        ]
        return sorted(ports, key=lambda port: port.container)

    @property
    def gateway_url(self) -> str | None:
        """Where people reach the gateway, or None when there is none."""
        if self.pipelines.gateway is None:
            return None
        number = self.port_of(catalogue()[gateway.NAME], "https")
        return f"https://{self.pipelines.gateway.hosts[0]}" + ("" if number == HTTPS_PORT else f":{number}")

    def url(self, component: Component, port: str = "http") -> str | None:
        """Where the host reaches a published port, or None when it is not published."""
        if component.name == gateway.NAME:
            return self.gateway_url if port == "https" else None
        if f"{component.name}.{port}" not in self.published:
            return None
        return f"{'http' if port == 'http' else 'tcp'}://{LOOPBACK}:{self.port_of(component, port)}"

    @property
    def urls(self) -> dict[str, str]:
        """Published addresses by ``component.port``."""
        named = {entry: self.url(catalogue()[entry.split(".")[0]], entry.split(".")[1]) for entry in self.published}
        return {entry: url for entry, url in named.items() if url}

    def container_name(self, component: Component) -> str:
        """Name of a component's container and of its volume."""
        return f"{self.name_prefix}-{component.name}"

    def memory_limit_mb(self, component: Component) -> int:
        """Memory limit: the stack's override or the catalogue's."""
        return self.memory_mb.get(component.name, component.limits.memory_mb)

    @property
    def folders(self) -> Paths:
        """The catalogue's host paths, below this stack's own folder where they belong to it."""
        base = catalogue().paths
        return Paths.model_construct(
            config=base.config / self.name_prefix,
            data=base.data / self.name_prefix,
            state=base.state,
            cache=base.cache,
            backup=base.backup / self.name_prefix,
        )

    @property
    def backup_folder(self) -> Path:
        """What backups need beside the settings: the password, and keys of a place elsewhere. Readable for root alone.

        Not in the stack's own folder, which `purge` removes: backups outlive the stack.
        """
        return catalogue().paths.config / "backup" / self.name_prefix

    @property
    def backup_repository(self) -> str:
        """Where backups go."""
        return (self.backup and self.backup.repository) or str(self.folders.backup)

    def secret_file(self, name: str) -> Path:
        """Host file that holds one secret; mounted read-only at ``/run/secrets/<name>``."""
        return self.folders.config / "secrets" / name

    def describe(self) -> dict[str, object]:
        """Plain facts of the stack for Ansible and humans: what must exist on the host before containers start."""
        return {
            "stack": self.stack,
            "name_prefix": self.name_prefix,
            "config_dir": str(self.folders.config),
            "data_dir": str(self.folders.data),
            "secrets_dir": str(self.folders.config / "secrets"),
            "urls": self.urls,
            "containers": {**self.containers_brought.model_dump(), "refill_folder": REFILL_FOLDER},
            "metrics": self._metrics(),
            "gateway": gateway.described(self),
            "grafana": grafana.described(self),
            "log_metrics": self._log_metrics(),
            "shared_folders": self._shared_folders(),
            "ticks": self._ticks(),
            "backup": self._backup(),
            "drift": {"daily_at": self.drift.daily_at} if self.drift else None,
            "monitor": MONITOR,
            "database_roles": self.database_roles if "postgresql" in [one.name for one in self.components] else [],
            "restartable": [self.container_name(component) for component in self.restartable],
            "components": [
                {
                    "name": component.name,
                    "uid": component.uid,
                    "owner": component.owner,
                    "container": self.container_name(component),
                    "config_dir": str(self.folders.config / component.name) if component.config else None,
                    "data_dir": str(self.folders.data / component.name) if component.data else None,
                    "secrets": {name: str(self.secret_file(name)) for name in component.secrets},
                    "memory_mb": self.memory_limit_mb(component),
                    "ports": {name: port.container for name, port in component.ports.items()},
                    "urls": {port: url for port in component.ports if (url := self.url(component, port))},
                }
                for component in self.components
            ],
        }

    @property
    def containers_brought(self) -> ContainersBrought:
        """Whose lines the collector brings."""
        logs = self.pipelines.logs
        # The trader sends its records itself; what the collector says of a failure would feed the failure.
        silent = [component for component in self.components if component.container_logs or component.name == "trader"]
        return ContainersBrought(
            brought=logs.containers if logs else [], left_out=[self.container_name(component) for component in silent]
        )

    def _ticks(self) -> dict[str, object] | None:
        """What the configuration of Telegraf and QuestDB is made from."""
        ticks = self.pipelines.ticks
        if ticks is None:
            return None
        questdb, relay = catalogue()["questdb"], catalogue()["ticks-relay"]
        (folder,) = catalogue()["telegraf"].reads
        log_file = f"{folder}/{TICKS_LOG_FILE}"
        durable = ticks.profile == "durable"
        return {
            "profile": ticks.profile,
            "user": PROJECT,
            "readonly_user": TICKS_READER,
            # The file of the source is a link to the newest segment; the segments' names never come twice.
            "files": [f"{log_file}.*Z" if durable else log_file],
            "url": relay.url() if durable else f"tcp://{questdb.name}:{questdb.ports['line'].container}",
        }

    def _metrics(self) -> dict[str, object] | None:
        """What the configuration of Prometheus and Alertmanager is made from."""
        metrics = self.pipelines.metrics
        if metrics is None:
            return None
        return {
            **metrics.model_dump(mode="json", exclude={"retention", "targets"}, exclude_none=True),
            "targets": scraping.targets(self),
            "probes": scraping.probes(self),
        }

    def _backup(self) -> dict[str, object] | None:
        """What the machine needs to make backups, and when."""
        if self.backup is None:
            return None
        return {
            **self.backup.model_dump(mode="json", include={"daily_at", "tried_at"}),
            "repository": self.backup_repository,
            "directory": str(self.backup_folder),
        }

    def _log_metrics(self) -> dict[str, object] | None:
        """What the configuration of Mimir, Loki and the reader of the trader's log files is made from."""
        log_metrics = self.pipelines.log_metrics
        if log_metrics is None:
            return None
        # Containers' metrics go to Mimir, too, where the stack has any.
        targets = scraping.targets(self) if self.pipelines.metrics else []
        containers = [target for target in targets if target["job"] == scraping.CONTAINERS]
        return {**log_metrics.model_dump(mode="json"), "targets": containers}

    def _shared_folders(self) -> list[dict[str, object]]:
        """Folders that one component writes and another reads, with who these are."""
        return [
            {"path": str(self.folders.data / folder), "owner": catalogue()[folder.split("/")[0]].owner, "group": component.uid}
            for component in self.components
            for folder in component.reads.values()
        ]


def stack_file(stack: str) -> Path:
    """Where a stack's settings stand."""
    return PROJECT_ROOT / f"Pulumi.{stack}.yaml"


def stack_names() -> list[str]:
    """Stacks that have a file, in alphabetical order."""
    return sorted(path.name.split(".")[1] for path in PROJECT_ROOT.glob("Pulumi.*.yaml"))


def parse(stack: str, tree: object) -> Settings:
    """Check a stack's tree.

    Raises:
        SettingsError: with one line for each problem.
    """
    if not isinstance(tree, dict):
        raise SettingsError(f"{stack}: {CONFIG_KEY} must be a mapping with at least `pipelines`")
    try:
        return Settings.model_validate({"stack": stack, **tree})
    except ValidationError as error:
        lines = [
            f"{stack}: {'.'.join(map(str, problem['loc'])) or CONFIG_KEY}: {_plain(problem)}" for problem in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from error


def _plain(problem: ErrorDetails) -> str:
    """Pydantic's message in words that say what to do."""
    if problem["type"] == "extra_forbidden":
        return "unknown key; remove it or correct its name"
    return str(problem["msg"]).removeprefix("Value error, ")


def read(stack: str, path: Path | None = None) -> Settings:
    """Settings of a stack, from ``Pulumi.<stack>.yaml`` or another file of that shape.

    Raises:
        SettingsError: when there is no such stack, or its file is not usable.
    """
    path = path or stack_file(stack)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"there is no stack {stack!r}; choose from {', '.join(stack_names())}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict) or set(config) != {CONFIG_KEY}:
        raise SettingsError(f"{path.name} must hold `config:` with the single key {CONFIG_KEY}")
    return parse(stack, config[CONFIG_KEY])
