"""What can go wrong, in one line that says what to do."""

from __future__ import annotations

from typing import Any


class ProviderError(Exception):
    """The operation failed and changed nothing, or undid what it had changed. The text is for the user."""


class InitFailed(Exception):
    """The resource exists but does not work. The engine keeps it in its state, and the next run deals with it."""

    def __init__(self, id_: str, inputs: dict[str, Any], reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.id = id_
        self.inputs = inputs
        self.reasons = reasons
