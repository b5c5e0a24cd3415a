"""Login throttling: who guesses waits, twice as long each time, and whoever shares only a name or an address hardly notices."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """After `free` failures each further one doubles the wait, from a second up to `longest_seconds`."""

    free: int
    longest_seconds: float


# The pair is the guesser; an address can be an office behind one gateway; a name can be attacked by many to shut its owner out,
# who therefore never waits long for it.
PAIR: Final = Rule(5, 900)
ADDRESS: Final = Rule(30, 900)
NAME: Final = Rule(50, 30)
FORGET_SECONDS: Final = 3600.0
_MAX_KEYS: Final = 20_000


@dataclass(slots=True)
class _Failures:
    count: int
    last: float
    until: float


class LoginThrottle:
    """Counts failures in memory; a restart forgets them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, ...], _Failures] = OrderedDict()

    def wait_seconds(self, name: str, address: str) -> float:
        """How long this attempt has to wait; 0 when it may be made."""
        now = self._clock()
        waits = [failures.until - now for key, _ in _keys(name, address) if (failures := self._failures.get(key))]
        return max([0.0, *waits])

    def failed(self, name: str, address: str) -> None:
        """Note a failure. Call it before the password is checked and `succeeded` after: parallel guesses count, too."""
        now = self._clock()
        for key, rule in _keys(name, address):
            failures = self._failures.pop(key, None)
            if failures is None or now - failures.last > FORGET_SECONDS:
                failures = _Failures(0, now, 0.0)
            failures.count += 1
            failures.last = now
            if failures.count >= rule.free:
                failures.until = now + min(2.0 ** min(failures.count - rule.free, 20), rule.longest_seconds)
            self._failures[key] = failures
            if len(self._failures) > _MAX_KEYS:
                self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """The password was right: this pair begins anew, and the failure noted for it is taken back elsewhere."""
        pair, *others = _keys(name, address)
        self._failures.pop(pair[0], None)
        for key, rule in others:
            if failures := self._failures.get(key):
                failures.count -= 1
                if failures.count < rule.free:
                    failures.until = 0.0


def _keys(name: str, address: str) -> list[tuple[tuple[str, ...], Rule]]:
    folded = name.casefold()[:64]
    return [(("pair", folded, address), PAIR), (("address", address), ADDRESS), (("name", folded), NAME)]
