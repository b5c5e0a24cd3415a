"""`VictoriaLogsHandler`: the `logging.Handler` of a trading process."""

# ruff: noqa: BLE001 - nothing may be raised into a trading thread
from __future__ import annotations

import contextlib
import logging
import os
import sys
import weakref
from _thread import get_ident
from collections import Counter
from collections.abc import Mapping, Sequence

from crowsnest.logs._buffer import RecordBuffer
from crowsnest.logs._capture import SEEN_ATTRIBUTE, capture
from crowsnest.logs._contract import (
    DEFAULT_STREAM_FIELDS,
    DEFAULT_VICTORIALOGS_URL,
    NEVER_STREAM_FIELDS,
    VICTORIALOGS_URL_VARIABLE,
)
from crowsnest.logs._encode import LineEncoder, origin_fields
from crowsnest.logs._health import health
from crowsnest.logs._ledger import DropReason, HandlerStats
from crowsnest.logs._nesting import TooDeepError, sending_threads
from crowsnest.logs._sender import BATCH_MAX_BYTES, Sender
from crowsnest.logs._transport import JsonLineTransport


class VictoriaLogsHandler(logging.Handler):
    """Sends records to VictoriaLogs from a background thread.

    A logging call costs microseconds, whatever the server does: it encodes the record and puts it into a bounded
    queue, where the oldest records make room when the server is away for long. Nothing raises out of `handle` or
    `emit`. Every accepted record is delivered or counted as dropped with a reason; see `stats`.

    The thread starts with the first record. A forked child starts with an empty queue and its own `boot`; the
    parent's records stay with the parent. At interpreter exit `logging.shutdown` calls `close`. A process that ends
    by `os._exit` should call `drain(timeout_seconds)` before.

    Args:
        victorialogs_url: base URL; by default `VICTORIALOGS_URL`, else `http://victorialogs` on its usual port.
        stream_fields: the fields that make a stream in VictoriaLogs; few values each.
        extra_fields: fields put on every record, unless the record has its own.
        max_records: most records queued.
        max_bytes: most bytes queued (encoded records and their bookkeeping).
        flush_interval_seconds: longest time a record waits before it is sent; sooner once half a batch waits.
        batch_max_records: most records in one request.
        connect_timeout_seconds: longest wait for a connection, on the background thread.
        request_timeout_seconds: longest wait for the answer to a request, on the background thread.
        close_timeout_seconds: longest time `close` spends on delivering what is left.

    Raises:
        ValueError: an argument is out of range, the URL is not usable, or a stream field has a value per record.
    """

    def __init__(
        self,
        victorialogs_url: str | None = None,
        stream_fields: Sequence[str] = DEFAULT_STREAM_FIELDS,
        extra_fields: Mapping[str, object] | None = None,
        *,
        max_records: int = 10_000,
        max_bytes: int = 16 * 1024 * 1024,
        flush_interval_seconds: float = 0.5,
        batch_max_records: int = 1_000,
        connect_timeout_seconds: float = 2.0,
        request_timeout_seconds: float = 5.0,
        close_timeout_seconds: float = 2.0,
    ) -> None:
        super().__init__()
        _check_positive(
            max_records=max_records,
            max_bytes=max_bytes,
            flush_interval_seconds=flush_interval_seconds,
            batch_max_records=batch_max_records,
            connect_timeout_seconds=connect_timeout_seconds,
            request_timeout_seconds=request_timeout_seconds,
            close_timeout_seconds=close_timeout_seconds,
        )
        _check_stream_fields(stream_fields)
        self._url = victorialogs_url or os.environ.get(VICTORIALOGS_URL_VARIABLE) or DEFAULT_VICTORIALOGS_URL
        self._stream_fields = tuple(stream_fields)
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._flush_interval_seconds = flush_interval_seconds
        self._batch_max_records = batch_max_records
        self._connect_timeout_seconds = connect_timeout_seconds
        self._request_timeout_seconds = request_timeout_seconds
        self._close_timeout_seconds = close_timeout_seconds
        self._extra_fields = dict(extra_fields or {})
        self._closed_by_user = False
        self._forgetter: weakref.finalize[..., VictoriaLogsHandler] | None = None
        self._open()
        handlers.add(self)

    def _open(self) -> None:
        """Make the parts that belong to one process: ledger, queue, connection and thread."""
        boot = os.urandom(8).hex()
        transport = JsonLineTransport(
            self._url,
            stream_fields=self._stream_fields,
            connect_timeout_seconds=self._connect_timeout_seconds,
            request_timeout_seconds=self._request_timeout_seconds,
        )
        self._buffer = RecordBuffer(
            boot=boot,
            max_records=self._max_records,
            max_bytes=self._max_bytes,
            wake_records=max(1, min(self._batch_max_records, self._max_records) // 2),
            wake_bytes=min(BATCH_MAX_BYTES, self._max_bytes) // 2,
        )
        self._idle = True
        if self._forgetter is not None:
            self._forgetter.detach()
        self._sender = Sender(
            self._buffer,
            transport,
            LineEncoder(self._extra_fields),
            flush_interval_seconds=self._flush_interval_seconds,
            batch_max_records=self._batch_max_records,
        )

        self._forgetter = weakref.finalize(self, _forget, self._sender)
        self._forgetter.atexit = False

    @property
    def boot(self) -> str:
        """Identity of this handler in this process; `(boot, seq)` names a record uniquely."""
        return self._buffer.boot

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed_by_user

    @property
    def is_busy(self) -> bool:
        """Whether some thread is putting a record into the queue or taking some out."""
        return self._buffer.is_busy

    @property
    def queue_share(self) -> float:
        """How full the queue is, 0 to 1, by records or bytes, whichever is more."""
        stats = self.stats()
        return max(stats.queued / self._max_records, stats.queued_bytes / self._max_bytes)

    def handle(self, record: logging.LogRecord) -> bool:
        """Filter and emit, without the handler's lock: the queue has its own, held for a shorter time."""
        if self.filters:
            try:
                verdict: object = self.filter(record)
            except Exception:
                self._buffer.refuse(DropReason.FILTER_ERROR)
                return False
            if not verdict:
                return False
            # since Python 3.12 a filter may return another record to use instead
            if isinstance(verdict, logging.LogRecord):
                record = verdict
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record, unless this handler already took it; never raises.

        A handler that is set on a logger and on an ancestor of it is offered each record twice.
        """
        attributes = record.__dict__
        buffer = self._buffer
        boot = buffer.boot
        seen: tuple[str | int, ...] = ()
        try:
            if SEEN_ATTRIBUTE in attributes:
                seen = attributes[SEEN_ATTRIBUTE]
                if boot in seen:
                    return
            name, levelno = record.name, record.levelno
            if type(levelno) is not int or type(name) is not str:
                name, levelno = origin_fields(record)
            if sending_threads and get_ident() in sending_threads:
                seq = buffer.refuse(DropReason.RECURSION)
            else:
                seq = buffer.put(name, levelno, capture(record))
            attributes[SEEN_ATTRIBUTE] = (*seen, boot, seq) if seen else (boot, seq)
            if self._idle:
                self._start()
            if buffer.wake_due:
                buffer.wake_due = False
                self._sender.wake()
        except TooDeepError:
            buffer.refuse(DropReason.RECURSION)
        except Exception as error:  # out of memory at most; a trading thread must not learn of it here
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        with contextlib.suppress(Exception):
            self._buffer.refuse(DropReason.ENCODE)
            self._sender.note("emit", f"record not queued: {type(error).__name__}: {error}")

    def _start(self) -> None:
        self._sender.start()
        self._idle = not self._sender.is_running
        # A child of multiprocessing leaves by os._exit, which runs no atexit hooks, only its own finalizers.
        process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
        if process is not None and util is not None and process.parent_process() is not None:
            util.Finalize(self, self.close, exitpriority=0)

    def flush(self) -> None:
        """Ask for sending now, without waiting; `logging.shutdown` and others call this in the caller's thread."""
        self._sender.flush()

    def drain(self, timeout_seconds: float) -> bool:
        """Send now, and wait up to `timeout_seconds` until all records logged before are settled.

        Returns:
            Whether they are: delivered, or dropped and counted.
        """
        return self._sender.drain(timeout_seconds)

    def close(self) -> None:
        """Deliver what is queued, for at most `close_timeout_seconds`; count the rest as dropped (`shutdown`).

        Records logged afterwards are counted as dropped, too. Calling it again has no effect.
        """
        if not self._closed_by_user:
            self._closed_by_user = True
            self._buffer.seal()
            self._sender.stop(self._close_timeout_seconds)
            if left := self._buffer.abandon():
                self._sender.note("shutdown", f"closed with {left} records not acknowledged by the server")
        super().close()

    def stats(self) -> HandlerStats:
        """A consistent snapshot of the ledger."""
        return self._sender.stats()

    def health(self) -> dict[str, object]:
        """State and ledger for a health endpoint, see `crowsnest.logs.health`."""
        return health(self)

    def _after_fork_in_child(self) -> None:
        self._open()
        if self._closed_by_user:
            self._buffer.abandon()


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}")


