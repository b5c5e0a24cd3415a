"""The background thread that takes batches from the buffer and gets them to VictoriaLogs.

It never logs. What an operator should know goes to file descriptor 2 directly, at most one line a minute and topic:
`sys.stderr` may be redirected into logging, and its lock is fatal to a daemon thread when the interpreter ends.
"""

# ruff: noqa: BLE001 - nothing may end the sending thread
from __future__ import annotations

import contextlib
import os
import queue
import random
import threading
import time
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from itertools import islice

from crowsnest.logs._buffer import Entry, RecordBuffer
from crowsnest.logs._encode import LineEncoder
from crowsnest.logs._ledger import DropReason, HandlerStats
from crowsnest.logs._nesting import sending_threads
from crowsnest.logs._transport import Answer, JsonLineTransport, Verdict
from crowsnest.logs._wire import LINES_PER_CALL, gzip_lines

BATCH_MAX_BYTES = 1024 * 1024
_BACKOFF_FIRST_SECONDS = 0.25
# A server that answers with trouble is given time. One that does not answer costs a connection attempt a second, and a
# low ceiling means that its outage is over for the user a second after it is over for the server.
_BACKOFF_MAX_SECONDS = 5.0
_BACKOFF_UNREACHABLE_MAX_SECONDS = 1.0
_RETRY_AFTER_MAX_SECONDS = 60.0
_NOTE_INTERVAL_SECONDS = 60.0


class _Wake(Enum):
    BATCH = auto()
    FLUSH = auto()
    STOP = auto()


