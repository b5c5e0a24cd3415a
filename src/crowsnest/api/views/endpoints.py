"""`/api/views`: saved views of the one who asks."""

from __future__ import annotations

import json
import sqlite3
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from crowsnest.api.audit.store import AuditStore, Entry
from crowsnest.api.database import Database
from crowsnest.api.identity.dependencies import Current, address_of
from crowsnest.api.identity.repository import now_text
from crowsnest.api.problems import Problem, documented

MAX_VIEWS: Final = 100
router = APIRouter(prefix="/api/views", tags=["views"])
Name = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f/]+$")]
Text = Annotated[str, Field(max_length=4096)]


class ViewQuery(BaseModel):
    """What a view shows."""

    model_config = ConfigDict(extra="forbid")

    q: Text = "*"
    start: Annotated[str | None, Field(max_length=64)] = None
    end: Annotated[str | None, Field(max_length=64)] = None
    filters: Annotated[dict[str, Annotated[list[Text], Field(max_length=50)]], Field(max_length=20)] = {}
    columns: Annotated[list[Text], Field(max_length=50)] = []
    timezone: Annotated[str | None, Field(max_length=64)] = None


class View(BaseModel):
    """A saved view."""

    name: str
    query: ViewQuery
    updated: str


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _audit(request: Request) -> AuditStore:
    audit: AuditStore = request.app.state.audit
    return audit


@router.get("", response_model=list[View], responses=documented("unauthenticated"))
async def views(request: Request, identity: Current) -> Response:
    """All of one's views, by name."""
    rows = _database(request).reader.execute("SELECT * FROM views WHERE owner = ? ORDER BY name", (identity.name,))
    return JSONResponse([_shown(row["name"], json.loads(row["query"]), row["updated"]) for row in rows])


@router.put(
    "/{name}",
    response_model=View,
    responses=documented("invalid-query", "unauthenticated", "csrf", "conflict", "too-large", "too-slow"),
)
async def put(request: Request, identity: Current, name: Name, query: ViewQuery) -> Response:
    """Save a view, in place of one of that name."""
    document, updated = query.model_dump(), now_text()
    entry = Entry(identity.name, address_of(request), "views.put", "allowed", {"name": name})

    def write(connection: sqlite3.Connection) -> None:
        (count,) = connection.execute(
            "SELECT count(*) FROM views WHERE owner = ? AND name <> ?", (identity.name, name)
        ).fetchone()
        if count >= MAX_VIEWS:
            raise Problem("conflict", f"there are {count} views already", "delete one first")
        connection.execute(
            "INSERT OR REPLACE INTO views VALUES (?, ?, ?, ?)", (identity.name, name, json.dumps(document), updated)
        )
        _audit(request).append_within(connection, [entry])

    await _database(request).write(write)
    return JSONResponse(_shown(name, document, updated))


@router.delete("/{name}", status_code=204, responses=documented("invalid-query", "unauthenticated", "csrf", "not-found"))
async def delete(request: Request, identity: Current, name: Name) -> Response:
    """Delete a view."""
    entry = Entry(identity.name, address_of(request), "views.delete", "allowed", {"name": name})

    def write(connection: sqlite3.Connection) -> None:
        if not connection.execute("DELETE FROM views WHERE owner = ? AND name = ?", (identity.name, name)).rowcount:
            raise Problem("not-found", f"there is no view {name!r} of yours", "list the views")
        _audit(request).append_within(connection, [entry])

    await _database(request).write(write)
    return Response(status_code=204)


def _shown(name: str, query: dict[str, Any], updated: str) -> dict[str, object]:
    return {"name": name, "query": query, "updated": updated}
