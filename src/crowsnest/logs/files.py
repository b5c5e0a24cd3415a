"""A log file that rotates by size, whose every line a tailer can follow and a kill cannot take away.

A line is appended with one `write` and is then the kernel's: it survives the end of the process, not that of the
machine. Rotation renames `backend.log` to `backend.log-<UTC time>` and creates a new one; nothing is truncated, copied
or renamed twice, so a tailer that holds the file reads it to its end. The newest rotated file stays plain; gzip takes
it one rotation later. A late line of another process may still land in it until then.

Handlers of several processes (or several in one) may share a file. Each looks at the path before it writes, and
rotates under `flock` of `<file>.lock`.
"""

# ruff: noqa: BLE001 - nothing may be raised into a trading thread
from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

DEFAULT_FILE: Final = Path("logs/backend.log")
FRONTEND_FILE: Final = Path("logs/frontend.log")
"""Where a user interface's server writes: `configure_logging(file=FRONTEND_FILE)`."""
DEFAULT_MAX_BYTES: Final = 100 * 1024 * 1024
DEFAULT_MAX_FILES: Final = 10

_GZIP_WBITS = 31
_CHUNK_BYTES = 256 * 1024
_NOTE_INTERVAL_SECONDS = 60.0
# This wait is on the caller's thread; when it is over the file grows past its bound, and the next line tries again.
_ROTATE_WAIT_SECONDS = 0.05
_STAMP = re.compile(r"-(\d{8}T\d{6}\.\d{6}Z)(\.gz)?")


@dataclass(frozen=True, slots=True)
class FileStats:
    """What one `RotatingFileHandler` has done."""

    path: str
    written: int
    """Lines appended."""
    failed: int
    """Lines that could not be written, or not whole (disk full, no permission)."""
    rotations: int
    last_error: str | None


def rotated_files(path: Path) -> list[Path]:
    """The rotated files of `path` that this module made, oldest first; a plain file hides its own `.gz`."""
    found: dict[str, Path] = {}
    for entry in _entries(path):
        if (match := _STAMP.fullmatch(entry.name[len(path.name) :])) and not (match[2] and match[1] in found):
            found[match[1]] = entry
    return [found[stamp] for stamp in sorted(found)]


