"""`/api/services`: the stack's containers, and the restart of those that the stack names."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from crowsnest.api.audit.store import AuditStore, Entry
from crowsnest.api.identity.dependencies import Current, Operator, address_of
from crowsnest.api.problems import Problem, documented
from crowsnest.api.services import schemas
from crowsnest.api.services.docker import DockerClient
from crowsnest.api.trading.endpoints import json_answer

router = APIRouter(prefix="/api/services", tags=["services"])
_PROBLEMS = documented("invalid-query", "unauthenticated", "forbidden", "not-in-this-stack", "docker-unavailable")
_CHANGING = {**_PROBLEMS, **documented("csrf", "forbidden", "not-found", "conflict", "too-large", "too-slow")}


class ServiceDesk:
    """What the endpoints share."""

    def __init__(
        self, docker: DockerClient | None, restartable: tuple[str, ...], silent: tuple[str, ...], audit: AuditStore
    ) -> None:
        self.restartable, self._silent, self._audit = restartable, silent, audit
        self._docker = docker
        self._restarting: set[str] = set()

    def docker(self) -> DockerClient:
        """The client.

        Raises:
            Problem: this stack has none.
        """
        if self._docker is None:
            raise Problem(
                "not-in-this-stack",
                "this stack has no socket proxy",
                "give the pipeline viewer the key `services` (docs/trading-api.md), then `make up`",
            )
        return self._docker

    async def close(self) -> None:
        """Let go of connections."""
        if self._docker:
            await self._docker.close()

    async def services(self) -> list[dict[str, object]]:
        """All containers of the stack, by component."""
        found = await self.docker().containers()
        return [
            {
                **one,
                "restartable": one["component"] in self.restartable,
                "has_records": one["component"] not in self._silent,
            }
            for one in sorted(found, key=lambda one: str(one["component"]))
        ]

    async def restart(self, component: str, who: str, address: str, reason: str) -> float:
        """Restart a component; the milliseconds that took. The audit log has it before it is done, and how it ended after.

        Raises:
            Problem: it is not one that may be restarted, is being restarted already, or Docker fails.
        """
        detail: dict[str, object] = {"component": component, "reason": reason}
        try:
            docker = self.docker()
            if component not in self.restartable:
                allowed = ", ".join(self.restartable) or "none"
                raise Problem("forbidden", f"{component} is not restarted from here; those that are: {allowed}")
            if component in self._restarting:
                raise Problem("conflict", f"{component} is being restarted already", "wait until it is done")
        except Problem as problem:
            await self._note(who, address, f"refused:{problem.kind}", {**detail, "why": problem.detail})
            raise
        self._restarting.add(component)
        try:
            await self._note(who, address, "allowed", detail)
            return await self._restart(docker, component, who, address, detail)
        finally:
            self._restarting.discard(component)

    async def _restart(self, docker: DockerClient, component: str, who: str, address: str, detail: dict[str, object]) -> float:
        begun = time.perf_counter()
        try:
            names = [one["container"] for one in await docker.containers() if one["component"] == component]
            if not names:
                raise Problem("not-found", f"{component} does not run in this stack", "see the list of services")
            await docker.restart(names[0])
        except Problem as problem:
            await self._note(who, address, f"failed:{problem.kind}", {**detail, "why": problem.detail})
            raise
        took_ms = (time.perf_counter() - begun) * 1000
        await self._note(who, address, "done", {**detail, "took_ms": round(took_ms)})
        return took_ms

    async def _note(self, who: str, address: str, outcome: str, detail: dict[str, object]) -> None:
        await self._audit.append(Entry(who, address, "services.restart", outcome, detail))


def _desk(request: Request) -> ServiceDesk:
    desk: ServiceDesk = request.app.state.services
    return desk


@router.get("", response_model=schemas.Services, responses=_PROBLEMS)
async def services(request: Request, identity: Current) -> Response:
    """The stack's containers and their state."""
    del identity
    return json_answer({"services": await _desk(request).services()})


@router.post("/{component}/restart", response_model=schemas.Restarted, responses=_CHANGING)
async def restart(
    request: Request,
    identity: Operator,
    component: Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,63}$")],
    wanted: schemas.Restart,
) -> Response:
    """Restart a component that the stack names; returns when it runs again."""
    # Once begun, it is followed to its end and noted, whether or not somebody still waits for the answer.
    work = _desk(request).restart(component, identity.name, address_of(request), wanted.reason)
    took_ms = await asyncio.shield(asyncio.ensure_future(work))
    return json_answer({"component": component, "took_ms": round(took_ms, 1)})
