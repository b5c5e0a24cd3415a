"""Live tail as server-sent events: batches of rows, what was skipped, and a sign of life.

The store's own `/tail` leaves out, for ever, a row that becomes visible after a newer one of its stream, as happens when it is
busy. Here the last seconds are asked for again and again, and what was shown is left out: a row may come late and is not lost.

A slow reader does not slow anything else down: what it cannot take is dropped, oldest first, and counted to it. A tail ends by
itself after some minutes and the browser comes back with the last time it saw, so that a changed right counts soon.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final, Literal

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from crowsnest.api.logs import moments
from crowsnest.api.logs.client import StoreClient
from crowsnest.api.logs.moments import SECOND_NS
from crowsnest.api.logs.policy import Decision
from crowsnest.api.logs.rows import cut, moment_of
from crowsnest.api.problems import Problem
from crowsnest.api.web import disconnected

BATCH_ROWS: Final = 200
BATCH_SECONDS: Final = 0.2
HEARTBEAT_SECONDS: Final = 15.0
LIFETIME_SECONDS: Final = 600.0
RETRY_MS: Final = 1000
_WAITING_ROWS: Final = 2000
_WAITING_BYTES: Final = 2 * 1024 * 1024
LOOK_BACK_SECONDS: Final = 5
"""A tail that begins shows this much of what was before."""
MAX_LOOK_BACK_SECONDS: Final = 600
"""A reader that comes back is shown at most this much of what it missed."""
LOOK_SECONDS: Final = 1.0
LOOK_TIMEOUT_SECONDS: Final = 10
SHALLOW_SECONDS: Final = 3
DEEP_SECONDS: Final = 30
"""Every few looks go back this far: so late a row may become visible and still be shown.

