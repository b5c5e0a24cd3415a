"""What every part of the supply raises and how it talks."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]


class SupplyError(RuntimeError):
    """Something cannot be supplied. The message is one line that says what to do."""
