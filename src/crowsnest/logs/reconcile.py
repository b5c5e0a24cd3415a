"""Compare a log file with VictoriaLogs and fill in exactly the records that the store lacks.

The files (the current one and its rotated generations, plain and gzip) are read twice, line by line: once to note
which `(boot, seq)` there are, and again to send those that the store does not have. In memory is one bit a record, and
one batch.

A record that a running process still has in its queue is missing, too, and on its way. Records younger than
`settle_seconds` are therefore left for the next run, and what is missing is looked up again after that time before
anything is sent.
"""

from __future__ import annotations

import fcntl
import gzip
import http.client
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final, cast
from urllib.parse import urlencode, urlsplit

import msgspec

from crowsnest.logs._contract import DEFAULT_STREAM_FIELDS, MAX_LINE_BYTES, MESSAGE_FIELD, TIME_FIELD
from crowsnest.logs._seqset import SeqSet

_NANOSECONDS: Final = 1_000_000_000
_MARGIN_NS: Final = 60 * _NANOSECONDS
_SLICE_RECORDS = 50_000
"""Records asked for in one query: each stays far below the server's time limit for a query."""
_BATCH_RECORDS = 1_000
_BATCH_BYTES = 1024 * 1024
_MAX_ANSWER_LINE = 64 * 1024
_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.2
# Inserted records become visible to queries about a second later.
_VISIBLE_POLL_SECONDS = 0.25
_SHOWN_RANGES = 20
_MAX_LISTINGS = 5
_BOOT = re.compile(r"[0-9A-Za-z_.-]{1,128}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_FLAG = re.compile(r'^-retentionPeriod="([^"]+)"', re.MULTILINE)
_ROTATED = re.compile(r"[-.](\d[\dT:Z-]*(?:\.\d+Z)?)(\.gz)?")


class ReconcileError(Exception):
    """The comparison or the repair could not be done; the text says why in one line."""


@dataclass(frozen=True, slots=True)
class ReconcileOptions:
    """What to compare, and how carefully.

    Attributes:
        file: the current log file; its rotated generations beside it are read, too.
        url: base URL of VictoriaLogs.
        boot: only the records of this boot.
        since_ns: only records from this time on, ns since the epoch.
        dry_run: compare and report, send nothing.
        settle_seconds: how long a record may be on its way.
        max_records_per_second: most records sent in a second.
        retention_seconds: how long the store keeps records; None asks the store.
        visible_seconds: how long to wait until sent records are found.
        stream_fields: the fields that make a stream; as the handler has them.
    """

    file: Path
    url: str
    boot: str | None = None
    since_ns: int | None = None
    dry_run: bool = False
    settle_seconds: float = 15.0
    max_records_per_second: float = 5_000.0
    retention_seconds: float | None = None
    visible_seconds: float = 30.0
    stream_fields: Sequence[str] = DEFAULT_STREAM_FIELDS


@dataclass(slots=True)
class BootReport:
    """One boot's records."""

    boot: str
    in_file: int = 0
    in_store: int = 0
    """Of those in the file, how many the store had at first."""
    missing: int = 0
    missing_ranges: list[tuple[int, int]] = field(default_factory=list)
    """The first missing runs, as first and last `seq`."""
    backfilled: int = 0
    still_missing: int = 0
    duplicates_in_store: int = 0
    """Copies beyond the first that the store has of records of the file; harmless, and left alone."""


@dataclass(slots=True)
class ReconcileReport:
    """The outcome; `as_dict` is what `--json` prints."""

    files: int = 0
    lines: int = 0
    records: int = 0
    """Distinct records compared."""
    duplicates_in_file: int = 0
    without_identity: int = 0
    """Lines without `boot` and `seq`: logged without VictoriaLogs, or not by `configure_logging`."""
    unreadable: int = 0
    """Lines that are not JSON of the expected form, or too long to be a record."""
    truncated: int = 0
    """Last lines that do not end: a process was killed, or is just writing."""
    damaged_files: list[str] = field(default_factory=list)
    too_recent: int = 0
    older_than_retention: int = 0
    """Records that the store no longer takes; they count as neither missing nor present."""
    too_large: int = 0
    """Missing records whose line is longer than VictoriaLogs takes."""
    missing: int = 0
    backfilled: int = 0
    still_missing: int = 0
    duplicates_in_store: int = 0
    boots: list[BootReport] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 when nothing is missing (any more) and every file could be read, else 1."""
        return 1 if self.still_missing or self.damaged_files else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


class _Head(msgspec.Struct):
    """What pass one needs of a line."""

    boot: str | None = None
    seq: int | None = None
    time: str | None = msgspec.field(name="_time", default=None)
    timestamp: str | None = None


@dataclass(slots=True)
class _Boot:
    report: BootReport
    in_file: SeqSet = field(default_factory=SeqSet)
    in_store: SeqSet = field(default_factory=SeqSet)
    first_ns: int = 0
    last_ns: int = 0
    marks_ns: list[int] = field(default_factory=list)
    """Times that cut the boot's records into slices."""

    def note(self, seq: int, time_ns: int) -> bool:
        if not self.in_file.add(seq):
            return False
        self.first_ns = min(self.first_ns or time_ns, time_ns)
        self.last_ns = max(self.last_ns, time_ns)
        if len(self.in_file) % _SLICE_RECORDS == 0:
            self.marks_ns.append(time_ns)
        return True

    def slices(self) -> Iterator[tuple[int, int]]:
        """Ranges of time, from (inclusive) and to (exclusive), that cover every record of the boot together.

        The file's time is a little above the store's (see `Stamp`), hence the margin.
        """
        marks = sorted({self.first_ns - _MARGIN_NS, *self.marks_ns, self.last_ns + _MARGIN_NS})
        yield from pairwise(marks)


def reconcile(options: ReconcileOptions, say: Callable[[str], object] = str) -> ReconcileReport:
    """Compare, fill in what is missing, and look again; `say` is given a line of progress, if there is any.

    Raises:
        ReconcileError: the store cannot be asked, or another run is at work on the same folder.
        FileNotFoundError: neither the file nor a rotated generation of it exists.
        ValueError: the URL is not usable.
    """
    store = _Store(options.url, options.stream_fields)
    with _alone(options.file):
        return _Run(options, store, say).run()


class _Run:
    """One reconciliation."""

    def __init__(self, options: ReconcileOptions, store: _Store, say: Callable[[str], object]) -> None:
        self._options = options
        self._store = store
        self._say = say
        self._report = ReconcileReport()
        self._boots: dict[str, _Boot] = {}
        now_ns = time.time_ns()
        self._newest_ns = now_ns - int(options.settle_seconds * _NANOSECONDS)
        self._oldest_ns = 0

    def run(self) -> ReconcileReport:
        self._oldest_ns = self._retained_from_ns()
        self._read_files()
        for boot in self._boots.values():
            boot.report.in_file = len(boot.in_file)
            boot.report.duplicates_in_store = self._look_up(boot)
            boot.report.in_store = len(boot.in_store)
        missing = self._missing()
        if missing and self._options.settle_seconds > 0 and not self._options.dry_run:
            self._say(f"{_total(missing)} records missing; looking again in {self._options.settle_seconds:g} s")
            time.sleep(self._options.settle_seconds)
            for name in missing:
                self._look_up(self._boots[name])
            missing = self._missing()
        for name, seqs in missing.items():
            report = self._boots[name].report
            report.missing = report.still_missing = len(seqs)
            report.missing_ranges = seqs.ranges(_SHOWN_RANGES)
        if missing and not self._options.dry_run:
            self._backfill(missing)
            self._verify(list(missing))
        return self._summed_up()

    def _retained_from_ns(self) -> int:
        seconds = self._options.retention_seconds
        if seconds is None:
            seconds = self._store.retention_seconds()
        # A record that leaves the store while this runs is not missing.
        return 0 if seconds is None else time.time_ns() - int((seconds - 60) * _NANOSECONDS)

    def _read_files(self) -> None:
        """Pass one: note every record of every file."""
        for line in _lines(self._options.file, self._report):
            self._report.lines += 1
            try:
                head = msgspec.json.decode(line, type=_Head)
                time_ns = _time_ns(head.time or head.timestamp or "")
            except (msgspec.DecodeError, ValueError):
                self._report.unreadable += 1
                continue
            if head.boot is None or head.seq is None:
                self._report.without_identity += 1
            elif not _BOOT.fullmatch(head.boot) or head.seq < 0:
                self._report.unreadable += 1
            elif self._is_wanted(head.boot, time_ns):
                boot = self._boots.get(head.boot)
                if boot is None:
                    boot = self._boots[head.boot] = _Boot(BootReport(head.boot))
                if not boot.note(head.seq, time_ns):
                    self._report.duplicates_in_file += 1

    def _is_wanted(self, boot: str, time_ns: int) -> bool:
        options = self._options
        if (options.boot is not None and boot != options.boot) or (options.since_ns is not None and time_ns < options.since_ns):
            return False
        if time_ns < self._oldest_ns:
            self._report.older_than_retention += 1
            return False
        if time_ns > self._newest_ns:
            self._report.too_recent += 1
            return False
        return True

    def _look_up(self, boot: _Boot) -> int:
        """Note what the store has of a boot; return how many copies too many."""
        copies = 0
        seen = SeqSet()
        for start_ns, end_ns in boot.slices():
            for seq in self._store.seqs(boot.report.boot, start_ns, end_ns):
                if seq in boot.in_file:
                    copies += not seen.add(seq)
        boot.in_store = seen
        return copies

    def _missing(self) -> dict[str, SeqSet]:
        found = {name: boot.in_file.without(boot.in_store) for name, boot in self._boots.items()}
        return {name: seqs for name, seqs in found.items() if seqs}

    def _backfill(self, missing: dict[str, SeqSet]) -> None:
        """Pass two: send the missing records as the files hold them."""
        pace = _Pace(self._options.max_records_per_second)
        batch: list[bytes] = []
        size = 0
        for line in _lines(self._options.file, ReconcileReport()):
            try:
                record = msgspec.json.decode(line, type=dict[str, Any])
                boot, seq = record["boot"], record["seq"]
                if boot not in missing or not missing[boot].discard(seq):
                    continue
            except (msgspec.DecodeError, KeyError, TypeError):
                continue
            body = msgspec.json.encode(store_record(record)) + b"\n"
            if len(body) > MAX_LINE_BYTES:
                self._report.too_large += 1
                continue
            if batch and (len(batch) >= _BATCH_RECORDS or size + len(body) > _BATCH_BYTES):
                self._store.insert(batch)
                pace.wait(len(batch))
                batch, size = [], 0
            batch.append(body)
            size += len(body)
        if batch:
            self._store.insert(batch)

    def _verify(self, names: list[str]) -> None:
        """Look until what was sent is found; a 2xx is not proof of storage."""
        deadline = time.monotonic() + self._options.visible_seconds
        while True:
            for name in names:
                boot = self._boots[name]
                boot.report.duplicates_in_store = self._look_up(boot)
                boot.report.still_missing = len(boot.in_file.without(boot.in_store))
                boot.report.backfilled = boot.report.missing - boot.report.still_missing
            names = [name for name in names if self._boots[name].report.still_missing]
            expected = sum(self._boots[name].report.still_missing for name in names)
            if expected <= self._report.too_large or time.monotonic() >= deadline:
                return
            time.sleep(_VISIBLE_POLL_SECONDS)

    def _summed_up(self) -> ReconcileReport:
        report = self._report
        report.boots = [boot.report for boot in self._boots.values()]
        report.records = sum(boot.in_file for boot in report.boots)
        for name in ("missing", "backfilled", "still_missing", "duplicates_in_store"):
            setattr(report, name, sum(getattr(boot, name) for boot in report.boots))
        return report


def store_record(line: dict[str, Any]) -> dict[str, Any]:
    """The record that the handler sent, or would have sent, for a line of the file.

    >>> store_record({"event": "filled", "timestamp": "2026-01-21T22:16:38Z", "level": "info"})
    {'_time': '2026-01-21T22:16:38Z', 'level': 'INFO', '_msg': 'filled'}
    """
    record = dict(line)
    timestamp = record.pop("timestamp", "")
    done: dict[str, Any] = {TIME_FIELD: record.pop(TIME_FIELD, None) or timestamp}
    message = record.pop("event", "")
    for name, stored_as in (("exception", "error_traceback"), ("stack", "stack_info")):
        if name in record:
            record[stored_as] = record.pop(name)
    if isinstance(level := record.get("level"), str):
        record["level"] = level.upper()
    return {**done, **record, MESSAGE_FIELD: message}


def files_of(path: Path) -> list[Path]:
    """`path` and its rotated generations, oldest first; a plain file hides its own `.gz`.

    Besides this library's names, those of logrotate and of `logging.handlers` are known (`.1`, `.2.gz`, `-20260121`).
    """
    names: dict[str, Path] = {}
    folder = path.parent
    if folder.is_dir():
        for name in sorted(entry.name for entry in os.scandir(folder)):
            match = _ROTATED.fullmatch(name[len(path.name) :]) if name.startswith(path.name) else None
            if match and not (match[2] and match[1] in names):
                names[match[1]] = folder / name

    def age(stamp: str) -> tuple[int, int, str]:
        return (1, -int(stamp), "") if stamp.isdigit() and len(stamp) < 8 else (0, 0, stamp)

    found = [names[stamp] for stamp in sorted(names, key=age)]
    return [*found, path] if path.is_file() else found


def _lines(path: Path, report: ReconcileReport) -> Iterator[bytes]:
    """Every whole line of every file; files that are rotated meanwhile are not missed."""
    done: set[tuple[int, int] | str] = set()
    for _ in range(_MAX_LISTINGS):
        fresh = [file for file in files_of(path) if not done & _marks(path, file)]
        if not fresh:
            break
        for file in fresh:
            marks = _marks(path, file)
            if done & marks:
                continue
            try:
                with _open(file) as stream:
                    done |= marks
                    report.files += 1
                    yield from _lines_of(stream, report)
            except FileNotFoundError:  # compressed or removed since it was listed
                continue
            except (OSError, EOFError, zlib.error) as error:
                report.damaged_files.append(f"{file.name}: {error}")
                done |= marks
    if not done:
        raise FileNotFoundError(f"no such log file: {path}")


def _marks(path: Path, file: Path) -> set[tuple[int, int] | str]:
    """What a file is known by: its inode, which a rename keeps; and its generation, which compression keeps."""
    marks: set[tuple[int, int] | str] = set()
    try:
        status = file.stat()
        marks.add((status.st_dev, status.st_ino))
    except FileNotFoundError:
        pass
    if file != path and not re.fullmatch(r".*\.\d{1,7}(\.gz)?", file.name):
        marks.add(file.name.removesuffix(".gz"))
    return marks


def _open(file: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file, "rb")) if file.suffix == ".gz" else file.open("rb")


def _lines_of(stream: IO[bytes], report: ReconcileReport) -> Iterator[bytes]:
    limit = 4 * MAX_LINE_BYTES
    skipping = False
    while line := stream.readline(limit):
        whole = line.endswith(b"\n")
        if skipping or (not whole and len(line) >= limit):
            if not skipping:
                report.lines += 1
                report.unreadable += 1
            skipping = not whole
        elif not whole:
            report.truncated += 1
        elif line.strip():
            yield line


class _Pace:
    """Keeps to a rate, on the average."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._begun = time.monotonic()
        self._count = 0

    def wait(self, count: int) -> None:
        self._count += count
        due = self._begun + self._count / self._per_second
        time.sleep(max(0.0, due - time.monotonic()))


class _Store:
    """VictoriaLogs, as far as this module needs it."""

    def __init__(self, url: str, stream_fields: Sequence[str], timeout_seconds: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"the URL must look like http://host:port, got {url!r}")
        if parts.username or parts.password:
            raise ValueError("the URL must not carry credentials")
        self._url = url
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._address = parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._timeout_seconds = timeout_seconds
        names = {"_stream_fields": ",".join(stream_fields), "_msg_field": MESSAGE_FIELD, "_time_field": TIME_FIELD}
        self._insert_target = f"/insert/jsonline?{urlencode(names, safe=',')}"

    def retention_seconds(self) -> float | None:
        """How long the store keeps records; None when it does not say (a proxy is in front, for example)."""
        try:
            with self._request("GET", "/flags") as response:
                match = _FLAG.search(response.read(_BATCH_BYTES).decode("utf-8", "replace"))
            return duration_seconds(match[1]) if match else None
        except (ReconcileError, ValueError):
            return None

    def seqs(self, boot: str, start_ns: int, end_ns: int) -> Iterator[int]:
        """`seq` of every record of `boot` in a range of time, as often as it is stored, in no order."""
        query = f'_time:[{rfc3339(start_ns)}, {rfc3339(end_ns)}) boot:="{boot}" | fields seq'
        form = urlencode({"query": query, "timeout": f"{self._timeout_seconds:g}s"})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        with self._request("POST", "/select/logsql/query", form.encode(), headers) as response:
            while line := response.readline(_MAX_ANSWER_LINE):
                try:
                    yield int(msgspec.json.decode(line)["seq"])
                except (msgspec.DecodeError, KeyError, TypeError, ValueError):
                    raise ReconcileError(f"{self._url} gave an unexpected answer to a query: {line[:200]!r}") from None

    def insert(self, lines: list[bytes]) -> None:
        """Store a batch; tries again while the server is away or busy."""
        body = gzip.compress(b"".join(lines), compresslevel=1)
        headers = {"Content-Type": "application/stream+json", "Content-Encoding": "gzip"}
        for attempt in range(_ATTEMPTS):
            try:
                with self._request("POST", self._insert_target, body, headers):
                    return
            except _Refused:
                raise
            except ReconcileError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)

    @contextmanager
    def _request(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._kind(*self._address, timeout=self._timeout_seconds)
        try:
            connection.request(method, self._base + target, body, headers or {})
            response = connection.getresponse()
            if not 200 <= response.status < 300:
                text = " ".join(response.read(2000).decode("utf-8", "replace").split())[:500]
                kind = ReconcileError if response.status in (408, 429) or response.status >= 500 else _Refused
                raise kind(f"{self._url} answered {response.status}: {text}")
            yield response
        except (OSError, http.client.HTTPException) as error:
            raise ReconcileError(f"cannot reach {self._url}: {error or type(error).__name__}") from error
        finally:
            connection.close()


class _Refused(ReconcileError):
    """The server said no; asking again would not help."""


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the folder against other runs: two would send the same records."""
    try:
        fd = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"no such log file: {path}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ReconcileError(f"another run is at work in {path.parent}") from None
    finally:
        os.close(fd)


def _total(missing: dict[str, SeqSet]) -> int:
    return sum(map(len, missing.values()))


def _time_ns(text: str) -> int:
    """RFC 3339 in UTC as ns since the epoch.

    Raises:
        ValueError: it is not.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not a time: {text!r}")
    seconds = int(datetime.fromisoformat(match[1] + "+00:00").timestamp())
    return seconds * _NANOSECONDS + int((match[2] or "").ljust(9, "0"))


def rfc3339(time_ns: int) -> str:
    """Ns since the epoch as text, to the nanosecond."""
    seconds, nanoseconds = divmod(time_ns, _NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def duration_seconds(text: str) -> float:
    """Seconds of a duration such as `90s`, `12h` or `14d`; a bare number is months, as VictoriaLogs has it.

    Raises:
        ValueError: it is not a duration.
    """
    if text.isdigit():
        return int(text) * 31 * 86_400
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a duration such as 90s, 12h or 14d: {text!r}")
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def since_ns(text: str) -> int:
    """The start of the comparison: a time in RFC 3339 (UTC), or how long ago as a duration.

    Raises:
        ValueError: it is neither.
    """
    if _TIME.fullmatch(text):
        return _time_ns(text)
    return time.time_ns() - int(duration_seconds(text) * _NANOSECONDS)


def summary(report: ReconcileReport, *, dry_run: bool) -> str:
    """The outcome as a few lines for a person."""
    rows = [
        f"{report.records} records of {len(report.boots)} boots in {report.files} files ({report.lines} lines)",
        f"missing in the store: {report.missing}"
        + ("" if dry_run else f", backfilled: {report.backfilled}, still missing: {report.still_missing}"),
    ]
    for boot in report.boots:
        if boot.missing:
            ranges = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in boot.missing_ranges)
            rows.append(f"  boot {boot.boot}: {boot.missing} of {boot.in_file} missing, seq {ranges}")
    notes = {
        "duplicates in the store": report.duplicates_in_store,
        "duplicate lines": report.duplicates_in_file,
        "lines without boot and seq": report.without_identity,
        "unreadable lines": report.unreadable,
        "truncated last lines": report.truncated,
        "too recent to compare": report.too_recent,
        "older than the store's retention": report.older_than_retention,
        "too large for the store": report.too_large,
    }
    rows += [f"{name}: {count}" for name, count in notes.items() if count]
    rows += [f"damaged file: {text}" for text in report.damaged_files]
    return "\n".join(rows)
