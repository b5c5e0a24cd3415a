"""The way of a batch: tables first, then rows; what QuestDB refuses is set aside, line by line, and the rest is stored."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence

from crowsnest.ticks import schema
from crowsnest.ticks.lines import DEAD_LETTERS, Refused, dead_letter, event_of, split, unusable
from crowsnest.ticks.metrics import Metrics
from crowsnest.ticks.questdb import QuestDB, SqlError, StoreError
from crowsnest.ticks.settings import Ttl

_log = logging.getLogger(__name__)
# Lines that are sent again together after one was refused: with many bad ones, each costs no more than this many.
_TOGETHER = 100
RESERVED = f"{DEAD_LETTERS} is the table of refused rows; choose another name for the event"


class Relay:
    """Stores batches, one after the other. A batch is stored whole, with its dead letters, or Telegraf sends it again."""

    def __init__(self, store: QuestDB, ttl: Ttl, metrics: Metrics) -> None:
        self._store = store
        self._ttl = ttl
        self._metrics = metrics
        self._one = asyncio.Lock()
        self._known: set[str] = set()

    def forget(self) -> None:
        """Look again which tables are there: somebody may have dropped one."""
        self._known.clear()

    async def write(self, body: bytes) -> None:
        """Store a batch. What was stored before and comes again changes nothing.

        Raises:
            StoreError: QuestDB cannot store it now; the batch is to be sent again.
        """
        async with self._one:
            begun = time.monotonic()
            lines = split(body)
            events = [event_of(line) for line in lines]
            reasons = {event: await self._reason_against(event) for event in dict.fromkeys(events)}
            good = [line for line, event in zip(lines, events, strict=True) if reasons[event] is None]
            refused = [Refused(line, reason) for line, event in zip(lines, events, strict=True) if (reason := reasons[event])]
            refused += await self._store_rows(good)
            if refused:
                await self._set_aside(refused)
            self._count(events, refused)
            self._metrics.note_full("write", full=False)
            self._metrics.write_seconds.observe(time.monotonic() - begun)

    async def _reason_against(self, event: str) -> str | None:
        """Why rows of an event cannot be stored; its table is there otherwise."""
        if event.lower() in self._known:
            return None
        if event.lower() == DEAD_LETTERS:
            return RESERVED
        if reason := unusable(event):
            return reason
        try:
            await schema.create_event(self._store, event, self._ttl)
        except SqlError as error:
            return f"its table cannot be made: {error}"
        self._known.add(event.lower())
        return None

    async def _store_rows(self, lines: Sequence[bytes]) -> list[Refused]:
        """Store lines in their order, and give back those that are refused by themselves."""
        refused: list[Refused] = []
        waiting = [list(lines)]
        while waiting:
            batch = waiting.pop()
            if not batch:
                continue
            refusal = await self._store.write(batch)
            if refusal is None:
                continue
            if len(batch) == 1:
                refused.append(Refused(batch[0], refusal.message))
                continue
            # The number is a hint: only a line that is refused alone is guilty. What stands before it goes first, since the
            # first row with a field decides the field's type.
            number = refusal.line if refusal.line and refusal.line <= len(batch) else (len(batch) + 1) // 2
            rest = batch[number:]
            waiting += reversed([rest[at : at + _TOGETHER] for at in range(0, len(rest), _TOGETHER)])
            waiting += [[batch[number - 1]], batch[: number - 1]]
        return refused

    async def _set_aside(self, refused: Sequence[Refused]) -> None:
        now_ns = time.time_ns()
        letters = [dead_letter(one, event_of(one.line), now_ns) for one in refused]
        for at in range(0, len(letters), _TOGETHER):
            refusal = await self._store.write(letters[at : at + _TOGETHER])
            if refusal:
                raise StoreError(f"dead letters cannot be stored: {refusal.message}")
        first = refused[0]
        _log.warning("%d rows set aside, the first of %s: %s", len(refused), event_of(first.line), first.reason)

    def _count(self, events: Sequence[str], refused: Sequence[Refused]) -> None:
        dead = Counter(event_of(one.line) for one in refused)
        for event, count in Counter(events).items():
            label = self._metrics.label(event)
            if count > dead[event]:
                self._metrics.rows.labels(label).inc(count - dead[event])
            if dead[event]:
                self._metrics.dead_letters.labels(label).inc(dead[event])
