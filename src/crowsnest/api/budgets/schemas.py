"""The shapes of the budget API. Money is dollars and cents, written as text."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DOLLARS = r"^[0-9]{1,16}(\.[0-9]{1,2})?$"
Dollars = Annotated[str, Field(pattern=DOLLARS, description="dollars and cents", examples=["250000.00"])]
Reason = Annotated[str, Field(min_length=3, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]


class NewCap(BaseModel):
    """Of `PUT /api/budgets/{strategy_id}`."""

    model_config = ConfigDict(extra="forbid")

    cap_usd: Dollars
    version: Annotated[int, Field(ge=1, le=2**31 - 1, description="of the budget that was looked at")]
    reason: Reason


class Raise(BaseModel):
    """A raise that waits for its second step."""

    id: int
    strategy_id: str
    base_version: int
    cap_usd: str
    reason: str
    requested_by: str
    requested: datetime
    expires: datetime
    state: Literal["pending", "confirmed", "rejected", "expired"]
    decided_by: str | None
    decided: datetime | None


class Budget(BaseModel):
    """A strategy's cap, and what it uses of it."""

    strategy_id: str
    cap_usd: str
    version: int
    changed: datetime
    changed_by: str
    reason: str
    used_usd: Annotated[str | None, Field(description="as the engine last said; null before it has")]
    denied_total: Annotated[int | None, Field(description="orders beyond the cap since the engine started")]
    applied_version: Annotated[int | None, Field(description="the version that the engine holds the strategy to")]
    usage_age_seconds: Annotated[float | None, Field(description="since the engine said so; grows when it does not run")]
    pending: Raise | None


class Budgets(BaseModel):
    """All budgets that one may see, by strategy."""

    budgets: list[Budget]


class Changed(BaseModel):
    """What a change has come to: the budget as it is now, and the raise that waits, if it was one."""

    budget: Budget
    applied: Annotated[bool, Field(description="false when it waits for its second step")]


class Change(BaseModel):
    """One change of a cap."""

    id: int
    strategy_id: str
    version: int
    cap_usd: str
    previous_usd: str
    changed: datetime
    changed_by: str
    confirmed_by: str | None
    reason: str


class Changes(BaseModel):
    """Changes, newest first."""

    rows: list[Change]
    next: Annotated[int | None, Field(description="`before` of the next page; null when there is none")]


class ChangesParameters(BaseModel):
    """Of the history of a budget."""

    model_config = ConfigDict(extra="forbid")

    before: Annotated[int | None, Field(ge=1, le=2**62)] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100
