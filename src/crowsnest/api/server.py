"""The server: uvicorn with a deadline for request heads, bounded connections, and an end that does not wait for tails."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crowsnest.api.app import create_app
from crowsnest.api.settings import ApiSettings

HEAD_SECONDS: Final = 10.0
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_CONNECTIONS: Final = 512
KEEP_ALIVE_SECONDS: Final = 20
SHUTDOWN_SECONDS: Final = 3


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 whose request heads have a deadline and a size; uvicorn's have neither."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes while a head is read."""
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES * 2:
                self.transport.close()
                return
        super().data_received(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuse a head that is too large."""
        super().on_header(name, value)
        if sum(len(one) + len(other) for one, other in self.headers) > MAX_HEAD_BYTES:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._forget_head()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class Server(uvicorn.Server):
    """Tells open tails to end as soon as a signal asks the server to."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: Any = None) -> None:
        """Remember the loop, which a signal handler has to wake."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On a signal."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._app.state.stopping.set)
        super().handle_exit(sig, frame)


class JsonFormatter(logging.Formatter):
    """One line of JSON a record, as the collector expects of our containers."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        document = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            document["error_traceback"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)


def serve(settings: ApiSettings) -> int:
    """Run until SIGTERM or SIGINT.

    Returns:
        0 after an orderly end, 1 when it could not start.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        # Not uvloop: a connection to the store that is cancelled while it is made is closed twice there, and the second time
        # its number belongs to somebody else's connection (seen with 1,000 vanishing readers).
        loop="asyncio",
        http=Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = Server(config, app)
    # uvicorn repeats the signal when it has ended: a stop that was asked for is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    server.run()
    return 0 if server.started else 1
