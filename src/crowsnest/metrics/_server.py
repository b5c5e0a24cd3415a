"""The HTTP server of a trading process: `/metrics`, `/health` and `/ready`, in a daemon thread.

It exists for one scraper on the same machine. Whoever else connects, slow or not, must not keep that one out or take
anything from the strategy: connections are few, short and closed by age.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from crowsnest.metrics._source import MetricSource
from crowsnest.settings import METRICS_PORTS

DEFAULT_HOST = "127.0.0.1"

_READ_SECONDS = 3.0  # a connection that sends nothing for so long is closed
_LIFE_SECONDS = 10.0  # any connection is; Prometheus' default scrape timeout is 10 s
_MAX_CONNECTIONS = 16  # the oldest one makes room for one more
_POLL_SECONDS = 0.1

_StartResponse = Callable[..., Any]


class PortInUseError(OSError):
    """Something else listens on the port."""


class _RequestHandler(WSGIRequestHandler):
    timeout = _READ_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Log nothing: a scrape every 15 s is no event."""


class _HttpServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily) -> None:
        self.address_family = family
        self._connections: dict[socket.socket, float] = {}
        self._connections_lock = threading.Lock()
        super().__init__(address, _RequestHandler)

    def server_bind(self) -> None:
        # HTTPServer's would ask DNS for the host's name, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            while len(self._connections) >= _MAX_CONNECTIONS:
                self._end(min(self._connections, key=self._connections.__getitem__))
            self._connections[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        self.end_connections(older_than_seconds=_LIFE_SECONDS)

    def end_connections(self, older_than_seconds: float) -> None:
        """Cut the connections of that age; their threads end by themselves."""
        limit = time.monotonic() - older_than_seconds
        with self._connections_lock:
            for request in [one for one, since in self._connections.items() if since <= limit]:
                self._end(request)

    def _end(self, request: socket.socket) -> None:
        del self._connections[request]
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that goes away or is cut off is no error of the strategy's process."""


class MetricsServer:
    """A running metrics endpoint. `close()` it, or use it as a context manager."""

    def __init__(self, metrics: MetricSource, port: int | None = None, *, host: str = DEFAULT_HOST) -> None:
        """Listen and serve; see `start_metrics_server`."""
        wanted = METRICS_PORTS[metrics.plane] if port is None else port
        self._metrics = metrics
        self._started = time.monotonic()
        self._pid = os.getpid()
        self._exposition = make_wsgi_app(metrics.registry, disable_compression=True)  # the scraper is on this machine
        try:
            family = socket.getaddrinfo(host, wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
            self._http = _HttpServer((host, wanted), family)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(
                    error.errno,
                    f"port {wanted} on {host} is in use, perhaps by another plane of this machine: give {metrics.plane} "
                    "another port (port=..., SA_MONITORING__PROMETHEUS_PORT, or 0 for any free one)",
                ) from None
            raise
        except OverflowError:
            raise ValueError(f"port {wanted} is not between 0 and 65535") from None
        self._http.set_app(self._answer)
        self.host: str = host
        self.port: int = self._http.server_address[1]
        self._closed = False
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(_POLL_SECONDS,), name=f"crowsnest-metrics-{self.port}", daemon=True
        )
        self._thread.start()
        _alive.add(self)

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Take no more connections, let those that are being answered finish within the time, free the port."""
        if self._closed:
            return
        self._closed = True
        if os.getpid() != self._pid:  # the thread did not come along through the fork
            self._http.socket.close()
            return
        self._http.shutdown()
        self._http.server_close()
        deadline = time.monotonic() + timeout_seconds
        while self._http._connections and time.monotonic() < deadline:  # noqa: SLF001 - the two are one thing
            time.sleep(0.01)
        self._http.end_connections(older_than_seconds=0)
        self._thread.join(max(0.1, deadline - time.monotonic()))

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _answer(self, environ: dict[str, Any], start_response: _StartResponse) -> Iterable[bytes]:
        route = {"/metrics": self._serve_metrics, "/health": self._serve_health, "/ready": self._serve_ready}.get(
            environ.get("PATH_INFO", "")
        )
        method = environ["REQUEST_METHOD"]
        if route is None:
            status, headers, body = _text("404 Not Found", "not found; there are /metrics, /health and /ready\n")
        elif method not in ("GET", "HEAD"):
            status, headers, body = _text("405 Method Not Allowed", f"{method} is not allowed\n")
            headers.append(("Allow", "GET, HEAD"))
        else:
            status, headers, body = route(environ)
        headers = [*headers, ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        start_response(status, headers)
        return [] if method == "HEAD" else [body]

    def _serve_metrics(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        got: list[tuple[str, list[tuple[str, str]]]] = []

        def started(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            got.append((status, headers))

        try:
            # Always the text format: OpenMetrics costs 1.6 times as much here and would carry nothing more.
            asked = {**environ, "REQUEST_METHOD": "GET", "HTTP_ACCEPT": "text/plain"}
            body = b"".join(self._exposition(asked, started))
        except Exception as error:  # noqa: BLE001 - say it to the scraper, not on the strategy's stderr
            return _text("500 Internal Server Error", f"the metrics cannot be rendered: {error!r:.500}\n")
        return got[0][0], list(got[0][1]), body

    def _serve_health(self, _environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        uptime = round(time.monotonic() - self._started, 3)
        problems = self._metrics.problems()
        tree = {"status": "healthy", "plane": self._metrics.plane, "uptime_seconds": uptime, "metric_problems": problems}
        return _json("200 OK", tree)

    def _serve_ready(self, _environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        states = self._metrics.readiness.states()
        ready = all(state.up for state in states.values())
        tree = {
            "status": "ready" if ready else "not ready",
            "dependencies": {name: asdict(state) for name, state in states.items()},
        }
        return _json("200 OK" if ready else "503 Service Unavailable", tree)


def _text(status: str, text: str) -> tuple[str, list[tuple[str, str]], bytes]:
    return status, [("Content-Type", "text/plain; charset=utf-8")], text.encode(errors="replace")


def _json(status: str, tree: object) -> tuple[str, list[tuple[str, str]], bytes]:
    return status, [("Content-Type", "application/json")], json.dumps(tree).encode() + b"\n"


async def start_metrics_server(metrics: MetricSource, port: int | None = None, *, host: str = DEFAULT_HOST) -> MetricsServer:
    """Serve `metrics` over HTTP until `close()`; it listens when this returns.

    A coroutine because the sources have it so; it does not wait for anything, and the server has a thread of its own.
    Without a loop, use `MetricsServer(metrics, port)`.

    Args:
        metrics: a `TradingMetrics` or a plane's exporter.
        port: None is the documented one of the plane, 0 any free one.
        host: address to listen on. Anything but loopback shows positions and P&L to whoever reaches it.

    Raises:
        PortInUseError: something else listens there.
        OSError: the address cannot be listened on.
        ValueError: the port is no port.
    """
    return MetricsServer(metrics, port, host=host)


_alive: weakref.WeakSet[MetricsServer] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # A child that keeps the listening socket would keep the port taken after its parent is gone.
    for server in list(_alive):
        server.close()


os.register_at_fork(after_in_child=_after_fork_in_child)
