"""`/api/trading`: orders, fills, positions, signals, one order's whole story, and what there is to choose from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from crowsnest.api.identity.dependencies import Current
from crowsnest.api.identity.schemas import Identity
from crowsnest.api.logs import moments
from crowsnest.api.postgres import Postgres
from crowsnest.api.problems import Problem, documented
from crowsnest.api.schema import tables
from crowsnest.api.trading import schemas
from crowsnest.api.trading.books import FILLS, ORDERS, POSITIONS, SIGNALS, Book, Cursor

router = APIRouter(prefix="/api/trading", tags=["trading"])
JSON: Final = "application/json"
PROBLEMS: Final = documented(
    "invalid-query", "unauthenticated", "forbidden", "not-in-this-stack", "database-unavailable", "timeout"
)
# Records of an order are looked for this long before its decision and after its last change.
_AROUND: Final = timedelta(seconds=2)
_RUNS: Final = 50
# The distinct values of an index's first column, by leaps: as many look-ups as values, however many rows.
_DISTINCT: Final = """
    WITH RECURSIVE found AS (
        (SELECT {column} AS value FROM trading.orders ORDER BY {column} LIMIT 1)
        UNION ALL
        SELECT (SELECT {column} FROM trading.orders WHERE {column} > found.value ORDER BY {column} LIMIT 1)
        FROM found WHERE found.value IS NOT NULL
    )
    SELECT value FROM found WHERE value IS NOT NULL LIMIT 500
"""


def postgres_of(request: Request) -> Postgres:
    """The application's trading database."""
    postgres: Postgres = request.app.state.postgres
    return postgres


def json_answer(document: object, status: int = 200) -> Response:
    """Decimals and moments as text."""
    return Response(msgspec.json.encode(document), status, media_type=JSON)


def visible(identity: Identity, strategy_id: str | None = None) -> Sequence[str] | None:
    """The strategies that somebody may see; None is all.

    Raises:
        Problem: the one that was named is not among them.
    """
    allowed = identity.strategies
    if allowed is not None and strategy_id is not None and strategy_id not in allowed:
        raise Problem("forbidden", f"{identity.name} may not see the strategy {strategy_id}")
    return allowed


async def _page(request: Request, identity: Identity, book: Book, asked: schemas.PageParameters) -> Response:
    try:
        now_ns = time.time_ns()
        start, end = (None if one is None else _moment(one, now_ns) for one in (asked.start, asked.end))
        before = Cursor.parse(asked.before) if asked.before else None
    except (ValueError, OverflowError, OSError) as error:
        # The latter two are of moments that no clock has.
        raise Problem("invalid-query", f"not a time: {error}") from None
    question = book.page(
        limit=asked.limit,
        strategies=visible(identity, asked.strategy_id),
        equal=asked.model_dump(),
        start=start,
        end=end,
        before=before,
    )
    async with postgres_of(request).reading() as connection:
        rows = await _rows(connection, question)
    more = len(rows) > asked.limit
    rows = rows[: asked.limit]
    return json_answer({"rows": rows, "next": str(Cursor(rows[-1]["time"], rows[-1]["id"])) if more else None})


def _moment(given: str, now_ns: int) -> datetime:
    return datetime.fromtimestamp(moments.parse(given, now_ns) / moments.SECOND_NS, UTC)


async def _rows(connection: AsyncConnection, question: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in (await connection.execute(question)).mappings()]


@router.get("/orders", response_model=schemas.OrderPage, responses=PROBLEMS)
async def orders(request: Request, identity: Current, asked: Annotated[schemas.OrderParameters, Query()]) -> Response:
    """Orders in their newest state, newest first."""
    return await _page(request, identity, ORDERS, asked)


@router.get("/fills", response_model=schemas.FillPage, responses=PROBLEMS)
async def fills(request: Request, identity: Current, asked: Annotated[schemas.FillParameters, Query()]) -> Response:
    """Executions, newest first."""
    return await _page(request, identity, FILLS, asked)