def _entries(path: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        # by name, plain before .gz
        return sorted(path.parent / entry.name for entry in entries if entry.name.startswith(path.name + "-"))
    return []


class RotatingFileHandler(logging.Handler):
    """Appends formatted records, one a line, to a file of at most `max_bytes`; keeps `max_files`, this one included.

    A failed write is counted and told on file descriptor 2 once a minute; it raises nothing. Compression and removal
    happen on a thread of their own.

    Args:
        path: the file; its folder is made.
        max_bytes: size at which the file is rotated; a longer single line gets a file of its own.
        max_files: files kept, the current one included; at least 2.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self, path: Path | str = DEFAULT_FILE, *, max_bytes: int = DEFAULT_MAX_BYTES, max_files: int = DEFAULT_MAX_FILES
    ) -> None:
        super().__init__()
        if max_bytes < 1 or max_files < 2:
            raise ValueError(f"max_bytes must be positive and max_files at least 2, got {max_bytes} and {max_files}")
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - a program may change its folder; links stay as they are
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._fd = -1
        self._identity = (0, 0)
        self._torn = False
        self._closed_by_user = False
        self._written = self._failed = self._rotations = 0
        self._last_error: str | None = None
        self._next_note = 0.0
        with contextlib.suppress(OSError):  # told with the first record
            self.path.parent.mkdir(parents=True, exist_ok=True)
        if len(rotated_files(self.path)) > 1 or self._leftovers():  # a process was killed before it was done
            self._keep_house_later()

    def emit(self, record: logging.LogRecord) -> None:
        """Format and append; never raises."""
        try:
            text = self.format(record)
        except Exception as error:
            self._fail(error)
            return
        self.write_line(text)

    def write_line(self, text: str) -> None:
        """Append one line; never raises. Line breaks in `text` become escapes, so that it stays one."""
        line = text.replace("\r", "\\r").replace("\n", "\\n").encode("utf-8", "backslashreplace") + b"\n"
        with self._locked():
            try:
                self._append(line)
            except Exception as error:
                self._fail(error)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _append(self, line: bytes) -> None:
        if self._closed_by_user:
            raise ValueError("the handler is closed")
        status = self._current()
        if status.st_size and status.st_size + len(line) > self._max_bytes:
            with contextlib.suppress(TimeoutError):
                self._rotate(len(line))
        if self._torn:  # what an interrupted write left must not swallow this line
            line = b"\n" + line
        count = os.write(self._fd, line)
        self._torn = count < len(line)
        if self._torn:
            raise OSError(f"only {count} of {len(line)} bytes written")
        self._written += 1

    def _current(self) -> os.stat_result:
        """Status of the file at the path, which is open from here on: another process may have rotated it."""
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(self.path)  # noqa: PTH116 - once a record; Path.stat costs twice as much
            if self._fd >= 0 and (status.st_dev, status.st_ino) == self._identity:
                return status
        self._close_file()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        status = os.fstat(self._fd)
        self._identity = (status.st_dev, status.st_ino)
        self._torn = status.st_size > 0 and os.pread(self._fd, 1, status.st_size - 1) != b"\n"
        return status

    def _rotate(self, wanted_bytes: int) -> None:
        with _exclusive(self.path, ".lock", _ROTATE_WAIT_SECONDS):
            status = self._current()  # another process may have done it while this one waited
            if not status.st_size or status.st_size + wanted_bytes <= self._max_bytes:
                return
            self.path.rename(self._next_name())
            self._rotations += 1
            self._current()
        self._keep_house_later()

    def _next_name(self) -> Path:
        """A name above every other, even when the clock was set back: names tell the order."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        older = rotated_files(self.path)
        if older and (newest := older[-1].name[len(self.path.name) + 1 :].removesuffix(".gz")) >= stamp:
            after = datetime.strptime(newest, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp() + 2e-6
            stamp = datetime.fromtimestamp(after, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return self.path.with_name(f"{self.path.name}-{stamp}")

    def _keep_house_later(self) -> None:
        with contextlib.suppress(RuntimeError):  # no thread to be had: the next rotation, or process, does it
            threading.Thread(target=self._keep_house, name="crowsnest-log-files", daemon=True).start()

    def _leftovers(self) -> list[Path]:
        return [entry for entry in _entries(self.path) if entry.name.endswith(".gz.part")]

    def _keep_house(self) -> None:
        """Compress every rotated file but the newest, remove the oldest ones; one process or thread at a time."""
        try:
            with _exclusive(self.path, ".housekeeping.lock"):
                compress_and_prune(self.path, self._max_files)
        except Exception as error:
            self._note(f"log files not compressed: {type(error).__name__}: {error}")

    def _fail(self, error: Exception) -> None:
        self._failed += 1
        self._note(f"line not written to {self.path}: {type(error).__name__}: {error}")

    def _note(self, text: str) -> None:
        self._last_error = text
        if time.monotonic() >= self._next_note:
            self._next_note = time.monotonic() + _NOTE_INTERVAL_SECONDS
            with contextlib.suppress(OSError):
                os.write(2, f"crowsnest.logs: {text}\n".encode("utf-8", "backslashreplace"))

    def stats(self) -> FileStats:
        """What this handler has done so far."""
        return FileStats(str(self.path), self._written, self._failed, self._rotations, self._last_error)

    def _close_file(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def close(self) -> None:
        """Close the file; later records are counted as failed."""
        with self._locked():
            self._closed_by_user = True
            self._close_file()
        super().close()


def compress_and_prune(path: Path, max_files: int) -> None:
    """Bring the rotated files of `path` into their final state, whatever an interrupted run has left.

    Raises:
        OSError: a file could not be read, written or removed.
    """
    for entry in _entries(path):
        if entry.name.endswith(".gz.part"):
            entry.unlink(missing_ok=True)
    rotated = rotated_files(path)
    for doomed in rotated[: max(0, len(rotated) - (max_files - 1))]:
        doomed.unlink(missing_ok=True)
        doomed.with_name(doomed.name + ".gz").unlink(missing_ok=True)
    for plain in rotated_files(path)[:-1]:
        if plain.suffix != ".gz":
            _compress(plain)


def _compress(plain: Path) -> None:
    """Replace `plain` by its gzip: written aside, flushed to disk, renamed, and only then the original is removed."""
    part, done = plain.with_name(plain.name + ".gz.part"), plain.with_name(plain.name + ".gz")
    compressor = zlib.compressobj(6, zlib.DEFLATED, _GZIP_WBITS)
    with plain.open("rb") as source, part.open("wb") as target:
        while chunk := source.read(_CHUNK_BYTES):
            target.write(compressor.compress(chunk))
        target.write(compressor.flush())
        target.flush()
        os.fchmod(target.fileno(), os.fstat(source.fileno()).st_mode & 0o777)
        os.fsync(target.fileno())
    part.replace(done)
    plain.unlink()


@contextlib.contextmanager
def _exclusive(path: Path, suffix: str, wait_seconds: float = 600.0) -> Iterator[None]:
    """Hold a lock file beside `path`; the kernel lets go of it when the process dies.

    Raises:
        TimeoutError: another process or handler held it for all of `wait_seconds`.
    """
    fd = os.open(path.with_name(path.name + suffix), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    deadline = time.monotonic() + wait_seconds
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"{path}{suffix} is locked") from None
                time.sleep(0.002)
        try:
            yield
        finally:  # said outright: a child forked meanwhile has the descriptor, too, and would keep the lock
            fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        os.close(fd)
