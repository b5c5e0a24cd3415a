"""The relay's HTTP server: what Telegraf writes to, health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from crowsnest.ticks.metrics import Metrics
from crowsnest.ticks.questdb import QuestDB, StoreError
from crowsnest.ticks.relay import Relay
from crowsnest.ticks.settings import RelaySettings
from crowsnest.ticks.upkeep import Upkeep

_log = logging.getLogger(__name__)
# Telegraf's largest batch is a hundredth of it.
MOST_BODY_BYTES = 64 * 2**20


class Handlers:
    """Answers of the server."""

    def __init__(self, relay: Relay, upkeep: Upkeep, metrics: Metrics) -> None:
        self._relay = relay
        self._upkeep = upkeep
        self._metrics = metrics

    async def write(self, request: web.Request) -> web.Response:
        """204 when every line is stored or set aside, 500 when the batch is to be sent again.

        Telegraf drops what is answered with 400 and waits longer and longer after a 503; with 500 it tries at each flush.
        """
        body = await request.read()
        try:
            await self._relay.write(body)
        except StoreError as error:
            self._metrics.put_off.inc()
            self._upkeep.note_away(error, "write")
            return web.json_response({"message": str(error)}, status=500)
        return web.Response(status=204)

    async def health(self, _request: web.Request) -> web.Response:
        """200 while the relay runs: that QuestDB is away is QuestDB's own health."""
        return web.json_response({"status": "up"})

    async def metrics(self, _request: web.Request) -> web.Response:
        """The metrics."""
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def application(settings: RelaySettings) -> web.Application:
    """The server, with what keeps the tables.

    Raises:
        SettingsError: QuestDB's password cannot be read.
    """
    password = settings.password()

    async def running(app: web.Application) -> AsyncIterator[None]:
        metrics = Metrics()
        store = QuestDB(settings.questdb_url, settings.questdb_user, password)
        relay = Relay(store, settings.ttl, metrics)
        upkeep = Upkeep(store, relay, metrics, ttl=settings.ttl, most_bytes=settings.most_bytes)
        app[HANDLERS] = Handlers(relay, upkeep, metrics)
        task = asyncio.create_task(upkeep.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await store.close()

    app = web.Application(client_max_size=MOST_BODY_BYTES)
    app.cleanup_ctx.append(running)
    app.router.add_post("/api/v2/write", lambda request: request.app[HANDLERS].write(request))
    app.router.add_get("/health", lambda request: request.app[HANDLERS].health(request))
    app.router.add_get("/metrics", lambda request: request.app[HANDLERS].metrics(request))
    return app


HANDLERS = web.AppKey("handlers", Handlers)
