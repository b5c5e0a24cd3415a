"""How deep the current thread is inside this library, so that logging can never feed on itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

MAX_DEPTH: Final = 4
"""How deep logging inside logging may go (a `__repr__` that logs); deeper is endless recursion."""

sending_threads: Final[set[int]] = set()
"""Identities of the threads that are sending now. A record logged there would cause more of its kind."""


class TooDeepError(Exception):
    """Code of the user, run to make a record, logged a record that runs it again, and so on."""


class _Nesting(threading.local):
    depth = 0


_nesting = _Nesting()


@contextlib.contextmanager
def user_code() -> Iterator[None]:
    """Run code of the user (`__str__`, `__repr__`), which may itself log.

    Raises:
        TooDeepError: it does so without end.
    """
    depth = _nesting.depth
    if depth >= MAX_DEPTH:
        raise TooDeepError
    _nesting.depth = depth + 1
    try:
        yield
    finally:
        _nesting.depth = depth
