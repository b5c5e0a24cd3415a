"""The newest prices of a QuestDB, for people and for the proof after a deployment."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from crowsnest.ticks.questdb import QuestDB, SqlError, StoreError

_NEWEST = (
    "SELECT timestamp, symbol, price FROM price_log WHERE timestamp > dateadd('m', -2, now()) ORDER BY timestamp DESC LIMIT "
)
_PAUSE_SECONDS = 0.5


async def newest(store: QuestDB, *, limit: int, at_least: int, timeout_seconds: float) -> list[dict[str, Any]]:
    """Prices of the last two minutes, newest first, once there are ``at_least`` so many.

    Raises:
        TimeoutError: there are not; says what QuestDB says.
    """
    deadline = time.monotonic() + timeout_seconds
    reason = "there are no prices"
    while True:
        try:
            rows = await store.sql(f"{_NEWEST}{limit}")
        except (SqlError, StoreError) as error:
            rows, reason = [], str(error)
        if len(rows) >= at_least:
            return rows
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(rows)} of {at_least} prices after {timeout_seconds:.0f} s: {reason}")
        await asyncio.sleep(_PAUSE_SECONDS)
