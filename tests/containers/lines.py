"""Reads lines.yml: what becomes of which line of a container, whichever collector reads it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).with_name("lines.yml")
TIME = "2026-11-21T17:02:24.123456789Z"
CONTAINER = "ntd-nginx"


@dataclass(frozen=True)
class Line:
    """A line of a container, and the record that has to come of it."""

    name: str
    text: str
    stream: str
    dead_letter: str | None
    made: bool
    """Whether the text is too long to stand in the table."""
    record: dict[str, Any]
    characters: dict[str, int]

    @property
    def event(self) -> dict[str, str]:
        """What the program that makes the record is given."""
        event = {"message": self.text, "time": TIME, "container_name": CONTAINER, "stream": self.stream}
        return event if self.dead_letter is None else {**event, "dead_letter": self.dead_letter}

    @property
    def expected(self) -> dict[str, Any]:
        """The whole record, without the fields of `characters`."""
        constant = {"_time": TIME, "source": "container", "container_name": CONTAINER, "stream": self.stream}
        return {**constant, **self.record}


def _made(first: str = "", repeat: str = "", times: int = 0, last: str = "", repeat_last: str = "") -> str:
    return first + "".join(repeat.replace("#", str(number)) for number in range(times)) + last + repeat_last * times


@cache
def lines() -> tuple[Line, ...]:
    """All lines of the table."""
    entries = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return tuple(
        Line(
            name=entry["name"],
            text=_made(**entry["made"]) if "made" in entry else entry["line"],
            stream=entry.get("stream", "stdout"),
            dead_letter=entry.get("dead_letter"),
            made="made" in entry,
            record=entry["record"],
            characters=entry.get("characters", {}),
        )
        for entry in entries
    )
