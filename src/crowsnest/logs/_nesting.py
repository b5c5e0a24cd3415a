"""How deep the current thread is inside this library, so that logging can never feed on itself."""

from __future__ import annotations

import threading
from typing import Final

MAX_DEPTH: Final = 4
"""How deep logging inside logging may go (a `__repr__` that logs, a signal handler); deeper is endless recursion."""


class _Nesting(threading.local):
    depth = 0
    """`emit` calls in progress on this thread; `MAX_DEPTH` while it sends (a record of sending would cause more)."""


nesting = _Nesting()