@router.get("/positions", response_model=schemas.PositionPage, responses=PROBLEMS)
async def positions(request: Request, identity: Current, asked: Annotated[schemas.PositionParameters, Query()]) -> Response:
    """Positions in their newest state, newest first."""
    return await _page(request, identity, POSITIONS, asked)


@router.get("/signals", response_model=schemas.SignalPage, responses=PROBLEMS)
async def signals(request: Request, identity: Current, asked: Annotated[schemas.SignalParameters, Query()]) -> Response:
    """Signals, newest first."""
    return await _page(request, identity, SIGNALS, asked)


@router.get("/choices", response_model=schemas.Choices, responses=PROBLEMS)
async def choices(request: Request, identity: Current) -> Response:
    """Strategies, instruments and runs there are to choose from."""
    allowed = visible(identity)
    async with postgres_of(request).reading() as connection:
        found = {
            column: [row[0] for row in await connection.execute(text(_DISTINCT.format(column=column)))]
            for column in ("strategy_id", "instrument")
        }
        budgeted = [row[0] for row in await connection.execute(select(tables.BUDGETS.c.strategy_id))]
        runs = await _rows(connection, select(tables.RUNS).order_by(tables.RUNS.c.time.desc()).limit(_RUNS))
    strategies = sorted({*found["strategy_id"], *budgeted})
    for run in runs:
        run["strategies"] = [one for one in run["strategies"].split(",") if allowed is None or one in allowed]
    return json_answer(
        {
            "strategies": [one for one in strategies if allowed is None or one in allowed],
            "instruments": found["instrument"],
            "runs": runs,
        }
    )


@router.get(
    "/orders/{run_id}/{client_order_id}", response_model=schemas.OrderStory, responses={**PROBLEMS, **documented("not-found")}
)
async def order(
    request: Request,
    identity: Current,
    run_id: Annotated[str, Path(max_length=256)],
    client_order_id: Annotated[str, Path(max_length=256)],
) -> Response:
    """One order with its fills, positions, latency, and where its log records are."""
    if "\x00" in run_id + client_order_id:
        raise Problem("invalid-query", "an identifier has no such characters")
    table = tables.ORDERS
    async with postgres_of(request).reading() as connection:
        found = await _rows(
            connection, select(table).where(table.c.run_id == run_id, table.c.client_order_id == client_order_id)
        )
        allowed = visible(identity)
        if not found or (allowed is not None and found[0]["strategy_id"] not in allowed):
            raise Problem("not-found", f"there is no order {client_order_id!r} in the run {run_id!r}", "list the orders")
        story = await _story(connection, found[0])
    return json_answer(story)


async def _story(connection: AsyncConnection, order: dict[str, Any]) -> dict[str, Any]:
    run, name = order["run_id"], order["client_order_id"]
    fills, positions, signals = tables.FILLS.c, tables.POSITIONS.c, tables.SIGNALS.c
    by_order = [fills.run_id == run, fills.client_order_id == name]
    fill_rows = await _rows(connection, select(tables.FILLS).where(*by_order).order_by(fills.time, fills.id).limit(500))
    position_rows = await _rows(
        connection,
        select(tables.POSITIONS)
        .where(
            positions.run_id == run,
            positions.position_id.in_({row["position_id"] for row in fill_rows}),
            or_(positions.opening_order_id == name, positions.closing_order_id == name),
        )
        .order_by(positions.time, positions.id),
    )
    same = [signals.strategy_id == order["strategy_id"], signals.instrument == order["instrument"], signals.run_id == run]
    signal_rows = await _rows(
        connection,
        select(tables.SIGNALS)
        .where(*same, signals.time <= order["time"])
        .order_by(signals.time.desc(), signals.id.desc())
        .limit(1),
    )
    return {
        "order": order,
        "fills": fill_rows,
        "positions": position_rows,
        "signal": signal_rows[0] if signal_rows else None,
        "logs": {
            "q": f"order_id:={msgspec.json.encode(name).decode()}",
            "strategy_id": order["strategy_id"],
            "start": order["time"] - _AROUND,
            "end": order["updated"] + _AROUND,
        },
    }
