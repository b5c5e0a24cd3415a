"""How many questions run at once: for each person, and in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from crowsnest.api.problems import Problem

QUERIES_EACH: Final = 4
QUERIES_IN_ALL: Final = 16
TAILS_EACH: Final = 4
TAILS_IN_ALL: Final = 100


class Limiter:
    """Counts what runs. Nothing waits: who comes too many is told so, and tries again."""

    def __init__(self, what: str, each: int, in_all: int) -> None:
        self._what = what
        self._each = each
        self._in_all = in_all
        self._running: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """How many run now."""
        return self._running.total()

    @contextmanager
    def slot(self, who: str) -> Iterator[None]:
        """One of the places, for as long as the context lasts.

        Raises:
            Problem: all are taken.
        """
        self.take(who)
        try:
            yield
        finally:
            self.give_back(who)

    def take(self, who: str) -> None:
        """Take a place that `give_back` returns.

        Raises:
            Problem: all are taken.
        """
        for running, most, whose in ((self._running[who], self._each, "of yours"), (self.running, self._in_all, "in all")):
            if running >= most:
                raise Problem(
                    "too-many-queries",
                    f"{running} {self._what} {whose} are running, {most} are allowed",
                    headers={"Retry-After": "1"},
                )
        self._running[who] += 1

    def give_back(self, who: str) -> None:
        """Return a place."""
        self._running[who] -= 1
        if not self._running[who]:
            del self._running[who]
