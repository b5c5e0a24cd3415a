"""One keep-alive HTTP connection to VictoriaLogs; every failure becomes a value, every wait has an end.

`http.client` is used because it never touches `logging` (a client that does can deadlock or feed on its own records)
and ignores proxy variables, which must not divert a trading process's records.
"""

# ruff: noqa: BLE001 - every failure of a request becomes an answer
from __future__ import annotations

import contextlib
import http.client
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlencode, urlsplit

from crowsnest.logs._contract import MESSAGE_FIELD, TIME_FIELD

_MAX_ANSWER_BYTES = 4096


class Verdict(Enum):
    """What to do with a batch after a request."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """Nothing is wrong with the batch: no answer, 408, 429 or 5xx."""
    SPLIT = "split"
    """The server refused this content (400, 413, 422): a part of it may be fine."""
    REJECT = "reject"
    """The server refuses such requests (any other answer): no part of it would do better."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Outcome of one request."""

    verdict: Verdict
    detail: str = ""
    retry_after_seconds: float | None = None
    has_status: bool = False
    """Whether the server answered at all."""


def _judge(status: int) -> Verdict:
    if 200 <= status < 300:
        return Verdict.DELIVERED
    if status in (408, 429) or status >= 500:
        return Verdict.RETRY
    return Verdict.SPLIT if status in (400, 413, 422) else Verdict.REJECT


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds; its date form and nonsense are ignored."""
    return float(header) if header is not None and header.isascii() and header.isdigit() else None


class JsonLineTransport:
    """Posts batches to `/insert/jsonline`. Not thread-safe: one thread posts."""

    def __init__(
        self,
        url: str,
        *,
        stream_fields: Sequence[str],
        connect_timeout_seconds: float,
        request_timeout_seconds: float,
    ) -> None:
        """Take apart `url`, without connecting.

        Raises:
            ValueError: `url` is not http(s)://host[:port][/path], or carries credentials.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"victorialogs_url must look like http://host:port, got {url!r}")
        if parts.username or parts.password:
            raise ValueError("victorialogs_url must not carry credentials")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        query = urlencode(
            {"_stream_fields": ",".join(stream_fields), "_msg_field": MESSAGE_FIELD, "_time_field": TIME_FIELD},
            safe=",",
        )
        self._target = f"{parts.path.rstrip('/')}/insert/jsonline?{query}"
        self._connect_timeout_seconds = connect_timeout_seconds
        self._request_timeout_seconds = request_timeout_seconds
        self._connection: http.client.HTTPConnection | None = None

    def post(self, payload: bytes, *, timeout_seconds: float | None = None) -> Answer:
        """Send one gzip body; never raises, and waits at most the timeouts, or `timeout_seconds` where less."""
        reused = self._connection is not None
        answer = self._post_once(payload, timeout_seconds)
        if reused and answer is None:  # the server closed an idle connection; that says nothing about the server
            answer = self._post_once(payload, timeout_seconds)
        return answer or Answer(Verdict.RETRY, "connection closed before an answer")

    def _post_once(self, payload: bytes, limit_seconds: float | None) -> Answer | None:
        """One attempt; None when the peer closed the connection before answering."""
        try:
            connection = self._connect(limit_seconds)
            # Without this type VictoriaLogs answers 200 and stores nothing.
            headers = {"Content-Type": "application/stream+json", "Content-Encoding": "gzip"}
            connection.request("POST", self._target, payload, headers)
            response = connection.getresponse()
            text = response.read(_MAX_ANSWER_BYTES)
            if response.will_close or not response.isclosed():
                self.close()
        except (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected):
            self.close()
            return None
        except Exception as error:
            self.close()
            return Answer(Verdict.RETRY, f"{type(error).__name__}: {error}")
        detail = f"HTTP {response.status} {text[:200].decode('utf-8', 'replace').strip()}".strip()
        return Answer(_judge(response.status), detail, _seconds(response.headers.get("Retry-After")), has_status=True)

    def _connect(self, limit_seconds: float | None) -> http.client.HTTPConnection:
        def limited(seconds: float) -> float:
            return seconds if limit_seconds is None else max(0.05, min(seconds, limit_seconds))

        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            connection = kind(self._host, self._port, timeout=limited(self._connect_timeout_seconds))
            connection.connect()
            self._connection = connection
        self._connection.sock.settimeout(limited(self._request_timeout_seconds))
        return self._connection

    def close(self) -> None:
        """Close the connection; the next post opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()
