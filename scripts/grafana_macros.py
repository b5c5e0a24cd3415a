"""What Grafana makes of a target before it asks a store: variables, intervals and macros filled in, as its plugins do it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Points that a panel of ordinary width asks for.
POINTS = 1000
# Intervals are rounded to these, as Grafana does it.
_ROUND = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def seconds(text: str) -> int:
    """Seconds of a duration of one unit, such as 15s or 24h.

    Raises:
        ValueError: it is none.
    """
    if not (found := re.fullmatch(r"(\d+)([smhdw])", text)):
        raise ValueError(f"{text!r} is no duration such as 15m")
    return int(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True)
class Span:
    """The time range of a dashboard, in Unix seconds, and how often the store gets a sample."""

    start: float
    end: float
    scrape_seconds: int

    @property
    def seconds(self) -> int:
        """Its length."""
        return round(self.end - self.start)

    def interval(self, least: int) -> int:
        """Seconds between two points."""
        wanted = max(self.seconds / POINTS, 0)
        rounded = next((step for step in _ROUND if step >= wanted), _ROUND[-1])
        return max(rounded, least, 1)


@dataclass(frozen=True)
class Question:
    """A target as it is sent."""

    store: str
    mode: str
    text: str
    step_seconds: int
    span: Span


Values = Mapping[str, list[str]]
"""What each variable is set to."""


def question(target: Mapping[str, Any], panel: Mapping[str, Any], span: Span, values: Values) -> Question:
    """What a store is asked for a target.

    Raises:
        ValueError: a variable or macro is left that nobody fills in.
    """
    store = str(target["datasource"]["uid"]).removeprefix("crowsnest-")
    least = seconds(panel["interval"]) if panel.get("interval") else span.scrape_seconds
    step = span.interval(max(least, span.scrape_seconds))
    text = str(target.get("rawSql") or target["expr"])
    expanded = _sql(text, span, step, values) if "rawSql" in target else _plain(text, store, span, step, values)
    if left := re.findall(r"\$\w+|\$\{[^}]*\}", _without_strings(expanded)):
        raise ValueError(f"{', '.join(left)} is filled in by nobody")
    return Question(store, _mode(target), expanded, step, span)


def _mode(target: Mapping[str, Any]) -> str:
    if "rawSql" in target:
        return str(target["format"])
    if target["datasource"]["type"] == "prometheus":
        return "instant" if target.get("instant") else "range"
    return str(target["queryType"])


def _without_strings(text: str) -> str:
    # An anchor in a regular expression is no variable, and neither is what label_replace takes.
    return re.sub(r'"\$\d"', '""', text)


def _intervals(span: Span, step: int) -> dict[str, str]:
    return {
        "__rate_interval": f"{max(step + span.scrape_seconds, 4 * span.scrape_seconds)}s",
        "__interval_ms": str(step * 1000),
        "__interval": f"{step}s",
        "__range_s": str(span.seconds),
        "__range": f"{span.seconds}s",
        "__auto": f"{step}s",
    }


def _plain(text: str, store: str, span: Span, step: int, values: Values) -> str:
    text = _filled(text, _intervals(span, step), lambda value: value[0])
    if store == "victorialogs":
        return _filled(text, values, lambda value: value[0])
    return _filled(text, values, _regex)


def _regex(chosen: list[str]) -> str:
    escaped = [re.sub(r"([\\^$*+?.()|{}\[\]])", r"\\\\\1", value) for value in chosen]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _sql(text: str, span: Span, step: int, values: Values) -> str:
    begin, end = (datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (span.start, span.end))
    text = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN '{begin}' AND '{end}'", text)
    text = re.sub(r"\$__timeGroup\((\w+),\s*'(\w+)'\)", lambda found: _group(found[1], seconds(found[2])), text)
    text = _filled(text, _intervals(span, step), lambda value: value[0])
    return _filled(text, values, lambda chosen: ",".join("'" + value.replace("'", "''") + "'" for value in chosen))


def _group(column: str, width: int) -> str:
    return f"floor(extract(epoch from {column})/{width})*{width}"


def _filled(text: str, values: Mapping[str, Any], write: Callable[[list[str]], str]) -> str:
    """Names that begin with another name come first, so that `$__interval_msT` is what it says."""
    for name in sorted(values, key=len, reverse=True):
        given = values[name]
        written = write([given] if isinstance(given, str) else given)
        text = re.sub(rf"\$\{{{name}(?::\w+)?\}}", lambda _, one=written: one, text)
        boundary = "" if name.startswith("__") else r"\b"
        text = re.sub(rf"\${name}{boundary}", lambda _, one=written: one, text)
    return text


def panels(tree: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels of a dashboard, without its rows."""
    for panel in tree["panels"]:
        if panel["type"] != "row":
            yield panel


_FUNCTION_WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "offset", "bool"}


def metrics(expression: str) -> set[str]:
    """The names of the metrics that a PromQL expression asks for."""
    names = set(re.findall(r'__name__=~?"\(?([a-zA-Z0-9_:|()]+)"', expression))
    spelled = {name for text in names for name in _alternatives(text)}
    text = re.sub(r'"(?:\\.|[^"\\])*"|`[^`]*`', '""', expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    found = {match[0] for match in re.finditer(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\(|[a-zA-Z0-9_:])", text)}
    return {name for name in found | spelled if name not in _FUNCTION_WORDS}


def _alternatives(text: str) -> list[str]:
    """`(trading|strategy)_kill_switch_active` names two."""
    if found := re.fullmatch(r"\(?([\w:|]+)\)([\w:]+)", text):
        return [f"{one}{found[2]}" for one in found[1].split("|")]
    return text.split("|")


def variable_question(variable: Mapping[str, Any]) -> tuple[str, str]:
    """The store that a variable's values come from, and the question."""
    asked = variable["query"]
    return str(variable["datasource"]["uid"]).removeprefix("crowsnest-"), asked if isinstance(asked, str) else asked["query"]


def load(text: str) -> dict[str, Any]:
    """A dashboard's file."""
    tree: dict[str, Any] = json.loads(text)
    return tree
