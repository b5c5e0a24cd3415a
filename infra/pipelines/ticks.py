"""Pipeline ``ticks``: a process that logs JSON to a file, Telegraf that reads it, and QuestDB."""

from __future__ import annotations

import pulumi

from infra.catalogue import catalogue
from infra.host import Host
from infra.service import SECRETS_FOLDER, Service
from infra.settings import LOGS_FOLDER, PROJECT, TICKS_LOG_FILE, Ticks

# Of the container's memory; the rest is for what QuestDB allocates itself (roles/questdb) and for pages of files.
HEAP_SHARE = 0.25


class TicksPipeline(pulumi.ComponentResource):
    """QuestDB, the relay before it, Telegraf and the price process; in the profile ``source`` without the relay."""

    def __init__(self, host: Host, settings: Ticks) -> None:
        super().__init__("crowsnest:pipelines:Ticks", "ticks")
        # Begun store first and so ended store last. None depends on another: each waits and tries again by itself.
        before = self._questdb(host, settings)
        if settings.profile == "durable":
            before = self._relay(host, settings, before)
        before = Service(
            catalogue()["telegraf"],
            host,
            command=["--config", f"{catalogue()['telegraf'].config}/telegraf.conf", "--strict-env-handling"],
            after=[before],
            parent=self,
        )
        self._ticker(host, settings, before)
        self.register_outputs({})

    def _questdb(self, host: Host, settings: Ticks) -> Service:
        component = catalogue()["questdb"]
        heap_mb = int(host.settings.memory_limit_mb(component) * HEAP_SHARE)
        admin, readonly = (f"{SECRETS_FOLDER}/{name}" for name in component.secrets)
        return Service(
            component,
            host,
            # The official image's entrypoint, too, hands what begins with a dash to Java.
            command=[f"-Xmx{heap_mb}m", "-XX:+ExitOnOutOfMemoryError", "-m", "io.questdb/io.questdb.ServerMain", "-d",
                     str(component.data), "-f"],  # -f: its pages of this version, not those it unpacked once
            environment={
                "QDB_PG_PASSWORD_FILE": admin,
                "QDB_PG_READONLY_PASSWORD_FILE": readonly,
                # With a relay it is the relay's, of which the role placed a copy that QuestDB may read.
                "QDB_HTTP_PASSWORD_FILE": f"{component.config}/http_password" if settings.profile == "durable" else admin,
            },
            parent=self,
        )  # fmt: skip

    def _relay(self, host: Host, settings: Ticks, before: Service) -> Service:
        component = catalogue()["ticks-relay"]
        (password,) = component.secrets
        return Service(
            component,
            host,
            environment={
                "CROWSNEST_TICKS_QUESTDB_URL": catalogue()["questdb"].url(),
                "CROWSNEST_TICKS_QUESTDB_USER": PROJECT,
                "CROWSNEST_TICKS_QUESTDB_PASSWORD_FILE": f"{SECRETS_FOLDER}/{password}",
                "CROWSNEST_TICKS_HOST": "0.0.0.0",  # noqa: S104 - of the container, which is on an internal network only
                "CROWSNEST_TICKS_PORT": str(component.ports["http"].container),
                "CROWSNEST_TICKS_RETENTION": settings.retention.time,
                "CROWSNEST_TICKS_RETENTION_SIZE": settings.retention.size,
            },
            after=[before],
            parent=self,
        )

    def _ticker(self, host: Host, settings: Ticks, before: Service) -> Service:
        component, ticker = catalogue()["ticker"], settings.ticker
        return Service(
            component,
            host,
            environment={
                "LOG_FILE_NAME": f"{component.data}/{LOGS_FOLDER}/{TICKS_LOG_FILE}",
                "CROWSNEST_TICKER_PRICES": ticker.prices,
                "CROWSNEST_TICKER_INTERVAL_SECONDS": f"{ticker.interval_seconds:g}",
                # The source's way of reading does not know segments.
                "CROWSNEST_TICKER_ROTATION": "segments" if settings.profile == "durable" else "rename",
                "CROWSNEST_TICKER_SEGMENT_MB": f"{ticker.segment_mb:g}",
                "CROWSNEST_TICKER_SEGMENTS": str(ticker.segments),
            },
            after=[before],
            parent=self,
        )
