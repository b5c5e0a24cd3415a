"""Notes to the operator, and how deep this thread is inside this package, so that alerts cannot feed on themselves."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Final

_INTERVAL_SECONDS: Final = 60.0
_next: dict[str, float] = {}


class _Nesting(threading.local):
    depth = 0
    """Above 0 while an alert is being logged or delivered on this thread."""


nesting = _Nesting()


def note(topic: str, text: str) -> None:
    """Write a line to file descriptor 2, at most once a minute a topic.

    Not by `logging`, which may lead here, nor by `sys.stderr`, whose lock is fatal to a daemon thread at interpreter exit.
    """
    now = time.monotonic()
    if now >= _next.get(topic, 0.0):
        _next[topic] = now + _INTERVAL_SECONDS
        with contextlib.suppress(OSError):
            os.write(2, f"crowsnest.alerts: {text}\n".encode("utf-8", "replace"))
