"""The application: the domains put together, and every failure as a problem document."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

import crowsnest
from crowsnest.api import pages
from crowsnest.api.audit import endpoints as audit_endpoints
from crowsnest.api.audit.store import SqliteAuditStore
from crowsnest.api.budgets import endpoints as budgets_endpoints
from crowsnest.api.budgets.service import BudgetService
from crowsnest.api.database import Database
from crowsnest.api.identity import endpoints as identity_endpoints
from crowsnest.api.identity.service import IdentityService
from crowsnest.api.logs import endpoints as logs_endpoints
from crowsnest.api.logs import limiter
from crowsnest.api.logs.client import StoreClient
from crowsnest.api.logs.endpoints import LogDesk
from crowsnest.api.logs.limiter import Limiter
from crowsnest.api.logs.policy import LogQueryPolicy
from crowsnest.api.postgres import Postgres
from crowsnest.api.problems import MEDIA_TYPE, Problem, ProblemDocument
from crowsnest.api.schema.address import Address
from crowsnest.api.services import endpoints as services_endpoints
from crowsnest.api.services.docker import DockerClient
from crowsnest.api.services.endpoints import ServiceDesk
from crowsnest.api.settings import ApiSettings
from crowsnest.api.trading import endpoints as trading_endpoints
from crowsnest.api.views import endpoints as views_endpoints
from crowsnest.api.web import Guard

logger = logging.getLogger("crowsnest.api")
_ANCHOR_SECONDS = 3600.0
_DOMAINS = (
    logs_endpoints,
    identity_endpoints,
    audit_endpoints,
    views_endpoints,
    trading_endpoints,
    budgets_endpoints,
    services_endpoints,
)


class Alive(BaseModel):
    """The process answers."""

    status: str


def create_app(settings: ApiSettings) -> FastAPI:
    """Make the application. Files are opened when it starts, not before."""
    app = FastAPI(
        title="Crowsnest API",
        version=crowsnest.__version__,
        description="Guarded questions to the log store and the trading database, budgets, and services. Errors are RFC 9457"
        " problem documents whose `hint` says what to do.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        separate_input_output_schemas=False,
        # Short names for the functions of generated clients.
        generate_unique_id_function=lambda route: f"{route.tags[0] if route.tags else 'api'}_{route.name.strip('_')}",
    )
    app.state.settings = settings
    app.state.stopping = asyncio.Event()
    for module in _DOMAINS:
        app.include_router(module.router)
    app.add_api_route("/api/health", _alive, response_model=Alive, tags=["health"])
    app.add_api_route("/api/openapi.json", _schema, response_model=dict[str, Any], tags=["health"])
    if settings.pages is not None:
        app.include_router(pages.router(pages.Pages(settings.pages)))
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)
    app.add_middleware(Guard)
    app.openapi = lambda: schema(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: ApiSettings = app.state.settings
    database = await asyncio.to_thread(Database, settings.database)
    audit = SqliteAuditStore(database)
    identity = IdentityService(database, audit)
    store = StoreClient(settings.victorialogs_url)
    app.state.database, app.state.audit, app.state.identity = database, audit, identity
    app.state.logs = LogDesk(
        store,
        LogQueryPolicy(),
        audit,
        Limiter("queries", limiter.QUERIES_EACH, limiter.QUERIES_IN_ALL),
        Limiter("tails", limiter.TAILS_EACH, limiter.TAILS_IN_ALL),
    )
    postgres = Postgres(_postgresql(settings))
    services = ServiceDesk(_docker(settings), settings.restartable, settings.silent, audit)
    app.state.postgres, app.state.services = postgres, services
    app.state.budgets = BudgetService(postgres, audit)
    try:
        postgres.start()
        if await asyncio.to_thread(identity.make_first_user, settings.admin_password_file):
            logger.warning("made the first user: admin, with the password of %s", settings.admin_password_file)
        anchoring = asyncio.create_task(_anchor(audit))
        try:
            yield
        finally:
            anchoring.cancel()
    finally:
        app.state.stopping.set()
        await store.close()
        await services.close()
        await postgres.close()
        await asyncio.to_thread(database.close)


def _postgresql(settings: ApiSettings) -> Address | None:
    return Address(settings.postgresql_url, settings.postgresql_password_file) if settings.postgresql_url else None


def _docker(settings: ApiSettings) -> DockerClient | None:
    return DockerClient(settings.docker_url, settings.name_prefix) if settings.docker_url else None


async def _anchor(audit: SqliteAuditStore) -> None:
    """Say the audit log's newest hash now and then: what is printed goes to the log store, out of this file's reach."""
    while True:
        seq, head = audit.head()
        logger.info("audit head %d:%s", seq, head.hex())
        await asyncio.sleep(_ANCHOR_SECONDS)


async def _alive() -> Response:
    """The process answers. Whether the log store does is /api/logs/health."""
    return JSONResponse({"status": "healthy"})


async def _schema(request: Request) -> Response:
    """This description."""
    return JSONResponse(schema(request.app))


def schema(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description: with problem documents where FastAPI would describe its own validation errors."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        document["components"]["securitySchemes"] = {
            "session": {"type": "apiKey", "in": "cookie", "name": "crowsnest_session"},
            "token": {"type": "http", "scheme": "bearer"},
        }
        document["security"] = [{"session": []}, {"token": []}]
        app.openapi_schema = document
    return app.openapi_schema


def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for it
    return error.response


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    problem = Problem(
        "invalid-query", f"{where}: {first['msg']}"[:500], "correct it; /api/openapi.json describes what is possible"
    )
    return problem.response


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if error.status_code == 404:
        return Problem("not-found", "there is nothing at this address", "see /api/openapi.json").response
    if error.status_code == 400:
        return Problem("invalid-query", str(error.detail)[:300]).response
    document = {
        "type": "about:blank",
        "title": str(error.detail),
        "status": error.status_code,
        "detail": str(error.detail),
        "hint": "see /api/openapi.json",
    }
    return JSONResponse(document, error.status_code, dict(error.headers or {}), MEDIA_TYPE)


def _unforeseen(_: Request, _error: Exception) -> Response:
    # The server logs it with its traceback; the answer tells nothing of the inside.
    document = {
        "type": "about:blank",
        "title": "Internal error",
        "status": 500,
        "detail": "something went wrong here, not with your request",
        "hint": "try again; the operator finds the cause in the log of the api container",
    }
    return JSONResponse(document, 500, media_type=MEDIA_TYPE)
