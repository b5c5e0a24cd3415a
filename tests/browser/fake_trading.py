"""What was traded, budgets, the audit log and services, made up from the fake log records: data for the fake API.

Questions are read by the API's own schemas; problems and the audit log's chain are its own. What is left to differ is held
against the API's description by tests/unit/test_fake_api.py.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any
from urllib.parse import unquote

import msgspec
from fake_records import STRATEGIES, Record, Store
from pydantic import BaseModel, ValidationError

from crowsnest.api.audit import chain
from crowsnest.api.audit.endpoints import AuditParameters
from crowsnest.api.budgets.schemas import ChangesParameters, NewCap
from crowsnest.api.logs import moments
from crowsnest.api.problems import Problem
from crowsnest.api.services.schemas import Restart
from crowsnest.api.trading import books, schemas

Row = dict[str, Any]
User = dict[str, Any]

MICROSECOND = timedelta(microseconds=1)
MARKET_BEGINS = datetime(2012, 1, 3, 21, tzinfo=UTC)
# Orders of the last hour belong to the second pass of the process, earlier ones to the first.
TURN_SECONDS = 3600
RAISE_MINUTES = 15
APPLIED_AFTER_SECONDS = 0.5
RESTART_SECONDS = 0.4
SLOW_SECONDS = 2.0
SIGNAL = re.compile(r"closed at ([\d.]+), signal (BUY|SELL)")
BOOKS: dict[str, tuple[books.Book, type[schemas.PageParameters]]] = {
    "orders": (books.ORDERS, schemas.OrderParameters),
    "fills": (books.FILLS, schemas.FillParameters),
    "positions": (books.POSITIONS, schemas.PositionParameters),
    "signals": (books.SIGNALS, schemas.SignalParameters),
}
# Cap, and what is bound of it: within, nearly, beyond, and of a strategy that the engine has not run.
BUDGETS = (("250000.00", "155000.00"), ("100000.00", "93250.50"), ("40000.00", "47200.00"), ("75000.00", None))
SERVICES = (
    ("alloy", "running", "none", "Up 3 hours", True, False),
    ("api", "running", "healthy", "Up 3 hours (healthy)", False, True),
    ("mimir", "running", "starting", "Up 4 seconds (health: starting)", True, True),
    ("postgresql", "running", "healthy", "Up 3 hours (healthy)", False, True),
    ("redis", "running", "unhealthy", "Up 3 hours (unhealthy)", True, True),
    ("trader", "running", "healthy", "Up 3 hours (healthy)", False, False),
    ("victorialogs", "exited", "none", "Exited (137) 12 minutes ago", True, True),
)  # fmt: skip


@dataclass
class Asked:
    """A request."""

    user: User
    parameters: dict[str, list[str]]
    body: dict[str, Any]

    def read(self, model: type[BaseModel]) -> Any:
        """The query string, as the API reads it."""
        return _read(model, {name: values[0] for name, values in self.parameters.items()})

    def sent(self, model: type[BaseModel]) -> Any:
        """The body, as the API reads it."""
        return _read(model, self.body)

    def may_see(self, strategy_id: str | None) -> bool:
        allowed = self.user["strategies"]
        return allowed is None or strategy_id is None or strategy_id in allowed

    def must_see(self, strategy_id: str | None) -> None:
        if not self.may_see(strategy_id):
            raise Problem("forbidden", f"{self.user['name']} may not see the strategy {strategy_id}")

    def must_operate(self) -> None:
        if self.user["role"] != "operator":
            raise Problem("forbidden", f"this needs the role operator, {self.user['name']} is a {self.user['role']}")


def _read(model: type[BaseModel], given: dict[str, Any]) -> Any:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Problem("invalid-query", str(error.errors()[0]["msg"])) from None


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Deals:
    """The four books and the runs, from the records of deals as they come."""

    store: Store
    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in BOOKS})
    _began: datetime = field(default_factory=now)
    _seen: int = 0
    _orders: dict[str, Row] = field(default_factory=dict)
    _open: dict[tuple[str, str], Row] = field(default_factory=dict)

    def take(self) -> None:
        """Read the records that have come since the last time."""
        begin, self._seen = self._seen, len(self.store.records)
        for index, record in enumerate(islice(self.store.records, begin, self._seen), begin):
            if (take := self._TAKERS.get(record.get("action", ""))) is not None:
                take(self, record, books.EPOCH + MICROSECOND * (self.store.times[index] // 1000))

    def run_id(self, loop: int) -> str:
        return f"{self.store.story.boot}-{loop}"

    def runs(self) -> list[Row]:
        turn = self._began - timedelta(seconds=TURN_SECONDS)
        first = {"loop": 1, "time": turn - timedelta(hours=23), "ended": turn}
        same = {"boot": self.store.story.boot, "mode": "replay", "strategies": list(STRATEGIES)}
        return [
            {**one, **same, "run_id": self.run_id(one["loop"])} for one in ({"loop": 2, "time": turn, "ended": None}, first)
        ]

    def _row(self, book: str, record: Record, time_: datetime) -> Row:
        place = len(self.rows[book])
        row = {
            "id": place + 1,
            "run_id": self.run_id(2 if self._began - time_ < timedelta(seconds=TURN_SECONDS) else 1),
            "strategy_id": record["strategy_id"],
            "instrument": record["instrument"],
            "time": time_,
            "market_time": MARKET_BEGINS + timedelta(days=place % 700),
        }
        self.rows[book].append(row)
        return row

    def _signal(self, record: Record, time_: datetime) -> None:
        if found := SIGNAL.search(record["_msg"]):
            row = self._row("signals", record, time_)
            direction = "LONG" if found[2] == "BUY" else "SHORT"
            row |= {"seq": row["id"], "direction": direction, "strength": row["id"] % 97 / 97, "price": found[1]}

    def _submitted(self, record: Record, time_: datetime) -> None:
        order = self._row("orders", record, time_)
        order |= {
            "client_order_id": record["order_id"],
            "side": record["side"],
            "order_type": "MARKET",
            "status": "SUBMITTED",
            "quantity": record["quantity"],
            "filled_quantity": "0",
            "average_price": None,
            "reason": None,
            "submit_latency_us": None,
            "fill_latency_us": None,
            "version": 1,
            "updated": time_,
        }
        self._orders[record["order_id"]] = order

    def _rejected(self, record: Record, time_: datetime) -> None:
        order = self._orders[record["order_id"]]
        order |= {"status": "REJECTED", "reason": record["reason"], "updated": time_, "version": 2, "submit_latency_us": 340.5}

    def _filled(self, record: Record, time_: datetime) -> None:
        order = self._orders[record["order_id"]]
        submit_us = 90.0 + order["id"] * 7919 % 400
        filled = {"status": "FILLED", "filled_quantity": record["quantity"], "average_price": record["price"], "version": 3}
        order |= filled | {"submit_latency_us": submit_us, "fill_latency_us": submit_us * 2.5, "updated": time_}
        position = self._position(order, record, time_)
        fill = self._row("fills", record, time_)
        fill |= {
            "trade_id": f"SIM-{fill['id']}",
            "client_order_id": record["order_id"],
            "position_id": position["position_id"],
            "side": record["side"],
            "quantity": record["quantity"],
            "price": record["price"],
            "commission": "0.35",
            "currency": "USD",
        }

    def _position(self, order: Row, record: Record, time_: datetime) -> Row:
        """A fill opens a position of its strategy and instrument, and the next one closes it, whatever its side."""
        key = (order["strategy_id"], order["instrument"])
        price = Decimal(record["price"])
        if (position := self._open.pop(key, None)) is not None:
            gained = (price - Decimal(position["average_open"])) * Decimal(position["quantity"])
            closed = {"side": "FLAT", "quantity": "0", "is_open": False, "version": 2, "average_close": record["price"]}
            position |= closed | {"realized_pnl": f"{gained:.2f}", "closing_order_id": order["client_order_id"]}
            position |= {"updated": time_, "market_closed": order["market_time"]}
            return position
        sign = "" if record["side"] == "BUY" else "-"
        position = self._row("positions", record, time_)
        position |= {
            "position_id": f"{order['instrument']}-{position['id']}",
            "opening_order_id": order["client_order_id"],
            "closing_order_id": None,
            "side": "SHORT" if sign else "LONG",
            "quantity": sign + record["quantity"],
            "peak_quantity": record["quantity"],
            "average_open": record["price"],
            "average_close": None,
            "realized_pnl": "-0.35",
            "currency": "USD",
            "is_open": True,
            "version": 1,
            "updated": time_,
            "market_closed": None,
        }
        self._open[key] = position
        return position

    _TAKERS = {"signal": _signal, "order_submitted": _submitted, "order_rejected": _rejected, "order_filled": _filled}


@dataclass
class Desk:
    """Answers to the pages of trading, budgets, audit and services, and the trouble these are in.

    Args:
        deals: what was traded.
        operators: names of those who may change something.
        database: `ok`, `away`, `slow`, or `empty`.
        docker: `ok`, `away`, or `none` where the stack has no socket proxy.
        silent_seconds: for which the engine has not been heard of.
    """

    deals: Deals
    operators: tuple[str, ...]
    database: str = "ok"
    docker: str = "ok"
    silent_seconds: float = 0.3
    _budgets: dict[str, Row] = field(default_factory=dict)
    _changes: list[Row] = field(default_factory=list)
    _raises: list[Row] = field(default_factory=list)
    _audit: list[Row] = field(default_factory=list)
    _states: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        begun = now() - timedelta(hours=5)
        for strategy, (cap, used) in zip(STRATEGIES, BUDGETS, strict=True):
            self._budgets[strategy] = {
                "strategy_id": strategy,
                "cap_usd": cap,
                "version": 1,
                "changed": begun,
                "changed_by": "engine",
                "reason": "the engine's default",
                "used_usd": used,
                "denied_total": None if used is None else 3,
            }
        self._states = {name: (state, health, status) for name, state, health, status, *_ in SERVICES}
        for number in range(120):
            who = self.operators[number % len(self.operators)]
            outcome = "refused:unauthenticated" if number % 40 == 7 else "allowed"
            self._note(who, "auth.login", outcome, {}, at=begun + timedelta(minutes=2 * number))

    def answer(self, method: str, path: str, asked: Asked) -> tuple[int, bytes]:
        """Status and JSON; None where there is no such endpoint.

        Raises:
            Problem: what the API would say, too.
        """
        for known, pattern, serve in ROUTES:
            if known == method and (found := re.fullmatch(pattern, path)):
                self._trouble(path)
                with self._lock:
                    self.deals.take()
                    answer = serve(self, asked, *map(unquote, found.groups()))
                status, document = answer if isinstance(answer, tuple) else (200, answer)
                return status, msgspec.json.encode(document)
        raise Problem("not-found", "there is nothing at this address", "see /api/openapi.json")

    def _trouble(self, path: str) -> None:
        if self.database == "slow":
            time.sleep(SLOW_SECONDS)
        if self.database == "away" and path.startswith(("trading", "budgets")):
            raise Problem("database-unavailable", "no connection within 2 s")
        if path.startswith("services") and self.docker == "away":
            raise Problem("docker-unavailable", "the socket proxy does not answer: TimeoutError")
        if path.startswith("services") and self.docker == "none":
            raise Problem("not-in-this-stack", "this stack has no socket proxy", "set `services: true` of the pipeline viewer")

    # ---- trading

    def _visible(self, asked: Asked, book: str) -> Iterable[Row]:
        """Newest first."""
        if self.database == "empty":
            return ()
        return (row for row in reversed(self.deals.rows[book]) if asked.may_see(row["strategy_id"]))

    def page(self, asked: Asked, book: str) -> Row:
        shown, model = BOOKS[book]
        wanted = asked.read(model)
        asked.must_see(wanted.strategy_id)
        equal = {name: value for name in shown.equal if (value := getattr(wanted, name)) is not None}
        at_ns = time.time_ns()
        start, end = (None if one is None else moments.parse(one, at_ns) for one in (wanted.start, wanted.end))
        before = books.Cursor.parse(wanted.before) if wanted.before else None

        def fits(row: Row) -> bool:
            time_ns = (row["time"] - books.EPOCH) // MICROSECOND * 1000
            return (
                all(row[name] == value for name, value in equal.items())
                and (start is None or time_ns >= start)
                and (end is None or time_ns < end)
                and (before is None or (row["time"], row["id"]) < (before.time, before.row))
            )

        found = list(islice(filter(fits, self._visible(asked, book)), wanted.limit + 1))
        rows = found[: wanted.limit]
        more = len(found) > wanted.limit
        return {"rows": rows, "next": str(books.Cursor(rows[-1]["time"], rows[-1]["id"])) if more else None}

    def choices(self, asked: Asked) -> Row:
        runs = [] if self.database == "empty" else self.deals.runs()
        return {
            "strategies": sorted(filter(asked.may_see, STRATEGIES)),
            "instruments": sorted({row["instrument"] for row in self._visible(asked, "orders")}),
            "runs": [{**run, "strategies": list(filter(asked.may_see, run["strategies"]))} for run in runs],
        }

    def order(self, asked: Asked, run_id: str, name: str) -> Row:
        def own(book: str, *columns: str) -> list[Row]:
            rows = [one for one in self._visible(asked, book) if one["run_id"] == run_id]
            return [one for one in rows if any(one[column] == name for column in columns)][::-1]

        found = own("orders", "client_order_id")
        if not found:
            raise Problem("not-found", f"there is no order {name!r} in the run {run_id!r}", "list the orders")
        (order,) = found
        same = ("run_id", "strategy_id", "instrument")
        around = timedelta(seconds=2)
        return {
            "order": order,
            "fills": own("fills", "client_order_id"),
            "positions": own("positions", "opening_order_id", "closing_order_id"),
            "signal": next(
                (
                    signal
                    for signal in self._visible(asked, "signals")
                    if signal["time"] <= order["time"] and all(signal[column] == order[column] for column in same)
                ),
                None,
            ),
            "logs": {
                "q": f'order_id:="{name}"',
                "strategy_id": order["strategy_id"],
                "start": order["time"] - around,
                "end": order["updated"] + around,
            },
        }

    # ---- budgets

    def budgets(self, asked: Asked) -> Row:
        shown = [self._budget(one) for one in sorted(self._budgets) if asked.may_see(one)]
        return {"budgets": [] if self.database == "empty" else shown}

    def _budget(self, strategy: str) -> Row:
        budget = self._budgets[strategy]
        runs = budget["used_usd"] is not None
        applied = budget["version"] - (now() - budget["changed"] < timedelta(seconds=APPLIED_AFTER_SECONDS))
        waiting = [one for one in self._raises if one["strategy_id"] == strategy and one["state"] == "pending"]
        return {
            **budget,
            "applied_version": applied if runs else None,
            "usage_age_seconds": self.silent_seconds if runs else None,
            "pending": next((one for one in waiting if one["base_version"] == budget["version"]), None),
        }

    def changes(self, asked: Asked, strategy: str) -> Row:
        asked.must_see(strategy)
        wanted = asked.read(ChangesParameters)
        rows = [one for one in reversed(self._changes) if one["strategy_id"] == strategy]
        return _numbered([one for one in rows if wanted.before is None or one["id"] < wanted.before], wanted.limit, "id")

    def change(self, asked: Asked, strategy: str) -> tuple[int, Row]:
        asked.must_operate()
        asked.must_see(strategy)
        wanted = asked.sent(NewCap)
        budget = self._budgets.get(strategy)
        if budget is None:
            raise Problem("not-found", f"there is no budget of {strategy!r}", "the engine makes one for each strategy it runs")
        cap, present = Decimal(wanted.cap_usd), Decimal(budget["cap_usd"])
        detail = {"strategy_id": strategy, "from": budget["cap_usd"], "to": str(cap), "reason": wanted.reason}
        try:
            self._must_be(budget, wanted.version)
            if cap == present:
                raise Problem("invalid-query", f"the cap is {cap} already", "name another")
            if cap < present:
                self._apply(budget, cap, asked.user["name"], None, wanted.reason)
            else:
                self._ask(budget, cap, asked.user["name"], wanted.reason)
        except Problem as problem:
            self._note(asked.user["name"], "budgets.change", f"refused:{problem.kind}", {**detail, "why": problem.detail})
            raise
        self._note(asked.user["name"], "budgets.change", "allowed", detail)
        return (200 if cap < present else 202), {"budget": self._budget(strategy), "applied": cap < present}

    def decide(self, asked: Asked, number: str, verdict: str) -> Row:
        asked.must_operate()
        name = asked.user["name"]
        found = next((one for one in self._raises if one["id"] == int(number)), None)
        if found is None or not asked.may_see(found["strategy_id"]):
            raise Problem("not-found", f"there is no raise {number}", "read the budgets")
        try:
            if found["state"] != "pending":
                raise Problem("conflict", f"this raise is {found['state']} by {found['decided_by']}", "read the budgets again")
            budget = self._budgets[found["strategy_id"]]
            if verdict == "confirm":
                if name == found["requested_by"] and len(self.operators) > 1:
                    raise Problem("forbidden", "whoever asks for a raise does not confirm it", "another operator confirms it")
                self._must_be(budget, found["base_version"])
                self._apply(budget, Decimal(found["cap_usd"]), found["requested_by"], name, found["reason"])
            found |= {"state": f"{verdict}ed", "decided_by": name, "decided": now()}
        except Problem as problem:
            self._note(name, f"budgets.{verdict}", f"refused:{problem.kind}", {"request": int(number), "why": problem.detail})
            raise
        self._note(name, f"budgets.{verdict}", "allowed", {"request": int(number), "strategy_id": found["strategy_id"]})
        return {"budget": self._budget(found["strategy_id"]), "applied": verdict == "confirm"}

    @staticmethod
    def _must_be(budget: Row, version: int) -> None:
        if budget["version"] != version:
            raise Problem(
                "conflict",
                f"the budget of {budget['strategy_id']} has version {budget['version']} by now: {budget['cap_usd']} dollars,"
                f" changed by {budget['changed_by']} ({budget['reason']}); you looked at version {version}",
                "read it again, and decide anew",
            )

    def _apply(self, budget: Row, cap: Decimal, by: str, confirmed_by: str | None, reason: str) -> None:
        previous, text = budget["cap_usd"], f"{cap:.2f}"
        budget |= {
            "cap_usd": text,
            "version": budget["version"] + 1,
            "changed": now(),
            "changed_by": by,
            "reason": reason,
        }
        same = {name: budget[name] for name in ("strategy_id", "version", "cap_usd", "changed", "changed_by", "reason")}
        self._changes.append({"id": len(self._changes) + 1, "previous_usd": previous, "confirmed_by": confirmed_by, **same})

    def _ask(self, budget: Row, cap: Decimal, by: str, reason: str) -> None:
        if (waits := self._budget(budget["strategy_id"])["pending"]) is not None:
            raise Problem(
                "conflict",
                f"a raise of {waits['strategy_id']} to {waits['cap_usd']} dollars by {waits['requested_by']} waits already",
                "confirm or reject that one first",
            )
        self._raises.append(
            {
                "id": len(self._raises) + 1,
                "strategy_id": budget["strategy_id"],
                "base_version": budget["version"],
                "cap_usd": f"{cap:.2f}",
                "reason": reason,
                "requested_by": by,
                "requested": now(),
                "expires": now() + timedelta(minutes=RAISE_MINUTES),
                "state": "pending",
                "decided_by": None,
                "decided": None,
            }
        )

    # ---- audit

    def audit(self, asked: Asked) -> Row:
        asked.must_operate()
        wanted = asked.read(AuditParameters)
        rows = [one for one in reversed(self._audit) if wanted.before is None or one["seq"] < wanted.before]
        return _numbered(rows, wanted.limit, "seq")

    def _note(self, actor: str, action: str, outcome: str, detail: Row, at: datetime | None = None) -> None:
        previous = bytes.fromhex(self._audit[-1]["hash"]) if self._audit else chain.GENESIS
        row = {
            "seq": len(self._audit) + 1,
            "time": (at or now()).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "actor": actor,
            "address": "192.0.2.7",
            "action": action,
            "outcome": outcome,
        }
        text = msgspec.json.encode(detail).decode()
        self._audit.append({**row, "detail": detail, "hash": chain.row_hash(previous, [*row.values(), text]).hex()})

    # ---- services

    def services(self, asked: Asked) -> Row:
        return {
            "services": [
                {
                    "component": name,
                    "container": f"crowsnest-{name}",
                    "image": f"crowsnest/{name}:fake",
                    "restartable": restartable,
                    "has_records": has_records,
                    **dict(zip(("state", "health", "status"), self._states[name], strict=True)),
                }
                for name, *_, restartable, has_records in SERVICES
            ]
        }

    def restart(self, asked: Asked, component: str) -> Row:
        asked.must_operate()
        detail = {"component": component, "reason": asked.sent(Restart).reason}
        name = asked.user["name"]
        allowed = [one for one, *_, restartable, _ in SERVICES if restartable]
        if component not in allowed:
            why = f"{component} is not restarted from here; those that are: {', '.join(allowed)}"
            self._note(name, "services.restart", "refused:forbidden", {**detail, "why": why})
            raise Problem("forbidden", why)
        self._note(name, "services.restart", "allowed", detail)
        if component == "redis":
            self._note(name, "services.restart", "failed:forbidden", detail)
            raise Problem("forbidden", "the socket proxy does not restart crowsnest-redis", "name it in the stack's settings")
        time.sleep(RESTART_SECONDS)
        self._states[component] = ("running", "none", "Up 1 second")
        self._note(name, "services.restart", "done", detail)
        return {"component": component, "took_ms": RESTART_SECONDS * 1000}


def _numbered(rows: list[Row], limit: int, key: str) -> Row:
    """A page of rows that are counted."""
    return {"rows": rows[:limit], "next": rows[limit - 1][key] if len(rows) > limit else None}


SEGMENT = "([^/]+)"
ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", f"trading/({'|'.join(BOOKS)})", Desk.page),
    ("GET", "trading/choices", Desk.choices),
    ("GET", f"trading/orders/{SEGMENT}/{SEGMENT}", Desk.order),
    ("GET", "budgets", Desk.budgets),
    ("GET", f"budgets/{SEGMENT}/changes", Desk.changes),
    ("POST", r"budgets/raises/(\d+)/(confirm|reject)", Desk.decide),
    ("PUT", f"budgets/{SEGMENT}", Desk.change),
    ("GET", "audit", Desk.audit),
    ("GET", "services", Desk.services),
    ("POST", f"services/{SEGMENT}/restart", Desk.restart),
)
