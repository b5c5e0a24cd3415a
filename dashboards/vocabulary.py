"""What units, colours and states mean, everywhere the same; and thresholds, which are the bounds of alerts."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

THRESHOLDS = Path(__file__).resolve().parent.parent / "rules" / "thresholds.json"
# Grafana colours from a value on; an alert that fires above 0 must leave 0 alone.
ABOVE_ZERO = 1e-6


class Unit(StrEnum):
    """Units as Grafana calls them; a value is always shown in the unit that its name has."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "µs"
    RATIO = "percentunit"
    PERCENT = "percent"
    DOLLARS = "currencyUSD"
    BASIS_POINTS = "suffix: bps"
    BYTES = "bytes"
    BYTES_PER_SECOND = "Bps"
    PER_SECOND = "cps"
    COUNT = "locale"
    NUMBER = "short"
    STATE = "bool_on_off"
    AGO = "dateTimeFromNow"
    TEXT = "string"


class Colour(StrEnum):
    """Colours by what they say, never by how they look."""

    GOOD = "green"
    WARNING = "orange"
    CRITICAL = "red"
    BREAKER = "dark-red"
    NEUTRAL = "blue"
    QUIET = "text"
    BUY = "#3274D9"
    SELL = "#B877D9"
    FIRST = "#73BF69"
    SECOND = "#F2CC0C"
    THIRD = "#FF780A"


SEVERITIES = {"none": Colour.NEUTRAL, "warning": Colour.WARNING, "critical": Colour.CRITICAL}

# Values of a label have their colours on every dashboard.
LABELS: Mapping[str, Mapping[str, Colour]] = {
    **{key: {"BUY": Colour.BUY, "SELL": Colour.SELL} for key in ("side", "direction")},
    "status": {
        "FILLED": Colour.GOOD,
        "REJECTED": Colour.CRITICAL,
        "DENIED": Colour.WARNING,
        "SUBMITTED": Colour.NEUTRAL,
        "PARTIAL_FILL": Colour.SECOND,
    },
    "result": {
        "approve": Colour.GOOD,
        "reject": Colour.CRITICAL,
        "reduce_size": Colour.WARNING,
        "require_approval": Colour.SECOND,
    },
    "level": {
        "DEBUG": Colour.QUIET,
        "INFO": Colour.GOOD,
        "WARNING": Colour.WARNING,
        "ERROR": Colour.CRITICAL,
        "CRITICAL": Colour.BREAKER,
    },
    "severity": {"warning": Colour.WARNING, "critical": Colour.CRITICAL},
}
# And so do these series.
SERIES: Mapping[str, Colour] = {
    "p50": Colour.FIRST,
    "p95": Colour.SECOND,
    "p99": Colour.THIRD,
    "p99.9": Colour.CRITICAL,
    "mean": Colour.NEUTRAL,
    "lost": Colour.CRITICAL,
    "dropped": Colour.CRITICAL,
    "delivered": Colour.GOOD,
    "accepted": Colour.NEUTRAL,
    "profit": Colour.GOOD,
    "loss": Colour.CRITICAL,
}


def colours(legends: list[str]) -> dict[str, Colour]:
    """The colours of what these legends may say: `p95` is a series, `{{level}}` any value of that label."""
    found = {legend: SERIES[legend] for legend in legends if legend in SERIES}
    for legend in legends:
        if legend.startswith("{{") and legend.endswith("}}"):
            found |= LABELS.get(legend[2:-2], {})
    return found


@dataclass(frozen=True)
class State:
    """What a number says, and its colour."""

    text: str
    colour: Colour


STOPPED = {0: State("off", Colour.GOOD), 1: State("ACTIVE", Colour.CRITICAL)}
UP = {0: State("DOWN", Colour.CRITICAL), 1: State("up", Colour.GOOD)}
REGIME = {0: State("Calm", Colour.GOOD), 1: State("Normal", Colour.NEUTRAL), 2: State("Storm", Colour.WARNING)}
WRITABLE = {0: State("writable", Colour.GOOD), 1: State("READ-ONLY", Colour.CRITICAL)}
ROOM = {0: State("has room", Colour.GOOD), 1: State("FULL", Colour.CRITICAL)}
TAKEN = {0: State("REFUSED", Colour.CRITICAL), 1: State("in use", Colour.GOOD)}
OPEN = {0: State("closed", Colour.QUIET), 1: State("open", Colour.GOOD)}
PASSED = {0: State("FAILED", Colour.CRITICAL), 1: State("passed", Colour.GOOD)}


class VocabularyError(ValueError):
    """A panel asks for what the vocabulary cannot say. The message says what to change."""


@dataclass(frozen=True)
class Step:
    """From this value on, this colour; None is from below."""

    value: float | None
    colour: Colour


NONE = (Step(None, Colour.NEUTRAL),)


@functools.cache
def bounds() -> Mapping[str, list[dict[str, Any]]]:
    """The bounds of every alert, by its name, from the table that the alert rules are made from."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(THRESHOLDS.read_text(encoding="utf-8")):
        found.setdefault(row["alert"], []).append(row)
    return found


def steps(alerts: tuple[str, ...]) -> tuple[Step, ...]:
    """Colours that change where these alerts fire.

    Raises:
        VocabularyError: an alert that does not exist, or some that fire above and some below.
    """
    if not alerts:
        return NONE
    if unknown := [name for name in alerts if name not in bounds()]:
        raise VocabularyError(f"there is no alert {', '.join(unknown)} in rules/tables")
    marks = {_mark(row) for name in alerts for row in bounds()[name]}
    if len({above for above, _, _ in marks}) != 1:
        raise VocabularyError(f"{', '.join(alerts)} fire in two directions: give each a panel of its own")
    ordered = sorted((value, colour) for _, value, colour in marks)
    if next(iter(marks))[0]:
        return (Step(None, Colour.GOOD), *(Step(value, colour) for value, colour in ordered))
    values, colours = [value for value, _ in ordered], [colour for _, colour in ordered]
    after = [*colours[1:], Colour.GOOD]
    return (Step(None, colours[0]), *(Step(value, colour) for value, colour in zip(values, after, strict=True)))


def _mark(row: Mapping[str, Any]) -> tuple[bool, float, Colour]:
    """Whether an alert fires above, from where, and its colour. What equals 0 is below what is more than nothing."""
    comparison, value = row["comparison"], float(row["value"])
    above = comparison.startswith(">") or (comparison == "==" and value != 0)
    if value == 0 and comparison in (">", "==", "<="):
        value = ABOVE_ZERO
    breaker = row["alert"].endswith("Breaker")
    return above, value, Colour.BREAKER if breaker else SEVERITIES[row["severity"]]


def alert_text(alerts: tuple[str, ...]) -> str:
    """What a description says of the alerts that its panel shows."""
    said = []
    for name in alerts:
        limits = " and ".join(dict.fromkeys(f"{row['comparison']} {row['value']:g}" for row in bounds()[name]))
        said.append(f"Alert {name}: {limits}, docs/runbooks/{name}.md.")
    return " ".join(said)
