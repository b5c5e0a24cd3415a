"""The shapes of the service API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from crowsnest.api.budgets.schemas import Reason

Health = Literal["healthy", "unhealthy", "starting", "none"]


class Service(BaseModel):
    """One container of the stack."""

    component: str
    container: str
    image: str
    state: Annotated[str, Field(examples=["running", "exited", "restarting"])]
    health: Annotated[Health, Field(description="by Docker's own check; none where it is asked from outside")]
    status: Annotated[str, Field(examples=["Up 3 hours (healthy)"])]
    restartable: Annotated[bool, Field(description="whether an operator may restart it from here")]
    has_records: Annotated[bool, Field(description="whether what it prints is brought to the log store")]


class Services(BaseModel):
    """The stack's containers, by component."""

    services: list[Service]


class Restart(BaseModel):
    """Of `POST /api/services/{component}/restart`."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class Restarted(BaseModel):
    """It was ended and is running again."""

    component: str
    took_ms: float
