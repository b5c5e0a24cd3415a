"""`python -m crowsnest.heartbeat`: the other end of the dead man's switch, for a machine that is not the trading one.

Alertmanager posts Watchdog here every five minutes. As long as it does, Prometheus evaluates rules, Alertmanager routes, and
messages leave the machine. When it stays away, nothing there can tell anybody, so this program does, by Slack or Telegram.
"""

from __future__ import annotations

import argparse
import hmac
import json
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from crowsnest.alerts import AlertManager, AlertSeverity

WATCHDOG = "Watchdog"
TOKEN_VARIABLE = "HEARTBEAT_TOKEN_FILE"  # noqa: S105 - the name of a variable
# Two beats of five minutes and some jitter. When Prometheus dies, Alertmanager goes on with what it was told last for four
# minutes; then this, and a look (a twentieth of it): within 15 minutes in the worst case.
DEFAULT_MAX_AGE_SECONDS = 620.0
ALERTMANAGER_GOES_ON_SECONDS = 240.0
DEFAULT_REPEAT_SECONDS = 3600.0
# A message of Alertmanager with one alert has about 1 kB.
MAX_BODY_BYTES = 65_536
READ_SECONDS = 5.0
MAX_SOURCES = 100
# Looks for silence this many times within the maximum age.
LOOKS = 20

_log = logging.getLogger("crowsnest.heartbeat")


class SendsAlerts(Protocol):
    """What is needed of an `AlertManager`."""

    def send(
        self, severity: AlertSeverity, title: str, message: str = "", metadata: Mapping[str, object] | None = None
    ) -> bool:
        """Send an alert without blocking or raising."""


@dataclass(slots=True)
class _Source:
    """One machine whose heartbeat is expected."""

    last: float
    told_at: float | None = None


