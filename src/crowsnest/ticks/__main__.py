"""`python -m crowsnest.ticks`: run the relay between Telegraf and QuestDB, or show the newest prices."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from aiohttp import web

from crowsnest.ticks.questdb import QuestDB
from crowsnest.ticks.recent import newest
from crowsnest.ticks.server import application
from crowsnest.ticks.settings import RelaySettings, SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 when it was asked to end or has shown the prices, 1 when there are none, 2 for unusable settings.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    return _recent(options) if options.command == "recent" else _relay()


def _relay() -> int:
    try:
        settings = RelaySettings.from_environment(os.environ)
        app = application(settings)
    except SettingsError as error:
        print(f"crowsnest.ticks: {error}", file=sys.stderr)
        return 2
    # A line of log for each batch would be more than the batches.
    web.run_app(app, host=settings.host, port=settings.port, access_log=None, print=lambda *_: None)
    return 0


def _recent(options: argparse.Namespace) -> int:
    try:
        password = options.password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        print(f"crowsnest.ticks: {options.password_file} cannot be read: {error.strerror}", file=sys.stderr)
        return 2

    async def ask() -> None:
        store = QuestDB(options.url, options.user, password)
        try:
            rows = await newest(store, limit=options.limit, at_least=options.at_least, timeout_seconds=options.timeout_seconds)
        finally:
            await store.close()
        for row in reversed(rows):
            print(f"{row['timestamp']}  {row['symbol'] or '-':<8} {row['price']:.4f}")

    try:
        asyncio.run(ask())
    except TimeoutError as error:
        print(f"crowsnest.ticks: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m crowsnest.ticks",
        description="Without a command: store what Telegraf sends in QuestDB; settings are variables CROWSNEST_TICKS_*.",
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    recent = commands.add_parser("recent", help="show the newest prices")
    recent.add_argument("--url", required=True, help="QuestDB's address")
    recent.add_argument("--user", default="crowsnest")
    recent.add_argument("--password-file", type=Path, required=True)
    recent.add_argument("--limit", type=int, default=5)
    recent.add_argument("--at-least", type=int, default=1, help="wait for so many, else exit 1")
    recent.add_argument("--timeout-seconds", type=float, default=30)
    return parser


if __name__ == "__main__":
    sys.exit(main())
