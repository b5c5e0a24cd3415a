"""Metric log lines: JSON that stands in `message` of a line of logs/*.json. Names and meaning: docs/engine-logs.md."""

from __future__ import annotations

from typing import Final

import msgspec

# What belongs to no single strategy.
ENGINE: Final = "engine"

_encode = msgspec.json.Encoder().encode


def gauge(component: str, name: str, microseconds: float, strategy_id: str) -> str:
    """A gauge line. All gauges become one series in microseconds, so there is no other unit."""
    return _line(component, "gauge", name, round(microseconds, 1), strategy_id)


def counter(component: str, name: str, increment: int, strategy_id: str) -> str:
    """A counter line: what has come since the last one, never a running total."""
    return _line(component, "counter", name, increment, strategy_id)


def _line(component: str, kind: str, name: str, value: float, strategy_id: str) -> str:
    return _encode(
        {
            "component_name": component,
            "metric_type": kind,
            "metric_name": name,
            "metric_value": value,
            "strategy_id": strategy_id,
        }
    ).decode()
