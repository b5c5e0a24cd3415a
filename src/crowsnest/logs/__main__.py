"""`python -m crowsnest.logs`: `recent` prints, follows or awaits records; `reconcile` fills in what the store lacks."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from crowsnest.logs import DEFAULT_STREAM_FIELDS, DEFAULT_VICTORIALOGS_URL, VICTORIALOGS_URL_VARIABLE, _table
from crowsnest.logs.query import QueryClient, QueryError, Record, build_query
from crowsnest.logs.reconcile import ReconcileError, ReconcileOptions, duration_seconds, reconcile, since_ns, summary

_POLL_SECONDS = 1.0
# Records reach the store up to a flush interval late and not in order, so each poll looks back and leaves out what it
# has shown. VictoriaLogs' own tail skips such records.
_FOLLOW_LOOK_BACK = "30s"
_FOLLOW_LIMIT = 1000
_FOLLOW_REMEMBERED = 50_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 on success (reconcile: nothing is missing any more), 1 when records are missing or VictoriaLogs cannot be
        asked, 2 for wrong usage.
    """
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _recent(options: argparse.Namespace) -> int:
    try:
        client = QueryClient(options.url)
        query = build_query(options.since, options.filter)
    except ValueError as error:
        print(f"crowsnest.logs: {error}", file=sys.stderr)
        return 2
    try:
        if options.at_least and not _wait(client, query, options.at_least, options.timeout_seconds):
            return 1
        records = client.newest(query, options.limit)
        _show(records, as_json=options.json, with_header=True)
        if options.follow:
            _follow(client, options)
    except QueryError as error:
        print(f"crowsnest.logs: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # the reader (head, less) has seen enough; nothing more may be flushed to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crowsnest.logs", description="Read and repair what VictoriaLogs has.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    recent = commands.add_parser("recent", help="the newest records")
    recent.set_defaults(run=_recent)
    _add_url(recent)
    _add_reconcile(commands.add_parser("reconcile", help="send the records of a log file that the store lacks"))
    recent.add_argument("--since", default="5m", metavar="DURATION", help="how far to look back (default: 5m)")
    recent.add_argument("--limit", type=_positive, default=10, metavar="N", help="most records printed (default: 10)")
    recent.add_argument("--filter", metavar="LOGSQL", help="a LogsQL filter, such as 'source:strategy'")
    recent.add_argument("--json", action="store_true", help="print NDJSON instead of a table")
    recent.add_argument("--follow", action="store_true", help="go on printing records as they arrive")
    recent.add_argument("--at-least", type=_positive, metavar="N", help="exit 1 unless N records are found in time")
    recent.add_argument(
        "--timeout-seconds", type=float, default=30.0, metavar="S", help="how long --at-least waits (default: 30)"
    )
    return parser


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url",
        default=os.environ.get(VICTORIALOGS_URL_VARIABLE) or DEFAULT_VICTORIALOGS_URL,
        help=f"base URL of VictoriaLogs (default: {VICTORIALOGS_URL_VARIABLE}, else {DEFAULT_VICTORIALOGS_URL})",
    )


def _add_reconcile(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_reconcile)
    _add_url(parser)
    parser.add_argument("--file", type=Path, required=True, help="the current log file; rotated ones beside it are read, too")
    parser.add_argument("--boot", metavar="B", help="only the records of this boot")
    parser.add_argument("--since", type=since_ns, metavar="T", help="only newer ones: a duration such as 24h, or a UTC time")
    parser.add_argument("--dry-run", action="store_true", help="compare only; exit 1 when records are missing")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--settle-seconds", type=_seconds, default=15.0, metavar="S", help="how long a record may be on its way (default: 15)"
    )
    parser.add_argument(
        "--rate", type=_positive, default=5000, metavar="N", help="most records sent in a second (default: 5000)"
    )
    parser.add_argument(
        "--retention",
        type=duration_seconds,
        metavar="D",
        help="what the store keeps, such as 14d (default: the store is asked)",
    )
    parser.add_argument(
        "--stream-fields",
        type=lambda text: tuple(text.split(",")),
        default=DEFAULT_STREAM_FIELDS,
        metavar="F,F",
        help=f"as the handler has them (default: {','.join(DEFAULT_STREAM_FIELDS)})",
    )


def _reconcile(options: argparse.Namespace) -> int:
    try:
        report = reconcile(
            ReconcileOptions(
                file=options.file.absolute(),
                url=options.url,
                boot=options.boot,
                since_ns=options.since,
                dry_run=options.dry_run,
                settle_seconds=options.settle_seconds,
                max_records_per_second=options.rate,
                retention_seconds=options.retention,
                stream_fields=options.stream_fields,
            ),
            lambda text: print(f"crowsnest.logs: {text}", file=sys.stderr),
        )
    except (FileNotFoundError, ValueError) as error:
        print(f"crowsnest.logs: {error}", file=sys.stderr)
        return 2
    except ReconcileError as error:
        print(f"crowsnest.logs: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    if options.json:
        print(msgspec.json.encode(report.as_dict()).decode())
    else:
        print(summary(report, dry_run=options.dry_run))
    return report.exit_code


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < 86_400:
        raise ValueError
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _wait(client: QueryClient, query: str, wanted: int, timeout_seconds: float) -> bool:
    """Poll until `wanted` records match; on time-out say what there was, the server's last trouble included."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        found, trouble = 0, ""
        try:
            found = client.count(query)
        except QueryError as error:
            trouble = f" ({error})"
        if found >= wanted:
            return True
        if time.monotonic() >= deadline:
            print(
                f"crowsnest.logs: {found} of {wanted} records found for {query!r} in {timeout_seconds:g} s{trouble}",
                file=sys.stderr,
            )
            return False
        time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _follow(client: QueryClient, options: argparse.Namespace) -> None:
    query = build_query(_FOLLOW_LOOK_BACK, options.filter)
    # All of the window counts as shown at first: the user asked for `--limit` old records, not for more.
    seen = OrderedDict((_identity(record), None) for record in client.newest(query, _FOLLOW_LIMIT))
    while True:
        time.sleep(_POLL_SECONDS)
        new = [record for record in client.newest(query, _FOLLOW_LIMIT) if _identity(record) not in seen]
        _show(new, as_json=options.json, with_header=False)
        seen.update((_identity(record), None) for record in new)
        while len(seen) > _FOLLOW_REMEMBERED:
            seen.popitem(last=False)


def _identity(record: Record) -> tuple[object, ...]:
    if "boot" in record:
        return record["boot"], record.get("seq")
    return record.get("_time"), record.get("_stream_id"), record.get("_msg")


def _show(records: Sequence[Record], *, as_json: bool, with_header: bool) -> None:
    if as_json:
        lines = "\n".join(msgspec.json.encode(record).decode() for record in records)
    else:
        lines = _table.rows(records) if with_header else "\n".join(map(_table.row, records))
    if lines:
        print(lines, flush=True)


if __name__ == "__main__":
    sys.exit(main())
