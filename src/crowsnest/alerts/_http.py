"""One POST of JSON to a URL that may be a secret; every wait has an end and every failure becomes a value.

`http.client` never touches `logging`, follows no redirect and ignores proxy variables. A connection a message: alerts are
rare, and an idle connection that the service has closed meanwhile would cost a retry.
"""

# ruff: noqa: BLE001 - every failure of a request becomes an outcome
from __future__ import annotations

import contextlib
import email.utils
import functools
import http.client
import io
import json
import re
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import urlsplit

_MAX_ANSWER_BYTES: Final = 64 * 1024
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SECRET_CHARS: Final = 9
_URL_CHARS: Final = re.compile(r"[!-~]+")


class Verdict(Enum):
    """What became of a message."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """No answer, 408, 425, 429 or 5xx: the message is fine."""
    REJECTED = "rejected"
    """The service refuses this message, or this sender, for good; redirects belong here."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one attempt to deliver a message."""

    verdict: Verdict
    detail: str = ""
    """For people; never holds a secret."""
    retry_after_seconds: float | None = None
    """The service asked to be left alone for so long."""


class Endpoint:
    """A place to post JSON to. Its path is a credential: neither `repr` nor any outcome or error shows it.

    Args:
        url: the whole URL.
        what: what to call it in errors.
        secret: the part of `url` that must not be seen; by default its path and query.
        allow_http: accept http to any host, not only to this machine.

    Raises:
        ValueError: `url` is not usable; the text does not quote it.
    """

    def __init__(self, url: str, *, what: str, secret: str | None = None, allow_http: bool = False) -> None:
        complaint = f"{what} must look like https://host/path (http only to this machine)"
        if not isinstance(url, str) or not _URL_CHARS.fullmatch(url):
            raise ValueError(complaint)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError(complaint) from None
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.password or parts.fragment:
            raise ValueError(complaint)
        if parts.scheme == "http" and host not in _LOOPBACK and not allow_http:
            raise ValueError(complaint)
        self._secure = parts.scheme == "https"
        self._host, self._port = host, port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        whole = secret or self._target.strip("/")
        # a service may quote a part of it; short parts are no secrets ("T000"), and words of any text
        self._secrets = [part for part in (whole, *re.split("[/:?]", whole)) if len(part) >= _SECRET_CHARS]
        self._tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"<{'https' if self._secure else 'http'}://{self._host}/***>"

    def post(self, document: object, *, timeout_seconds: float) -> tuple[Outcome, bytes]:
        """Post `document` once; never raises. Connecting takes `timeout_seconds` at most (after name resolution), the
        answer is waited for until `timeout_seconds` after the start, even when it drips in byte by byte.

        Returns:
            The outcome and the start of the answer's body.
        """
        deadline = time.monotonic() + timeout_seconds
        connection: http.client.HTTPConnection | None = None
        try:
            body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
            connection = self._connect(timeout_seconds)
            connection.response_class = functools.partial(_response, deadline)  # type: ignore[assignment]
            headers = {"Content-Type": "application/json; charset=utf-8", "Connection": "close"}
            connection.connect()
            connection.sock.settimeout(max(0.05, deadline - time.monotonic()))
            connection.request("POST", self._target, body, headers)
            response = connection.getresponse()
            text = response.read(_MAX_ANSWER_BYTES)
            response.close()
        except Exception as error:
            return Outcome(Verdict.RETRY, self.scrub(f"{type(error).__name__}: {error}")), b""
        finally:
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.close()
        shown = self.scrub(text.decode("utf-8", "replace").strip())[:200]  # a cut secret would not be recognised
        detail = f"HTTP {response.status} {shown}".strip()
        return Outcome(_judge(response.status), detail, retry_after(response.headers.get("Retry-After"))), text

    def scrub(self, text: str) -> str:
        """`text` without the secret."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _connect(self, timeout_seconds: float) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout_seconds)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_seconds, context=self._tls)


def _response(deadline: float, sock: socket.socket, *rest: Any, **named: Any) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(_Bounded(sock, deadline), *rest, **named)  # type: ignore[arg-type]


class _Bounded:
    """A socket for `HTTPResponse`, whose reads together end at `deadline`; a timeout alone bounds each of them."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._raw = _BoundedReads(sock, deadline)

    def makefile(self, _mode: str = "rb", *_rest: Any, **_named: Any) -> io.BufferedReader:
        return io.BufferedReader(self._raw)


class _BoundedReads(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._sock = sock
        # a file object of the socket keeps it open when http.client closes its connection before the body is read
        self._file: io.RawIOBase = sock.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_seconds = self._deadline - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left_seconds)
        return self._file.readinto(buffer) or 0

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        super().close()


def _judge(status: int) -> Verdict:
    if 200 <= status < 300:
        return Verdict.DELIVERED
    return Verdict.RETRY if status in (408, 425, 429) or status >= 500 else Verdict.REJECTED


def retry_after(header: str | None) -> float | None:
    """`Retry-After` in seconds, from either of its forms; None for nonsense."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
