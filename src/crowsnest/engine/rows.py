"""The rows that the engine writes to PostgreSQL: one table of columns and types, from which the statements are made.

Each kind has a key, and a statement that can be repeated: a row that was written already changes nothing, so whatever is
unclear after a lost connection is simply sent again. The schema itself belongs to `crowsnest.api.schema`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One table.

    Attributes:
        name: of the table in the schema `trading`.
        key: columns that name a row for ever.
        columns: name and PostgreSQL type of each value of a row, in order.
        newer: condition under which a row that is there is replaced; empty keeps the first.
        kept: columns that keep their first value when a row is replaced.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    newer: str = ""
    kept: tuple[str, ...] = ("time", "market_time")

    @property
    def statement(self) -> str:
        """Writes many rows, given a column each; answers with the strategy of each row that was not there before."""
        names = ", ".join(name for name, _ in self.columns)
        arrays = ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(self.columns, 1))
        told = "strategy_id" if "strategy_id" in dict(self.columns) else "''"
        return (
            f"INSERT INTO trading.{self.name} AS present ({names}) SELECT * FROM unnest({arrays}) "  # noqa: S608 - our own names
            f"ON CONFLICT ({', '.join(self.key)}) DO {self._conflict} RETURNING {told} AS strategy_id, (xmax = 0) AS is_new"
        )

    @property
    def _conflict(self) -> str:
        if not self.newer:
            return "NOTHING"
        changing = [name for name, _ in self.columns if name not in (*self.key, *self.kept)]
        return f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changing)} WHERE {self.newer}"

    def position(self, column: str) -> int:
        """Where a column stands in a row."""
        return [name for name, _ in self.columns].index(column)


_WHO = (("run_id", "text"),)
_WHEN = (("time", "timestamptz"), ("market_time", "timestamptz"))
_WHAT = (("strategy_id", "text"), ("instrument", "text"))

RUNS: Final = Kind(
    "runs",
    ("run_id",),
    (*_WHO, ("boot", "text"), ("loop", "int"), ("mode", "text"), ("strategies", "text"), ("time", "timestamptz"),
     ("ended", "timestamptz")),
    newer="present.ended IS NULL AND excluded.ended IS NOT NULL",
)  # fmt: skip
ORDERS: Final = Kind(
    "orders",
    ("run_id", "client_order_id"),
    (*_WHO, ("client_order_id", "text"), *_WHAT, ("side", "text"), ("order_type", "text"), ("status", "text"),
     ("quantity", "numeric"), ("filled_quantity", "numeric"), ("average_price", "numeric"), ("reason", "text"),
     ("submit_latency_us", "float8"), ("fill_latency_us", "float8"), ("version", "int"), ("updated", "timestamptz"), *_WHEN),
    newer="present.version < excluded.version",
)  # fmt: skip
FILLS: Final = Kind(
    "fills",
    ("run_id", "trade_id"),
    (*_WHO, ("trade_id", "text"), ("client_order_id", "text"), ("position_id", "text"), *_WHAT, ("side", "text"),
     ("quantity", "numeric"), ("price", "numeric"), ("commission", "numeric"), ("currency", "text"), *_WHEN),
)  # fmt: skip
POSITIONS: Final = Kind(
    "positions",
    ("run_id", "position_id", "opening_order_id"),
    (*_WHO, ("position_id", "text"), ("opening_order_id", "text"), ("closing_order_id", "text"), *_WHAT, ("side", "text"),
     ("quantity", "numeric"), ("peak_quantity", "numeric"), ("average_open", "numeric"), ("average_close", "numeric"),
     ("realized_pnl", "numeric"), ("currency", "text"), ("is_open", "bool"), ("version", "int"), ("updated", "timestamptz"),
     ("market_closed", "timestamptz"), *_WHEN),
    newer="present.version < excluded.version",
)  # fmt: skip
SIGNALS: Final = Kind(
    "signals",
    ("run_id", "seq"),
    (*_WHO, ("seq", "int8"), *_WHAT, ("direction", "text"), ("strength", "float8"), ("price", "numeric"), *_WHEN),
)
KINDS: Final = (RUNS, ORDERS, FILLS, POSITIONS, SIGNALS)
