"""What is not logged at all: every tick, raw market data, PnL figures and health-check pings; counted by rule.

A rule applies below WARNING only. Whoever logs a tick as a warning wants it seen, and it is.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class DropRule:
    """A kind of record that is not logged; it matches when any of its clauses does.

    Attributes:
        name: under which its drops are counted.
        events: whole messages (structlog: events), or values of the field `action`; compared in lower case.
        pattern: a regular expression searched in the message.
        fields: names of fields, any of which marks the record.
        loggers: names of loggers; their children are meant, too.

    Raises:
        ValueError: the rule has no clause, or `pattern` is not a regular expression.
    """

    name: str
    events: frozenset[str] = frozenset()
    pattern: str = ""
    fields: frozenset[str] = frozenset()
    loggers: tuple[str, ...] = ()
    _search: re.Pattern[str] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if not (self.events or self.pattern or self.fields or self.loggers):
            raise ValueError(f"drop rule {self.name!r} matches nothing: give it events, a pattern, fields or loggers")
        object.__setattr__(self, "events", frozenset(event.lower() for event in self.events))
        if self.pattern:
            try:
                object.__setattr__(self, "_search", re.compile(self.pattern))
            except re.error as error:
                raise ValueError(f"drop rule {self.name!r}: not a regular expression: {error}") from None

    def matches(self, logger: str, event: str, fields: Mapping[str, object]) -> bool:
        """Whether a record of this logger, message and free fields is of this kind."""
        action = fields.get("action")
        return (
            event.lower() in self.events
            or (isinstance(action, str) and action.lower() in self.events)
            or not self.fields.isdisjoint(fields)
            or any(logger == name or logger.startswith(name + ".") for name in self.loggers)
            or (self._search is not None and self._search.search(event) is not None)
        )


DEFAULT_DROP_RULES: Final = (
    DropRule(
        "tick",
        events=frozenset(
            {"tick", "quote_tick", "trade_tick", "on_tick", "on_quote_tick", "on_trade_tick", "tick_received", "quote_received"}
        ),
        # A symbol is upper case: "Tick SPY 501.2" is a tick, "tick size changed" is not.
        pattern=r"^(?:(?:[Qq]uote|[Tt]rade|[Pp]rice)[ _]?)?[Tt]ick(?:\(|:|=| received\b| [A-Z0-9][A-Z0-9./-]*\b[^a-z]*\d)",
    ),
    DropRule(
        "market_data",
        events=frozenset(
            {
                "market_data",
                "raw_market_data",
                "order_book",
                "order_book_update",
                "order_book_delta",
                "book_update",
                "raw_message",
            }
        ),
        pattern=r"^OrderBook(?:Delta|Deltas|Depth10|Depth)?\(",
        fields=frozenset({"bids", "asks", "order_book", "orderbook", "raw_message", "raw_data", "market_data"}),
    ),
    DropRule(
        "health_check",
        events=frozenset({"health_check", "healthcheck", "health check", "ping", "pong", "heartbeat"}),
        # Access logs of uvicorn, gunicorn and aiohttp; a check that failed (not 2xx) is logged.
        pattern=r'"(?:GET|HEAD) (?:[^" ]*/)?(?:healthz?|readyz?|livez?|ping)/?(?:\?[^" ]*)? HTTP/[\d.]+"? 2\d\d\b',
    ),
    DropRule(
        "pnl",
        events=frozenset({"pnl", "pnl_update", "pnl_snapshot", "daily_pnl", "unrealized_pnl", "realized_pnl"}),
        pattern=r"(?i)^(?:(?:daily|total|realized|unrealized|open) )?(?:pnl|p&l)\s*[:=]?\s*[-+(]?[$€£]?[-+]?\d[\d.,]*\s*[%)]?$",
    ),
)
"""Extend it: `drop_rules=(*DEFAULT_DROP_RULES, DropRule("greeks", events=frozenset({"greeks_update"})))`."""


class DropTable:
    """Rules in order, with an exact count for each; the first that matches counts the drop."""

    def __init__(self, rules: Sequence[DropRule] = DEFAULT_DROP_RULES) -> None:
        names = [rule.name for rule in rules]
        if len(set(names)) != len(names):
            raise ValueError(f"drop rules need names of their own, got {names}")
        self._rules = tuple(rules)
        self._counts = dict.fromkeys(names, 0)
        # Re-entrant: a signal handler may log while its thread counts.
        self._lock = threading.RLock()

    def drops(self, levelno: int, logger: str, event: str, fields: Mapping[str, object]) -> bool:
        """Whether the record is not logged; if so it has been counted."""
        if levelno >= logging.WARNING:
            return False
        for rule in self._rules:
            if rule.matches(logger, event, fields):
                with self._lock:
                    self._counts[rule.name] += 1
                return True
        return False

    @property
    def counts(self) -> dict[str, int]:
        """Records dropped so far, by rule; every rule is present."""
        with self._lock:
            return dict(self._counts)
