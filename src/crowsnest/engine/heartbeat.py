"""A file whose modification time says when the engine last processed bars; the container's health check reads it."""

from __future__ import annotations

import time
from pathlib import Path


class Heartbeat:
    """Touches a file, at most once a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0.0

    def beat(self) -> None:
        """Say that bars were processed just now.

        Raises:
            OSError: the file cannot be written; the engine would be taken for dead, so it may as well say why.
        """
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 1.0
            self._path.touch()


def age_seconds(path: Path) -> float | None:
    """Seconds since the last beat, or None without one."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None
