"""`python -m crowsnest.metrics.server PLANE [PORT]`: the endpoint of a plane by itself."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from crowsnest.metrics._planes import init_metrics_exporter
from crowsnest.metrics._server import DEFAULT_HOST, MetricsServer, PortInUseError, start_metrics_server
from crowsnest.metrics._source import MetricSource
from crowsnest.metrics._trading import TradingMetrics
from crowsnest.settings import METRICS_PORTS, SettingsError, load_settings

__all__ = ["MetricsServer", "PortInUseError", "main", "start_metrics_server"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command until SIGINT or SIGTERM.

    Returns:
        0 when it was ended, 1 when it cannot listen, 2 for wrong usage or settings.
    """
    options = _parser().parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        metrics = _source(options.plane)
        port = options.port
        if port is None and options.plane == "trading":
            port = load_settings().monitoring.prometheus_port
        server = MetricsServer(metrics, port, host=options.host)
    except (SettingsError, ValueError) as error:
        print(f"crowsnest.metrics: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"crowsnest.metrics: {error.strerror or error}", file=sys.stderr)
        return 1
    with server:
        print(f"{options.plane}: {server.url}/metrics, /health and /ready", flush=True)
        print(
            "crowsnest.metrics: no strategy updates the metrics of this process; "
            "inside a strategy's process, call start_metrics_server",
            file=sys.stderr,
            flush=True,
        )
        ended.wait()
    return 0


def _source(plane: str) -> MetricSource:
    return TradingMetrics() if plane == "trading" else init_metrics_exporter(plane)


def _parser() -> argparse.ArgumentParser:
    ports = ", ".join(f"{plane} {port}" for plane, port in METRICS_PORTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m crowsnest.metrics.server",
        description="Serve /metrics, /health and /ready of one plane, to try a scrape configuration or a dashboard.",
    )
    parser.add_argument("plane", choices=tuple(METRICS_PORTS), metavar="PLANE", help=", ".join(METRICS_PORTS))
    parser.add_argument("port", type=_port, nargs="?", metavar="PORT", help=f"0 is any free one (default: {ports})")
    parser.add_argument("--host", default=DEFAULT_HOST, help=f"address to listen on (default: {DEFAULT_HOST})")
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
