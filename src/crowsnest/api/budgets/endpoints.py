"""`/api/budgets`: read, change, and the second step of a raise."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from crowsnest.api.budgets import schemas
from crowsnest.api.budgets.service import BudgetService, Who
from crowsnest.api.identity.dependencies import Current, Operator, address_of, service_of
from crowsnest.api.identity.schemas import Identity
from crowsnest.api.problems import documented
from crowsnest.api.trading.endpoints import PROBLEMS, json_answer, visible

router = APIRouter(prefix="/api/budgets", tags=["budgets"])
_CHANGING = {**PROBLEMS, **documented("forbidden", "csrf", "not-found", "conflict", "too-large", "too-slow")}
StrategyId = Annotated[str, Path(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f/]+$")]
RaiseId = Annotated[int, Path(ge=1, le=2**62)]


def _service(request: Request) -> BudgetService:
    service: BudgetService = request.app.state.budgets
    return service


def _who(request: Request, identity: Identity) -> Who:
    others = [
        user
        for user in service_of(request).users()
        if user.role == "operator" and not user.disabled and user.name != identity.name
    ]
    return Who(identity.name, address_of(request), is_machine=identity.session is None, is_alone=not others)


@router.get("", response_model=schemas.Budgets, responses=PROBLEMS)
async def budgets(request: Request, identity: Current) -> Response:
    """Every budget, with what the engine says of its use, and the raise that waits."""
    return json_answer({"budgets": await _service(request).budgets(visible(identity))})


@router.get("/{strategy_id}/changes", response_model=schemas.Changes, responses=PROBLEMS)
async def changes(
    request: Request, identity: Current, strategy_id: StrategyId, asked: Annotated[schemas.ChangesParameters, Query()]
) -> Response:
    """The history of a budget, newest first."""
    visible(identity, strategy_id)
    rows = await _service(request).changes(strategy_id, asked.before, asked.limit)
    more = len(rows) > asked.limit
    rows = rows[: asked.limit]
    return json_answer({"rows": rows, "next": rows[-1]["id"] if more else None})


@router.put(
    "/{strategy_id}",
    response_model=schemas.Changed,
    responses={202: {"model": schemas.Changed, "description": "a raise: it waits for its second step"}, **_CHANGING},
)
async def change(request: Request, identity: Operator, strategy_id: StrategyId, wanted: schemas.NewCap) -> Response:
    """Lower a cap at once, or ask for a raise, which another operator confirms."""
    visible(identity, strategy_id)
    budget, applied = await _service(request).change(_who(request, identity), strategy_id, wanted)
    return json_answer({"budget": budget, "applied": applied}, 200 if applied else 202)


@router.post("/raises/{request_id}/confirm", response_model=schemas.Changed, responses=_CHANGING)
async def confirm(request: Request, identity: Operator, request_id: RaiseId) -> Response:
    """The second step of a raise: the cap holds from now on."""
    return await _decide(request, identity, request_id, confirm=True)


@router.post("/raises/{request_id}/reject", response_model=schemas.Changed, responses=_CHANGING)
async def reject(request: Request, identity: Operator, request_id: RaiseId) -> Response:
    """Refuse a raise, or take one's own back."""
    return await _decide(request, identity, request_id, confirm=False)


async def _decide(request: Request, identity: Identity, request_id: int, *, confirm: bool) -> Response:
    who = _who(request, identity)
    budget = await _service(request).decide(who, request_id, confirm=confirm, strategies=visible(identity))
    return json_answer({"budget": budget, "applied": confirm})
