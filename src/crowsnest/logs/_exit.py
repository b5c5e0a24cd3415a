"""Ends of a process that no `atexit` hook sees: SIGTERM, and the handlers that live when it comes."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crowsnest.logs._handler import VictoriaLogsHandler

_RETRY_SECONDS = 0.005
_MAX_RETRIES = 100


def drain_on_sigterm(timeout_seconds: float = 2.0) -> None:
    """On SIGTERM deliver what every handler of the process has queued, then do what would have been done without this.

    By default SIGTERM ends Python at once: no `atexit` hook runs and every queued record is lost. An earlier handler
    is called after the records are sent; without one the process dies of the signal, as its parent expects. A
    process that ignores SIGTERM goes on ignoring it. Forked children inherit this. Python runs signal handlers on the
    main thread between two of its instructions, so a main thread that is held by foreign code delays it.

    Args:
        timeout_seconds: longest time for delivery, all handlers together.

    Raises:
        ValueError: not called on the main thread.
    """
    previous = signal.getsignal(signal.SIGTERM)
    if previous is signal.SIG_IGN or getattr(previous, "drains_crowsnest_logs", False):
        return
    retries = 0

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        nonlocal retries
        handlers = live_handlers()
        if any(handler.is_busy for handler in handlers) and retries < _MAX_RETRIES:
            # The signal may have come while this very thread was queueing a record, which must be finished first.
            retries += 1
            _thread.start_new_thread(_send_again, (number,))
            return
        deadline = time.monotonic() + timeout_seconds
        for handler in handlers:
            handler.flush()
        for handler in handlers:
            with contextlib.suppress(Exception):
                handler.drain(max(0.0, deadline - time.monotonic()))
        if callable(previous):
            previous(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    on_sigterm.drains_crowsnest_logs = True  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, on_sigterm)


def _send_again(number: int) -> None:
    time.sleep(_RETRY_SECONDS)
    signal.pthread_kill(threading.main_thread().ident or 0, number)


def live_handlers() -> list[VictoriaLogsHandler]:
    """The handlers of this process that are not closed."""
    from crowsnest.logs._handler import handlers

    return [handler for handler in list(handlers) if not handler.is_closed]