def _check_stream_fields(names: Sequence[str]) -> None:
    if isinstance(names, str) or not names:
        raise ValueError("stream_fields must be a non-empty sequence of field names")
    for name in names:
        if name in NEVER_STREAM_FIELDS:
            raise ValueError(f"{name!r} must not be a stream field: it has too many values")
        if not name or "," in name:
            raise ValueError(f"not a stream field name: {name!r}")


_LEDGER_NAMES = ("accepted", "delivered", "gap_records", "requests", "failed_requests")

handlers: weakref.WeakSet[VictoriaLogsHandler] = weakref.WeakSet()
"""Every handler of this process that is still referenced."""

_forgotten: Counter[str] = Counter()
"""Sum of the ledgers of handlers that are not."""


def _totals(stats: HandlerStats) -> Counter[str]:
    totals = Counter({name: int(getattr(stats, name)) for name in _LEDGER_NAMES})
    totals.update({f"dropped_{reason}": count for reason, count in stats.dropped.items()})
    return totals


def _forget(sender: Sender) -> None:
    sender.abandon()
    _forgotten.update(_totals(sender.stats()))


def ledger_of_process() -> dict[str, float]:
    """The ledgers of all handlers this process has had, added up; waiting records are those of the handlers it has."""
    totals = Counter(_forgotten)
    waiting = {"queued": 0.0, "queued_bytes": 0.0, "in_flight": 0.0, "residual": 0.0, "undelivered_seconds": 0.0}
    for handler in list(handlers):
        stats = handler.stats()
        totals.update(_totals(stats))
        for name in ("queued", "queued_bytes", "in_flight", "residual"):
            waiting[name] += getattr(stats, name)
        waiting["undelivered_seconds"] = max(waiting["undelivered_seconds"], stats.undelivered_seconds)
    return {**{f"dropped_{reason}": 0 for reason in DropReason}, **dict.fromkeys(_LEDGER_NAMES, 0), **totals, **waiting}


def _reopen_after_fork() -> None:
    sending_threads.clear()
    _forgotten.clear()
    for handler in list(handlers):
        with contextlib.suppress(Exception):  # a fork must succeed, whatever becomes of logging
            handler._after_fork_in_child()  # noqa: SLF001 - same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reopen_after_fork)
