"""A real HTTP server that takes log records as VictoriaLogs does, and misbehaves on request."""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class LogSink:
    """Listens on a free port of 127.0.0.1 from `with` on; `records` holds what it accepted, in order."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        self.answers: deque[int] = deque()
        """Statuses of the next requests; when empty, 200."""
        self.default_status = 200
        self.refuses: Callable[[dict[str, Any]], bool] = lambda record: False
        """A request with a record that this is true of is answered 400 as a whole."""
        self.delay_seconds = 0.0
        self.keep = True
        """Whether records are looked at and kept; a benchmark has no use for them."""
        self._lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = sink.take(self.path, dict(self.headers), body)
                time.sleep(sink.delay_seconds)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, target: str, headers: dict[str, str], body: bytes) -> int:
        parts = urlsplit(target)
        with self._lock:
            self.requests.append((parts.path, parse_qs(parts.query), headers))
            status = self.answers.popleft() if self.answers else self.default_status
            if not self.keep:
                return status
            records = [json.loads(line, parse_constant=_refuse_constant) for line in zlib.decompress(body, 31).splitlines()]
            if status == 200 and any(map(self.refuses, records)):
                status = 400
            if status == 200:
                self.records.extend(records)
            return status

    def __enter__(self) -> LogSink:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _refuse_constant(name: str) -> object:
    raise AssertionError(f"not JSON: {name}")


class BlackHole:
    """Accepts connections (the kernel does) and never answers."""

    def __enter__(self) -> BlackHole:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(8)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()
