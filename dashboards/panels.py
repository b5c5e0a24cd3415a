"""The kinds of panels: each says in one call what it shows, why, in which unit, and which alerts it explains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dashboards.queries import Query
from dashboards.vocabulary import State, Unit

Kind = Literal["chart", "bars", "stat", "gauge", "ranking", "buckets", "heat", "pie", "states", "table", "lines"]
# Rows of the grid that a line of panels has, by the tallest kind in it.
HEIGHTS: Mapping[Kind, int] = {
    "stat": 4,
    "gauge": 6,
    "chart": 8,
    "bars": 8,
    "ranking": 8,
    "buckets": 8,
    "heat": 8,
    "pie": 8,
    "states": 8,
    "table": 8,
    "lines": 12,
}
WIDTHS = (3, 4, 6, 8, 12, 16, 18, 24)


@dataclass(frozen=True)
class Link:
    """Where a click on a value leads."""

    title: str
    url: str


@dataclass(frozen=True)
class Column:
    """A column of a table that is not shown as its panel's unit says."""

    unit: Unit = Unit.TEXT
    title: str = ""
    link: Link | None = None
    states: Mapping[int, State] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """What a panel may have beside its question.

    Attributes:
        alerts: give it thresholds and end its description.
        about: alerts that it explains without their thresholds, because it shows something else than their value.
        join: field by which the rows of several questions become one row.
        hide: columns that are not shown.
        width: in 24ths of a line, 0 for an equal share.
    """

    alerts: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    states: Mapping[int, State] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    decimals: int | None = None
    stacked: bool = False
    join: str = ""
    hide: tuple[str, ...] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    width: int = 0


@dataclass(frozen=True)
class Panel:
    """One panel."""

    kind: Kind
    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    look: Look


PLAIN = Look()


def chart(title: str, description: str, unit: Unit, *queries: Query, look: Look = PLAIN) -> Panel:
    """Lines over time."""
    return Panel("chart", title, description, unit, queries, look)


def bars(title: str, description: str, unit: Unit, *queries: Query, look: Look = PLAIN) -> Panel:
    """Bars over time."""
    return Panel("bars", title, description, unit, queries, look)


def stat(title: str, description: str, unit: Unit, *queries: Query, look: Look = PLAIN) -> Panel:
    """One number now, or one for each series."""
    return Panel("stat", title, description, unit, queries, look)


def gauge(title: str, description: str, unit: Unit, *queries: Query, look: Look = PLAIN) -> Panel:
    """A number between its bounds."""
    return Panel("gauge", title, description, unit, queries, look)


def ranking(title: str, description: str, unit: Unit, *queries: Query, look: Look = PLAIN) -> Panel:
    """A bar for each series, now."""
    return Panel("ranking", title, description, unit, queries, look)


def buckets(title: str, description: str, unit: Unit, *queries: Query, look: Look = PLAIN) -> Panel:
    """The histogram of the whole time range: a bar a bucket, named by its upper bound."""
    return Panel("buckets", title, description, unit, queries, look)


def heat(title: str, description: str, unit: Unit, *queries: Query, look: Look = PLAIN) -> Panel:
    """A histogram over time; the unit is that of the buckets."""
    return Panel("heat", title, description, unit, queries, look)


def pie(title: str, description: str, unit: Unit, *queries: Query, look: Look = PLAIN) -> Panel:
    """Shares of a whole."""
    return Panel("pie", title, description, unit, queries, look)


def states(title: str, description: str, *queries: Query, look: Look) -> Panel:
    """States over time, a line each."""
    return Panel("states", title, description, Unit.STATE, queries, look)


def table(title: str, description: str, unit: Unit, *queries: Query, look: Look = PLAIN) -> Panel:
    """Rows."""
    return Panel("table", title, description, unit, queries, look)


def lines(title: str, description: str, *queries: Query, look: Look = PLAIN) -> Panel:
    """Log records, the newest first."""
    return Panel("lines", title, description, Unit.TEXT, queries, look)
