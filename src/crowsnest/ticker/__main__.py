"""`python -m crowsnest.ticker`: log prices, or check the heartbeat."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from crowsnest.ticker.settings import DEFAULT_HEARTBEAT_FILE, HELP, PREFIX, SettingsError, TickerSettings


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 on success, 1 for a stale heartbeat or a log file that cannot be made, 2 for unusable settings.
    """
    parser = argparse.ArgumentParser(
        prog="python -m crowsnest.ticker",
        description="Log prices as JSON, a line each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=HELP,
    )
    parser.add_argument(
        "--check-heartbeat", metavar="SECONDS", type=float, help="exit 0 if a price was logged within SECONDS, else 1"
    )
    options = parser.parse_args(arguments)
    if options.check_heartbeat is not None:
        return _check_heartbeat(options.check_heartbeat)
    try:
        settings = TickerSettings.from_environment(os.environ)
    except SettingsError as error:
        print(f"crowsnest.ticker: {error}", file=sys.stderr)
        return 2
    # structlog is only loaded to log: the health check runs this file every few seconds.
    from crowsnest.ticker.service import run

    try:
        run(settings)
    except OSError as error:
        print(f"crowsnest.ticker: {settings.log_file} cannot be made: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _check_heartbeat(limit_seconds: float) -> int:
    path = Path(os.environ.get(f"{PREFIX}HEARTBEAT_FILE", "").strip() or DEFAULT_HEARTBEAT_FILE)
    try:
        beaten = path.stat().st_mtime
    except OSError:
        print(f"no heartbeat: {path} does not exist")
        return 1
    seconds = max(0.0, time.time() - beaten)
    print(f"last heartbeat {seconds:.1f} s ago")
    return 0 if seconds <= limit_seconds else 1


if __name__ == "__main__":
    sys.exit(main())
