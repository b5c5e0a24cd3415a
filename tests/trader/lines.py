"""The table of the trader's log lines, ``lines.yml``, and what comes of all of them together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PREFIX = "loki_process_custom_"
GAUGE, COUNTER, REFUSED = (
    PREFIX + name for name in ("nautilus_latency_us", "nautilus_metrics_this_run_total", "nautilus_metric_lines_total")
)
TIMESTAMP = "2001-05-01T20:00:00.000000000Z"  # of a replay: long ago

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Line:
    """A row: ``text`` as it stands in the file, and what is expected of it."""

    name: str
    text: str
    labels: dict[str, str]
    gauge: tuple[str, str, float] | None
    counter: tuple[str, str, float] | None
    refused: bool


def trader_line(message: str, *, component: str = "Trader", level: str = "DEBUG", timestamp: str = TIMESTAMP) -> str:
    """A line as NautilusTrader's logger writes it."""
    return json.dumps(
        {
            "timestamp": timestamp,
            "trader_id": "CROWSNEST-001",
            "level": level,
            "color": "NORMAL",
            "component": component,
            "message": message,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def metric_message(kind: str, name: str, value: float, strategy: str, component: str = "EMACross") -> str:
    """A metric as it stands in a line's ``message``."""
    tree = {"component_name": component, "metric_type": kind, "metric_name": name, "metric_value": value}
    return json.dumps(tree | {"strategy_id": strategy}, separators=(",", ":"))


@cache
def lines() -> list[Line]:
    """The rows of the table."""
    rows = yaml.safe_load(Path(__file__).with_name("lines.yml").read_text(encoding="utf-8"))
    return [_line(row) for row in rows]


def _line(row: dict[str, Any]) -> Line:
    text = row.get("line")
    if text is None:
        message = row["message"]
        shown = {key: row[key] for key in ("component", "level") if key in row}
        text = trader_line(message if isinstance(message, str) else json.dumps(message), **shown)
    unknown = set(row) - {"name", "line", "message", "component", "level", "labels", "gauge", "counter", "refused"}
    assert not unknown, f"{row['name']}: {unknown}"
    gauge, counter = (tuple(row[kind]) if kind in row else None for kind in ("gauge", "counter"))
    return Line(row["name"], text, row["labels"], gauge, counter, row.get("refused", False))


def series(metric: str, kind: str, name: str, strategy: str) -> Series:
    """A metric with its labels, to compare."""
    return metric, frozenset({("metric_type", kind), ("metric_name", name), ("strategy_id", strategy)})


def expected() -> dict[Series, float]:
    """What Alloy shows when it has read the whole table: the newest value of each gauge, the sum of each counter."""
    found: dict[Series, float] = {}
    for line in lines():
        if line.gauge:
            found[series(GAUGE, "gauge", *line.gauge[:2])] = line.gauge[2]
        if line.counter:
            key = series(COUNTER, "counter", *line.counter[:2])
            found[key] = found.get(key, 0) + line.counter[2]
    found[REFUSED, frozenset({("metric_type", "refused")})] = sum(line.refused for line in lines())
    return found
