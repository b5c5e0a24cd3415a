"""A log file in segments whose names are never used twice, so that no reader can mistake one for another.

The usual rotation renames: ``trader.logs`` becomes ``trader.logs.1`` and a new ``trader.logs`` begins. Who has noted how far
he has read in ``trader.logs`` then starts in the middle of another file, and who is told of the new file before he has read
the end of the old one leaves that end out. Here ``trader.logs`` is a link to the segment that is written, for people and for
the source's way of reading, and segments are ``trader.logs.20261121T233000.123456Z`` and so on.
"""

from __future__ import annotations

import datetime as dt
import errno
import logging
import os
from pathlib import Path

_LINE = "\n"


class SegmentedFileHandler(logging.Handler):
    """Writes each record with one call to the system, to a file that is open for appending.

    A line that only got half onto a full disk ends its segment, so that no whole line is ever behind half of one. What cannot
    be written is counted in ``lost`` and never raised: who logs goes on.

    Args:
        path: the link to the segment that is written; the segments stand beside it.
        segment_bytes: size at which a new segment is begun.
        segments: segments that are kept; the oldest go.
    """

    def __init__(self, path: Path, *, segment_bytes: int, segments: int) -> None:
        super().__init__()
        self._path = path
        self._segment_bytes = segment_bytes
        self._segments = segments
        self._descriptor: int | None = None
        self._size = 0
        self.lost = 0
        self._begin()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._write((self.format(record) + _LINE).encode())
        except OSError:
            self.lost += 1
        except Exception:  # noqa: BLE001 - a record that cannot be formatted is logging's own affair
            self.handleError(record)

    def close(self) -> None:
        """Close the segment."""
        self.acquire()
        try:
            self._close()
        finally:
            self.release()
        super().close()

    def _write(self, line: bytes) -> None:
        if self._descriptor is None or self._size >= self._segment_bytes:
            self._begin()
        assert self._descriptor is not None  # noqa: S101 - `_begin` opened it or raised
        written = os.write(self._descriptor, line)
        self._size += written
        if written < len(line):
            self._close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _begin(self) -> None:
        self._close()
        self._keep_an_ordinary_file()
        segment = self._new_name()
        self._descriptor = os.open(segment, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        self._size = 0
        self._point_at(segment)
        for old in segments_of(self._path)[: -self._segments]:
            old.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _new_name(self) -> Path:
        return self._path.with_name(f"{self._path.name}.{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}")

    def _point_at(self, segment: Path) -> None:
        # The name begins with a dot: who looks for segments must not find it.
        draft = self._path.with_name(f".{self._path.name}.new")
        draft.unlink(missing_ok=True)
        draft.symlink_to(segment.name)
        draft.replace(self._path)

    def _keep_an_ordinary_file(self) -> None:
        """A file that another program left under the link's name becomes a segment: its lines are not lost."""
        if self._path.is_file() and not self._path.is_symlink():
            self._path.rename(self._new_name())


def segments_of(path: Path) -> list[Path]:
    """The segments of a log file, oldest first."""
    return sorted(path.parent.glob(f"{path.name}.*Z"))