The first rows of a new stream took the store up to 12 s: it remembers for a while that a stream filter found nothing.
"""
_DEEP_EVERY: Final = 5
_GENERATION_LOOKS: Final = 40
_PATIENCE: Final = 3
_MAX_NEW: Final = 20_000
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Waiting:
    """Rows that were read and not yet sent; bounded, the oldest make room."""

    def __init__(self, field_bytes: int) -> None:
        self._rows: deque[bytes] = deque()
        self._bytes = 0
        self._skipped = 0
        self._field_bytes = field_bytes
        self.arrived = asyncio.Event()

    def add(self, line: bytes) -> None:
        """Keep a row."""
        line, _ = cut(line, self._field_bytes)
        self._rows.append(line)
        self._bytes += len(line)
        while len(self._rows) > _WAITING_ROWS or self._bytes > _WAITING_BYTES:
            self._bytes -= len(self._rows.popleft())
            self._skipped += 1
        self.arrived.set()

    def take(self) -> tuple[int, list[bytes]]:
        """How many were skipped since the last time, and the next batch."""
        skipped, self._skipped = self._skipped, 0
        rows = [self._rows.popleft() for _ in range(min(BATCH_ROWS, len(self._rows)))]
        self._bytes -= sum(map(len, rows))
        if not self._rows:
            self.arrived.clear()
        return skipped, rows


class Follower:
    """Looks for rows that were not seen yet, each second."""

    def __init__(self, store: StoreClient, decision: Decision, after_ns: int | None) -> None:
        self._store = store
        self._decision = decision
        now_ns = time.time_ns()
        self._first_ns = now_ns - LOOK_BACK_SECONDS * SECOND_NS
        if after_ns is not None:
            self._first_ns = max(after_ns + 1, now_ns - MAX_LOOK_BACK_SECONDS * SECOND_NS)
        # Where the last look ended, and hashes of rows that were seen: this generation's and the one's before.
        self._looked_ns = self._first_ns
        self._seen: set[int] = set()
        self._seen_before: set[int] = set()
        self._looks = 0

    async def follow(self, waiting: Waiting) -> None:
        """Look until cancelled. A store that is busy is asked again; nothing is lost by that.

        Raises:
            Problem: the store is away, or busy for too long.
        """
        failures = 0
        while True:
            begun = time.monotonic()
            try:
                await self.look(waiting)
                failures = 0
            except Problem as problem:
                failures += 1
                if problem.kind not in ("too-many-queries", "timeout") or failures > _PATIENCE:
                    raise
            await asyncio.sleep(max(0.0, LOOK_SECONDS - (time.monotonic() - begun)))

    async def look(self, waiting: Waiting) -> None:
        """Find what is new, oldest first.

        Raises:
            Problem: the store does not answer.
        """
        is_deep = self._looks % _DEEP_EVERY == 0
        now_ns = time.time_ns()
        start_ns = max(self._first_ns, self._looked_ns - (DEEP_SECONDS if is_deep else SHALLOW_SECONDS) * SECOND_NS)
        window = dataclasses.replace(
            self._decision, start_ns=start_ns, end_ns=now_ns + SECOND_NS, timeout_seconds=LOOK_TIMEOUT_SECONDS
        )
        new: list[tuple[int, bytes]] = []
        try:
            async for lines in self._store.lines(window.form, LOOK_TIMEOUT_SECONDS, for_tail=True):
                for line in lines:
                    identity = hash(line)
                    if identity not in self._seen and identity not in self._seen_before:
                        self._seen.add(identity)
                        new.append((moment_of(line) or now_ns, line))
                if len(new) >= _MAX_NEW:
                    # More than any reader can take: what is here is handed on, so that it is counted and not kept.
                    self._hand_on(new, waiting)
        finally:
            # Also when the store broke off: what has been seen is not found again.
            self._hand_on(new, waiting)
        self._looks += 1
        self._looked_ns = now_ns
        if self._looks % _GENERATION_LOOKS == 0:
            self._seen, self._seen_before = set(), self._seen

    @staticmethod
    def _hand_on(new: list[tuple[int, bytes]], waiting: Waiting) -> None:
        new.sort(key=itemgetter(0))
        for _, line in new:
            waiting.add(line)
        new.clear()


class TailResponse(Response):
    """Streams a tail until the reader leaves, the store fails, its time is over, or the server stops.

    Args:
        store: where the rows come from.
        decision: what may be asked; its range does not count.
        after_ns: newest time that the reader has seen.
        field_bytes: most bytes of a field.
        stopping: set when the server stops.
        may_go_on: asked at each heartbeat; raises a problem that ends the tail.
        ended: called once, whatever happened.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        store: StoreClient,
        decision: Decision,
        after_ns: int | None,
        field_bytes: int,
        stopping: asyncio.Event,
        may_go_on: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._store = store
        self._decision = decision
        self._after_ns = after_ns
        self._waiting = Waiting(field_bytes)
        self._stopping = stopping
        self._may_go_on = may_go_on
        self._ended = ended
        self._state: Literal["new", "open", "closed"] = "new"

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end."""
        streaming = asyncio.ensure_future(self._stream(send))
        leaving = asyncio.ensure_future(disconnected(receive))
        others = [leaving, asyncio.ensure_future(self._stopping.wait()), asyncio.ensure_future(asyncio.sleep(LIFETIME_SECONDS))]
        work: list[asyncio.Future[Any]] = [streaming, *others]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            has_left = leaving.done()
        finally:
            self._ended()
            for one in work:
                one.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        if not streaming.cancelled():
            streaming.result()
        if not has_left:
            await self._close(send)

    async def _stream(self, send: Send) -> None:
        reading: asyncio.Future[None] | None = None
        try:
            follower = Follower(self._store, self._decision, self._after_ns)
            # The first look is before the answer begins, so that a store that is away is an answer like any other.
            await follower.look(self._waiting)
            await self._start(send)
            reading = asyncio.ensure_future(follower.follow(self._waiting))
            await self._write(send, reading)
        except Problem as problem:
            await self._fail(send, problem)
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _start(self, send: Send) -> None:
        self._state = "open"
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _send(send, f"retry: {RETRY_MS}\n\n".encode())
        await _send(send, _event("heartbeat", {"time": _now()}))

    async def _fail(self, send: Send, problem: Problem) -> None:
        """Before the first byte a problem is an answer like any other; later it is an event."""
        if self._state == "new":
            self._state = "closed"
            answer = problem.response
            await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
            await send({"type": "http.response.body", "body": bytes(answer.body)})
            return
        await _send(send, _event("problem", problem.document))
        await self._close(send)

    async def _close(self, send: Send) -> None:
        """End in order: the browser comes back by itself."""
        if self._state == "new":
            await self._fail(send, Problem("store-unavailable", "the server is stopping", "come back in a few seconds"))
        elif self._state == "open":
            self._state = "closed"
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Send, reading: asyncio.Future[None]) -> None:
        heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        while True:
            arriving = asyncio.ensure_future(self._waiting.arrived.wait())
            patience = max(0.0, heartbeat - time.monotonic())
            awaited: set[asyncio.Future[Any]] = {arriving, reading}
            try:
                await asyncio.wait(awaited, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            finally:
                arriving.cancel()
            skipped, rows = self._waiting.take()
            if skipped:
                await _send(send, _event("skipped", {"count": skipped}))
            if rows:
                await _send(send, _records(rows))
                # Rows gather meanwhile, so that a busy stream makes few events.
                await asyncio.sleep(BATCH_SECONDS if len(rows) < BATCH_ROWS else 0)
            elif reading.done():
                reading.result()
            if time.monotonic() >= heartbeat:
                self._may_go_on()
                await _send(send, _event("heartbeat", {"time": _now()}))
                heartbeat = time.monotonic() + HEARTBEAT_SECONDS


def _records(rows: list[bytes]) -> bytes:
    newest = max((moment for row in (rows[0], rows[-1]) if (moment := moment_of(row)) is not None), default=None)
    identity = b"" if newest is None else b"id: " + moments.text(newest).encode() + b"\n"
    return b"event: records\n" + identity + b"data: [" + b",".join(rows) + b"]\n\n"


def _event(name: str, document: dict[str, object]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(document) + b"\n\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
