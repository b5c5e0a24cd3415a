"""What a health endpoint says about the log pipeline of its process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crowsnest.logs._exit import live_handlers

if TYPE_CHECKING:
    from crowsnest.logs._handler import VictoriaLogsHandler

_LATE_SECONDS = 10.0
_CROWDED_SHARE = 0.8


def health(handler: VictoriaLogsHandler | None = None) -> dict[str, object]:
    """State of `handler`, or of the worst of the process's, as plain JSON types.

    `status` is `ok`; `late` when records have waited for the server for more than 10 s; `losing` when records were lost
    since the last delivery or the queue is 80 % full; `closed`; or `none` without a handler. The rest is the ledger.
    A service that is `late` or `losing` is alive: report it, and do not restart a strategy for it.
    """
    handlers = [handler] if handler is not None else live_handlers()
    if not handlers:
        return {"status": "none"}
    return max((_state(each) for each in handlers), key=lambda state: _ORDER.index(str(state["status"])))


_ORDER = ("ok", "closed", "late", "losing")


def _state(handler: VictoriaLogsHandler) -> dict[str, object]:
    stats = handler.stats()
    if handler.is_closed:
        status = "closed"
    elif stats.undelivered_seconds and handler.queue_share >= _CROWDED_SHARE:
        status = "losing"
    elif stats.undelivered_seconds > _LATE_SECONDS:
        status = "late"
    else:
        status = "ok"
    return {"status": status, "queue_share": round(handler.queue_share, 3), **stats.as_dict()}
