"""Pipeline ``trading``: the trading process and its databases."""

from __future__ import annotations

import pulumi

from infra.catalogue import Component, catalogue
from infra.host import Host
from infra.service import SECRETS_FOLDER, Service
from infra.settings import LOGS_FOLDER, PROJECT, TRADER_ROLE, Trading


class TradingPipeline(pulumi.ComponentResource):
    """PostgreSQL, Redis and the trader, or those of them that the stack chose."""

    def __init__(self, host: Host, settings: Trading) -> None:
        super().__init__("crowsnest:pipelines:Trading", "trading")
        stores = {"postgresql": self._postgresql, "redis": self._redis}
        databases = [declare(host) for name, declare in stores.items() if name in settings.components]
        if "trader" in settings.components:
            self._trader(host, settings, after=databases)
        self.register_outputs({})

    def _postgresql(self, host: Host) -> Service:
        component = catalogue()["postgresql"]
        secret, _ = component.secrets  # the other is for whoever backs it up
        return Service(
            component,
            host,
            command=["postgres", "-c", f"port={component.ports['sql'].container}"],
            environment={
                "POSTGRES_USER": PROJECT,
                "POSTGRES_DB": PROJECT,
                "POSTGRES_PASSWORD_FILE": f"{SECRETS_FOLDER}/{secret}",
                "POSTGRES_INITDB_ARGS": "--data-checksums --auth-host=scram-sha-256",
            },
            parent=self,
        )

    def _redis(self, host: Host) -> Service:
        component = catalogue()["redis"]
        return Service(component, host, command=["redis-server", f"{component.config}/redis.conf"], parent=self)

    def _trader(self, host: Host, settings: Trading, after: list[Service]) -> Service:
        component = catalogue()["trader"]
        # It waits for its databases and never for the log store: trading does not depend on observability.
        return Service(
            component,
            host,
            environment={
                **_database(host, component),
                "CROWSNEST_ENGINE_MODE": settings.trader.mode,
                "CROWSNEST_ENGINE_CAP_USD": str(settings.trader.cap_usd),
                "CROWSNEST_ENGINE_LOGS_FOLDER": f"{component.data}/{LOGS_FOLDER}",
                "VICTORIALOGS_URL": catalogue()["victorialogs"].url(),
                # Its own network alone reaches it, and loopback where a stack publishes it.
                "CROWSNEST_ENGINE_METRICS_HOST": "0.0.0.0",  # noqa: S104
                "CROWSNEST_ENGINE_STRATEGIES": ",".join(settings.trader.strategies),
                "CROWSNEST_ENGINE_BARS_PER_SECOND": str(settings.trader.bars_per_second),
            },
            after=after,
            parent=self,
        )


def database_url(role: str) -> str:
    """Where PostgreSQL is for the components that log in with this role. The password is in a file."""
    component = catalogue()["postgresql"]
    return f"postgresql://{role}@{component.name}:{component.ports['sql'].container}/{PROJECT}"


def _database(host: Host, component: Component) -> dict[str, str]:
    """Where the trader writes what it trades: only where there are tables for it."""
    if not host.settings.has_trading_database:
        return {}
    (secret,) = component.secrets
    return {
        "CROWSNEST_ENGINE_DATABASE_URL": database_url(TRADER_ROLE),
        "CROWSNEST_ENGINE_DATABASE_PASSWORD_FILE": f"{SECRETS_FOLDER}/{secret}",
        "CROWSNEST_ENGINE_SPOOL_FILE": f"{component.data}/spool.jsonl",
    }
