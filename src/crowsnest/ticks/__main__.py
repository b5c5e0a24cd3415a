"""`python -m crowsnest.ticks`: run the relay between Telegraf and QuestDB."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from aiohttp import web

from crowsnest.ticks.server import application
from crowsnest.ticks.settings import RelaySettings, SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 when it was asked to end, 2 for unusable settings.
    """
    argparse.ArgumentParser(
        prog="python -m crowsnest.ticks",
        description="Store what Telegraf sends in QuestDB; settings are variables CROWSNEST_TICKS_*.",
    ).parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = RelaySettings.from_environment(os.environ)
        app = application(settings)
    except SettingsError as error:
        print(f"crowsnest.ticks: {error}", file=sys.stderr)
        return 2
    # A line of log for each batch would be more than the batches.
    web.run_app(app, host=settings.host, port=settings.port, access_log=None, print=lambda *_: None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