class Sender:
    """Delivers what is in `buffer`; the thread starts with `start` and lives until `stop` or the end of the process."""

    def __init__(
        self,
        buffer: RecordBuffer,
        transport: JsonLineTransport,
        encoder: LineEncoder,
        *,
        flush_interval_seconds: float,
        batch_max_records: int,
    ) -> None:
        self._buffer = buffer
        self._transport = transport
        self._encoder = encoder
        self._flush_interval_seconds = flush_interval_seconds
        self._batch_max_records = batch_max_records
        # SimpleQueue.put may be re-entered from a signal handler; Event and Condition may not.
        self._wakes: queue.SimpleQueue[_Wake] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._deadline: float | None = None
        self._requests = 0
        self._failed_requests = 0
        self._last_error: str | None = None
        self._next_note: dict[str, float] = {}
        self._overflow_noted = 0
        self._trying_since: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread exists (it may be about to end)."""
        return self._thread is not None

    def start(self) -> None:
        """Start the thread unless it runs; when the system refuses one, records wait and the next call tries again."""
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None and self._deadline is None:
                thread = threading.Thread(target=self._run, name="crowsnest-logs", daemon=True)
                with contextlib.suppress(RuntimeError):  # out of threads, or the interpreter is shutting down
                    thread.start()
                    self._thread = thread
        finally:
            self._starting.release()

    def wake(self) -> None:
        """A batch is waiting: send before the interval is over."""
        self._wakes.put(_Wake.BATCH)

    def flush(self) -> None:
        """Send before the interval or the back-off is over."""
        self._wakes.put(_Wake.FLUSH)

    def drain(self, timeout_seconds: float) -> bool:
        """Flush, and wait up to `timeout_seconds` until what was logged before is settled; return whether it is."""
        target_seq = self._buffer.last_seq
        deadline = time.monotonic() + timeout_seconds
        if self._thread is None and not self._buffer.is_empty:  # a signal came between queueing and starting
            self.start()
        self.flush()
        while not (settled := self._buffer.is_settled(target_seq)) and time.monotonic() < deadline:
            time.sleep(0.002)
        return settled

    def stop(self, timeout_seconds: float) -> None:
        """Deliver what is left within `timeout_seconds` and end the thread; without a thread, deliver here."""
        self._deadline = time.monotonic() + timeout_seconds
        self._wakes.put(_Wake.STOP)
        # Waiting for a `start` in progress; it is not there when this interrupts that very call (a signal handler).
        started = self._starting.acquire(timeout=0.1)
        thread = self._thread
        if started:
            self._starting.release()
        if thread is None and started:
            self._drain_guarded()
        elif thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def abandon(self) -> None:
        """End the thread without delivering; what is left is counted as dropped (`shutdown`)."""
        self._deadline = time.monotonic()
        self._wakes.put(_Wake.STOP)
        self._buffer.abandon()

    def stats(self) -> HandlerStats:
        """The buffer's ledger with this sender's figures."""
        since = self._trying_since
        return self._buffer.stats(
            requests=self._requests,
            failed_requests=self._failed_requests,
            last_error=self._last_error,
            undelivered_seconds=0.0 if since is None else time.monotonic() - since,
        )

    def note(self, topic: str, text: str) -> None:
        """Tell the operator on file descriptor 2, at most once a minute a topic."""
        now = time.monotonic()
        if now >= self._next_note.get(topic, 0.0):
            self._next_note[topic] = now + _NOTE_INTERVAL_SECONDS
            with contextlib.suppress(OSError):
                os.write(2, f"crowsnest.logs: {text}\n".encode("utf-8", "replace"))

    def _run(self) -> None:
        while True:
            self._pause(self._flush_interval_seconds, woken_by=(_Wake.BATCH, _Wake.FLUSH, _Wake.STOP))
            self._drain_guarded()
            if self._deadline is not None and (self._buffer.is_empty or time.monotonic() >= self._deadline):
                self._transport.close()
                return

    def _drain_guarded(self) -> None:
        """`_drain`, with nothing it cannot foresee able to end the thread or to leave a record unaccounted."""
        identity = threading.get_ident()
        sending_threads.add(identity)
        try:
            self._drain()
        except Exception as error:
            self._buffer.settle(None, DropReason.SENDER_ERROR)
            self._last_error = f"{type(error).__name__}: {error}"
            self.note("sender", f"sender failed and goes on: {self._last_error}")
        finally:
            sending_threads.discard(identity)

    def _drain(self) -> None:
        """Send batches until a partial one was sent: what came after that can wait for the next interval."""
        while batch := self._buffer.take(max_records=self._batch_max_records, max_bytes=BATCH_MAX_BYTES):
            self._encode_and_deliver(batch)
            self._note_overflow()
            if len(batch) < self._batch_max_records and self._deadline is None and not self._buffer.has_gap_record:
                return

    def _encode_and_deliver(self, batch: Sequence[Entry]) -> None:
        entries: list[Entry] = []
        lines: list[bytes] = []
        payload = gzip_lines(self._encoded(batch, entries, lines))
        if entries:
            self._deliver(entries, lines, payload)

    def _encoded(self, batch: Sequence[Entry], entries: list[Entry], lines: list[bytes]) -> Iterator[list[bytes]]:
        """The lines of a batch in chunks; fills `entries` and `lines` alike, and settles records that make no line."""
        boot = self._buffer.boot
        line_of = self._encoder.line
        rest = iter(batch)
        while chunk := list(islice(rest, LINES_PER_CALL)):
            new_lines: list[bytes] = []
            for entry in chunk:
                line = line_of(entry, boot)
                if isinstance(line, DropReason):
                    self._buffer.settle([entry], line)
                else:
                    entries.append(entry)
                    new_lines.append(line)
            lines += new_lines
            yield new_lines

    def _deliver(self, entries: Sequence[Entry], lines: list[bytes], payload: bytes) -> None:
        """Post records until every one of them is settled."""
        attempt = 0
        while (left_seconds := self._left_seconds()) is None or left_seconds > 0:
            self._requests += 1
            if self._trying_since is None:
                self._trying_since = time.monotonic()
            answer = self._transport.post(payload, timeout_seconds=left_seconds)
            if answer.verdict is Verdict.DELIVERED:
                self._trying_since = None
                self._buffer.settle(entries)
                return
            self._failed_requests += 1
            self._last_error = answer.detail
            if answer.verdict is Verdict.SPLIT and len(entries) > 1:
                middle = len(entries) // 2
                for part in (slice(middle), slice(middle, None)):
                    self._deliver(entries[part], lines[part], gzip_lines([lines[part]]))
                return
            if answer.verdict is not Verdict.RETRY:
                self._buffer.settle(entries, DropReason.REJECTED)
                self.note("rejected", f"records rejected by the server: {answer.detail}")
                return
            self.note("unreachable", f"delivery failing, records wait in the queue: {answer.detail}")
            self._back_off(attempt, answer)
            attempt += 1
        self._buffer.settle(entries, DropReason.SHUTDOWN)

    def _left_seconds(self) -> float | None:
        return None if self._deadline is None else self._deadline - time.monotonic()

    def _back_off(self, attempt: int, answer: Answer) -> None:
        """Wait before the next attempt: full jitter, so that processes do not retry in step after an outage."""
        most = _BACKOFF_MAX_SECONDS if answer.has_status else _BACKOFF_UNREACHABLE_MAX_SECONDS
        ceiling = min(most, _BACKOFF_FIRST_SECONDS * 2 ** min(attempt, 10))
        seconds = random.uniform(ceiling / 10, ceiling)  # noqa: S311 - jitter, not a secret
        if answer.retry_after_seconds is not None:
            seconds = max(seconds, min(answer.retry_after_seconds, _RETRY_AFTER_MAX_SECONDS))
        if self._deadline is not None:
            seconds = min(seconds, 0.1)
        self._pause(seconds, woken_by=(_Wake.FLUSH, _Wake.STOP))

    def _pause(self, seconds: float, *, woken_by: tuple[_Wake, ...]) -> None:
        """Sleep, unless one of `woken_by` arrives."""
        end = time.monotonic() + seconds
        while (left_seconds := end - time.monotonic()) > 0:
            try:
                if self._wakes.get(timeout=left_seconds) in woken_by:
                    return
            except queue.Empty:
                return

    def _note_overflow(self) -> None:
        dropped = self._buffer.dropped(DropReason.OVERFLOW)
        if dropped > self._overflow_noted:
            self.note("overflow", f"queue was full, {dropped} oldest records dropped so far")
            self._overflow_noted = dropped
