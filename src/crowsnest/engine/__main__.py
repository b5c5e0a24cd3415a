"""`python -m crowsnest.engine`: run the engine, or check its heartbeat."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Only what is cheap is imported here: the health check runs this file every few seconds.
from crowsnest.engine.heartbeat import age_seconds


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 on success, 1 for a stale heartbeat, 2 for unusable settings.
    """
    wants_help = any(word in ("-h", "--help") for word in (sys.argv[1:] if arguments is None else arguments))
    parser = argparse.ArgumentParser(
        prog="python -m crowsnest.engine",
        description="Replay real daily bars through NautilusTrader strategies and log what they do.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_settings_help() if wants_help else None,
    )
    parser.add_argument(
        "--check-heartbeat",
        metavar="SECONDS",
        type=float,
        help="exit 0 if bars were processed within SECONDS, else 1",
    )
    options = parser.parse_args(arguments)
    if options.check_heartbeat is not None:
        return _check_heartbeat(options.check_heartbeat)
    return _run()


def _settings_help() -> str:
    from crowsnest.engine.settings import HELP

    return HELP


def _check_heartbeat(limit_seconds: float) -> int:
    # Read here without `settings`, which would import the log library.
    path = Path(os.environ.get("CROWSNEST_ENGINE_HEARTBEAT_FILE", "").strip() or "/tmp/heartbeat")  # noqa: S108
    age = age_seconds(path)
    if age is None:
        print(f"no heartbeat: {path} does not exist")
        return 1
    print(f"last heartbeat {age:.1f} s ago")
    return 0 if age <= limit_seconds else 1


def _run() -> int:
    from crowsnest.engine.settings import EngineSettings, SettingsError

    try:
        settings = EngineSettings.from_environment(os.environ)
    except SettingsError as error:
        print(f"crowsnest.engine: {error}", file=sys.stderr)
        return 2

    from crowsnest.engine.service import run

    run(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
