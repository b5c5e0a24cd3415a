"""The one thread that delivers: whatever is due, over all channels, the most urgent first."""

# ruff: noqa: BLE001 - nothing may end the delivering thread
from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from crowsnest.alerts._channels import Channel
from crowsnest.alerts._http import Outcome, Verdict
from crowsnest.alerts._note import nesting, note
from crowsnest.alerts._outbox import Outbox

# the clock may jump (a machine wakes up) while this waits
_WAIT_MAX_SECONDS: Final = 5.0


class Route:
    """A channel by name, once it is configured, and what waits for it."""

    def __init__(self, name: str, channel: Channel | None, outbox: Outbox) -> None:
        self.name = name
        self.channel = channel
        self.outbox = outbox


class Worker:
    """Serves `routes`; the thread starts with `start` and lives until `stop` or the end of the process."""

    def __init__(self, routes: Callable[[], Sequence[Route]], clock: Callable[[], float], timeout_seconds: float) -> None:
        self._routes = routes
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        # SimpleQueue.put may be re-entered from a signal handler; Event and Condition may not
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._wake_asked = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._deadline: float | None = None
        self._served: dict[str, int] = {}
        self._turn = 0

    @property
    def is_running(self) -> bool:
        """Whether the thread exists."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread unless it runs; when the system refuses one, alerts wait and the next call tries again."""
        if not self._starting.acquire(blocking=False):
            return
        try:
            if not self.is_running and self._deadline is None:
                thread = threading.Thread(target=self._run, name="crowsnest-alerts", daemon=True)
                with contextlib.suppress(RuntimeError):  # out of threads, or the interpreter is shutting down
                    thread.start()
                    self._thread = thread
        finally:
            self._starting.release()

    def wake(self) -> None:
        """Something new is waiting."""
        if not self._wake_asked:
            self._wake_asked = True
            self._wakes.put(None)

    def stop(self, timeout_seconds: float) -> None:
        """Deliver what is left within `timeout_seconds` and end the thread; without a thread, deliver here."""
        self._deadline = time.monotonic() + timeout_seconds
        self._wakes.put(None)
        # waiting for a `start` in progress; it is not there when this interrupts that very call (a signal handler)
        started = self._starting.acquire(timeout=0.1)
        if started:
            self._starting.release()
        thread = self._thread if self.is_running else None
        if thread is None and started:
            self._run()
        elif thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, self._deadline - time.monotonic()))

    def _run(self) -> None:
        depth, nesting.depth = nesting.depth, 1
        try:
            while True:
                try:
                    if not self._serve():
                        return
                except Exception as error:
                    note("worker", f"delivery failed and goes on: {type(error).__name__}: {error}")
                    for route in self._routes():
                        route.outbox.fail_in_flight()
        finally:
            nesting.depth = depth

    def _serve(self) -> bool:
        """Deliver one message, or wait for one; return whether to go on."""
        self._wake_asked = False
        now = self._clock()
        route, due = self._next(now)
        if self._deadline is not None:
            left_seconds = self._deadline - time.monotonic()
            if route is None or left_seconds <= 0 or due - now > left_seconds:
                return False
        if route is not None and due <= now:
            self._deliver(route, now)
            return True
        seconds = min(due - now, _WAIT_MAX_SECONDS) if route is not None else None
        with contextlib.suppress(queue.Empty):
            self._wakes.get(timeout=seconds)
        return True

    def _next(self, now: float) -> tuple[Route | None, float]:
        """The route to serve, and when: of those that are due the most urgent, and the one that waited longest."""
        best: tuple[tuple[float, float, float], Route, float] | None = None
        for route in self._routes():
            found = route.outbox.next_due(now)
            if found is None:
                continue
            due, rank = found
            late = due <= now
            order = (0.0, -float(rank), float(self._served.get(route.name, 0))) if late else (1.0, due, 0.0)
            if best is None or order < best[0]:
                best = order, route, due
        return (best[1], best[2]) if best is not None else (None, 0.0)

    def _deliver(self, route: Route, now: float) -> None:
        job = route.outbox.take(now)
        channel = route.channel
        if job is None or channel is None:
            return
        self._turn += 1
        self._served[route.name] = self._turn
        timeout_seconds = self._timeout_seconds
        if self._deadline is not None:
            timeout_seconds = max(0.05, min(timeout_seconds, self._deadline - time.monotonic()))
        try:
            outcome: object = channel.deliver(job.notification, timeout_seconds=timeout_seconds)
        except BaseException as error:  # its text may hold a secret
            outcome = Outcome(Verdict.RETRY, f"{type(channel).__name__}.deliver raised {type(error).__name__}")
        if not isinstance(outcome, Outcome):
            outcome = Outcome(Verdict.RETRY, f"{type(channel).__name__}.deliver returned {type(outcome).__name__}")
        reason = route.outbox.settle(job, outcome, self._clock())
        if reason is not None:
            note(f"{route.name}.lost", f"{route.name}: alerts dropped ({reason.value}): {outcome.detail}")
        elif outcome.verdict is not Verdict.DELIVERED:
            note(f"{route.name}.retry", f"{route.name}: delivery failing, alerts wait: {outcome.detail}")