@dataclass
class HeartbeatMonitor:
    """Notices that a heartbeat stays away, says so once and then every `repeat_seconds`, and says when it is back.

    Args:
        alerts: tells people.
        expected: machines (the label ``stack`` of Watchdog) that are expected from the beginning; one that was heard of is
            expected from then on.
        max_age_seconds: silence from which a heartbeat counts as missing.
        repeat_seconds: after how long it is told again.
        clock: seconds, rising.

    Raises:
        ValueError: a time is not above 0.
    """

    alerts: SendsAlerts
    expected: Sequence[str] = ()
    max_age_seconds: float = DEFAULT_MAX_AGE_SECONDS
    repeat_seconds: float = DEFAULT_REPEAT_SECONDS
    clock: Callable[[], float] = time.monotonic
    _sources: dict[str, _Source] = field(init=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if not (self.max_age_seconds > 0 and self.repeat_seconds > 0):
            raise ValueError("max_age_seconds and repeat_seconds must be above 0")
        self._sources = {name: _Source(self.clock()) for name in self.expected}

    def beat(self, source: str) -> bool:
        """A heartbeat came. False when there are too many sources already; it is not watched then."""
        now = self.clock()
        with self._lock:
            known = self._sources.get(source)
            if known is None:
                if len(self._sources) >= MAX_SOURCES:
                    return False
                known = self._sources[source] = _Source(now)
                _log.info("heartbeat of %s is watched from now on", source)
            silence, known.last = now - known.last, now
            was_told, known.told_at = known.told_at is not None, None
        if was_told:
            self.alerts.send(
                AlertSeverity.INFO, f"Heartbeat of {source} is back", f"It was away for {silence:.0f} s.", {"stack": source}
            )
        return True

    def look(self) -> list[str]:
        """Tell of every heartbeat that is missing and was not told of lately; return their sources."""
        now = self.clock()
        with self._lock:
            missing = {name: now - one.last for name, one in self._sources.items() if self._is_due(one, now)}
            for name in missing:
                self._sources[name].told_at = now
        for name, silence in missing.items():
            self.alerts.send(
                AlertSeverity.CRITICAL,
                f"Heartbeat of {name} is missing",
                f"Nothing for {silence:.0f} s. Its alerts do not arrive; look at the machine itself.",
                {"stack": name, "silent_seconds": round(silence)},
            )
        return sorted(missing)

    def _is_due(self, source: _Source, now: float) -> bool:
        if now - source.last <= self.max_age_seconds:
            return False
        return source.told_at is None or now - source.told_at >= self.repeat_seconds

    def ages(self) -> dict[str, float]:
        """Seconds since the last heartbeat, by source."""
        now = self.clock()
        with self._lock:
            return {name: now - source.last for name, source in self._sources.items()}


def sources_of(body: bytes) -> list[str]:
    """Machines whose Watchdog a message of Alertmanager holds; empty when it holds none, or is no such message."""
    try:
        alerts = json.loads(body)["alerts"]
        return sorted(
            {
                str(alert["labels"].get("stack") or "unknown")
                for alert in alerts
                if alert["status"] == "firing" and alert["labels"]["alertname"] == WATCHDOG
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def serve(monitor: HeartbeatMonitor, host: str, port: int, token: str) -> ThreadingHTTPServer:
    """Listen: POST `/<token>` takes heartbeats, GET `/health` answers with their ages. The caller runs it.

    Raises:
        OSError: the address cannot be listened on.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = READ_SECONDS

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not hmac.compare_digest(self.path.encode(), f"/{token}".encode()):
                self._answer(HTTPStatus.NOT_FOUND, {"error": "not found"})
            elif not (length.isascii() and length.isdigit() and int(length) <= MAX_BODY_BYTES):
                self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"at most {MAX_BODY_BYTES} bytes"})
            elif sources := sources_of(self.rfile.read(int(length))):
                known = [source for source in sources if monitor.beat(source)]
                self._answer(HTTPStatus.OK, {"heard": known})
            else:
                self._answer(HTTPStatus.BAD_REQUEST, {"error": f"no firing {WATCHDOG} in it"})

        def do_GET(self) -> None:
            if self.path != "/health":
                self._answer(HTTPStatus.NOT_FOUND, {"error": "not found"})
                return
            ages = {name: round(age, 1) for name, age in monitor.ages().items()}
            self._answer(HTTPStatus.OK, {"ages_seconds": ages, "max_age_seconds": monitor.max_age_seconds})

        def _answer(self, status: HTTPStatus, document: object) -> None:
            body = json.dumps(document).encode() + b"\n"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Log nothing: the path holds the token."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    return server


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM.

    Returns:
        0 when it was ended, 1 when it cannot listen, 2 for wrong usage or settings.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        token = _token()
        with AlertManager(dedupe_window_seconds=0) as alerts:
            monitor = HeartbeatMonitor(alerts, options.expect, options.max_age_seconds, options.repeat_seconds)
            server = serve(monitor, options.host, options.port, token)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            _log.info(
                "listening on http://%s:%d, silence is told after %.0f s", *server.server_address[:2], options.max_age_seconds
            )
            while not ended.wait(options.max_age_seconds / LOOKS):
                monitor.look()
            server.shutdown()
            server.server_close()
    except ValueError as error:
        print(f"crowsnest.heartbeat: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"crowsnest.heartbeat: cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _token() -> str:
    """The secret part of the address."""
    file = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not file:
        raise ValueError(
            f"set {TOKEN_VARIABLE} to a file with a secret of at least 16 letters and digits; it is part of the URL"
        )
    try:
        with open(file, encoding="utf-8") as stream:  # noqa: PTH123 - one line of a mounted secret
            token = stream.read().strip()
    except OSError as error:
        raise ValueError(f"{TOKEN_VARIABLE}: cannot read {file}: {error.strerror}") from None
    if len(token) < 16 or not token.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{TOKEN_VARIABLE}: {file} must hold at least 16 letters, digits, - or _")
    return token


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m crowsnest.heartbeat",
        description="Tell people when the heartbeat of a trading machine stays away. Run it on another machine.",
        epilog=(
            f"{TOKEN_VARIABLE} names a file with the secret part of the URL, http://HOST:PORT/<secret>; SLACK_WEBHOOK_URL, "
            "TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID (or the same with _FILE) say who is told."
        ),
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, required=True, help="0 is any free one")
    parser.add_argument(
        "--expect", action="append", default=[], metavar="STACK",
        help="a stack that has to report from the beginning, by its name prefix; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--max-age-seconds", type=_seconds, default=DEFAULT_MAX_AGE_SECONDS, metavar="SECONDS",
        help="silence that is told (default: %(default).0f)",
    )  # fmt: skip
    parser.add_argument(
        "--repeat-seconds", type=_seconds, default=DEFAULT_REPEAT_SECONDS, metavar="SECONDS",
        help="after how long it is told again (default: %(default).0f)",
    )  # fmt: skip
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
