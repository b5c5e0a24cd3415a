"""Label values: cleaned, closed where the set is known, capped everywhere else.

Every distinct combination of label values is a time series that Prometheus keeps in memory, so a label must never take
whatever text happens to arrive. Beyond its bound a value becomes `other`, and that is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

OTHER = "other"
"""What a value becomes that is not in a closed set, or is one too many for an open one."""
UNKNOWN = "unknown"
"""What an empty or missing value becomes: to Prometheus an empty label is no label at all."""

_MAX_LENGTH = 128  # characters; a label is a name, not a message
_DEFAULT_CAP = 50


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a metric: its name and what it may say."""

    name: str
    known: tuple[str, ...] = ()
    """Values that are known beforehand; matched without regard to case and written as here."""
    closed: bool = False
    """Only `known` ones are taken."""
    cap: int = _DEFAULT_CAP
    """Most distinct values of an open label, the known ones included."""


class LabelValues:
    """What one label has been used with so far, in one registry. Not locked: its registry does that."""

    __slots__ = ("_canonical", "_cap", "_taken", "label")

    def __init__(self, label: Label, cap: int | None = None) -> None:
        self.label = label
        self._cap = label.cap if cap is None else cap
        self._canonical = {value.casefold(): value for value in label.known}
        self._taken = {*label.known}

    def resolve(self, value: object) -> tuple[str, bool]:
        """The label value for what a caller gave.

        Returns:
            The value, and whether it had to be folded into `other`.
        """
        text = clean(value)
        if text in self._taken or text in (UNKNOWN, OTHER):
            return text, False
        if canonical := self._canonical.get(text.casefold()):
            return canonical, False
        if self.label.closed or len(self._taken) >= self._cap:
            return OTHER, True
        self._taken.add(text)
        return text, False


def clean(value: object) -> str:
    """A printable, non-empty text of at most 128 characters that is always valid UTF-8.

    A lone surrogate would make the whole exposition fail, and control characters only make labels that look alike.
    An `Enum` member is represented by its value where that is text, else by its name.
    """
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, str) else value.name
    text = "" if value is None else str(value)[: _MAX_LENGTH + 1]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "_" for character in text)
    return text[:_MAX_LENGTH].strip() or UNKNOWN
