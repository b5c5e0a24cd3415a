"""How a deployment can end badly, and the exit code of each."""

from __future__ import annotations


class Refused(RuntimeError):
    """Nothing was changed because something has to be put right first. Each line says what and how."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))


class Failed(RuntimeError):
    """Something was tried and did not work. Each line says what."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
