"""A real HTTP server that takes messages as Slack and Telegram do, and misbehaves on request."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """How to answer a request."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document


class AlertSink:
    """Listens on a free port of 127.0.0.1 from `with` on; `requests` holds what came, `accepted` what it answered with 200."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        self.replies: deque[Reply] = deque()
        """Replies to the next requests; when empty, `default`."""
        self.default = Reply()
        self.delay_seconds = 0.0
        self.drip_seconds = 0.0
        """Pause between single bytes of an answer."""
        self._lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = sink.take(Request(self.path, dict(self.headers), body, time.monotonic()))
                time.sleep(sink.delay_seconds)
                head = f"HTTP/1.1 {reply.status} -\r\nContent-Length: {len(reply.body)}\r\n"
                head += "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
                answer = head.encode() + b"\r\n" + reply.body
                try:
                    if sink.drip_seconds:
                        for byte in answer:
                            self.wfile.write(bytes([byte]))
                            time.sleep(sink.drip_seconds)
                    else:
                        self.wfile.write(answer)
                except OSError:
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.slack_url = f"{self.url}/services/T000/B000/s3cr3tHook"

    def take(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            reply = self.replies.popleft() if self.replies else self.default
            if reply.status == 200:
                self.accepted.append(request)
            return reply

    @property
    def texts(self) -> list[str]:
        """`text` of the messages accepted."""
        return [request.json["text"] for request in self.accepted]

    def wait(self, count: int, timeout_seconds: float = 5.0) -> None:
        """Until `count` messages are accepted."""
        deadline = time.monotonic() + timeout_seconds
        while len(self.accepted) < count:
            assert time.monotonic() < deadline, f"{len(self.accepted)} of {count} messages: {self.texts}"
            time.sleep(0.005)

    def __enter__(self) -> AlertSink:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def unused_url() -> str:
    """Where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/services/T000/B000/s3cr3tHook"
