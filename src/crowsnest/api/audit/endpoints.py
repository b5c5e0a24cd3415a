"""`/api/audit`: the audit log, newest first."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from crowsnest.api.identity.dependencies import operator
from crowsnest.api.problems import documented

router = APIRouter(prefix="/api/audit", tags=["audit"])


class AuditParameters(BaseModel):
    """Of `/api/audit`."""

    model_config = ConfigDict(extra="forbid")

    before: Annotated[int | None, Field(ge=1, le=2**62, description="`next` of the page before")] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class AuditRow(BaseModel):
    """One entry."""

    seq: int
    time: str
    actor: str
    address: str
    action: str
    outcome: str
    detail: dict[str, Any]
    hash: str


class AuditPage(BaseModel):
    """Entries, newest first."""

    rows: list[AuditRow]
    next: Annotated[int | None, Field(description="`before` of the next page; null when there is none")]


@router.get(
    "",
    dependencies=[Depends(operator)],
    response_model=AuditPage,
    responses=documented("invalid-query", "unauthenticated", "forbidden"),
)
async def page(request: Request, asked: Annotated[AuditParameters, Query()]) -> Response:
    """A page of the audit log."""
    rows = request.app.state.audit.page(asked.before, asked.limit)
    return JSONResponse({"rows": rows, "next": rows[-1]["seq"] if rows and rows[-1]["seq"] > 1 else None})
