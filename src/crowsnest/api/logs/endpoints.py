"""`/api/logs`: query, tail, hits, facets, streams, context, export, loss, health."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import StreamingResponse

from crowsnest.api.audit.store import AuditStore, Entry
from crowsnest.api.identity.dependencies import Current, address_of, current, service_of
from crowsnest.api.identity.schemas import Identity
from crowsnest.api.logs import export as exports
from crowsnest.api.logs import moments, schemas
from crowsnest.api.logs.client import StoreClient
from crowsnest.api.logs.limiter import Limiter
from crowsnest.api.logs.policy import Asked, Decision, LogQueryPolicy, Refused, Use
from crowsnest.api.logs.service import BOOTS_QUERY, GAPS_QUERY, MAX_BOOTS, LogService, context_query, context_window
from crowsnest.api.logs.tail import TailResponse
from crowsnest.api.problems import Problem, documented
from crowsnest.api.web import while_connected

router = APIRouter(prefix="/api/logs", tags=["logs"])
JSON: Final = "application/json"
_PROBLEMS: Final = documented(
    "invalid-query", "unauthenticated", "forbidden", "too-large", "too-many-queries", "store-unavailable", "timeout"
)


class LogDesk:
    """What the endpoints share: one of each for the application."""

    def __init__(self, store: StoreClient, policy: LogQueryPolicy, audit: AuditStore, queries: Limiter, tails: Limiter) -> None:
        self.store = store
        self.policy = policy
        self.service = LogService(store, policy.limits)
        self.queries = queries
        self.tails = tails
        self._audit = audit

    async def decide(self, request: Request, identity: Identity, asked: Asked, use: Use) -> Decision:
        """The policy's decision, which is in the audit log when this returns.

        Raises:
            Problem: the policy refuses.
        """
        decision, entry = self.decided(request, identity, asked, use)
        await self._audit.append(entry)
        if isinstance(decision, Refused):
            raise Problem(decision.kind, decision.detail, decision.hint)
        return decision

    def decided(self, request: Request, identity: Identity, asked: Asked, use: Use) -> tuple[Decision | Refused, Entry]:
        """The decision, and what the audit log has to say of it."""
        try:
            decision: Decision | Refused = self.policy.decide(asked, use, identity.strategies, time.time_ns())
        except Refused as refused:
            decision = refused
        if isinstance(decision, Refused):
            outcome = f"refused:{decision.kind}"
            detail: dict[str, object] = {"q": asked.q, "why": decision.detail, "strategy_id": asked.strategy_id}
        else:
            outcome = "allowed"
            detail = {**decision.applied, **{name: list(values) for name, values in decision.exact}}
        return decision, Entry(identity.name, address_of(request), f"logs.{use}", outcome, detail)

    async def answer(self, request: Request, identity: Identity, asked: Asked, use: Use, work: Any) -> Any:
        """Decide, and do the work in one of the places while the client is there.

        The audit log is written while the store works: nothing is answered before both are done.

        Args:
            request: the request.
            identity: who asks.
            asked: what for.
            use: what with.
            work: makes a coroutine of a decision.

        Raises:
            Problem: refused, or failed.
        """
        with self.queries.slot(identity.name):
            decision, entry = self.decided(request, identity, asked, use)
            if isinstance(decision, Refused):
                await self._audit.append(entry)
                raise Problem(decision.kind, decision.detail, decision.hint)
            return await while_connected(request, self._audited(entry, work(decision)))

    async def _audited(self, entry: Entry, work: Coroutine[Any, Any, Any]) -> Any:
        noted = self._audit.append_soon(entry)
        try:
            return await work
        finally:
            await noted


def _desk(request: Request) -> LogDesk:
    desk: LogDesk = request.app.state.logs
    return desk


def _json(document: object) -> Response:
    return Response(msgspec.json.encode(document), media_type=JSON)


@router.get("/query", response_model=schemas.QueryAnswer, responses=_PROBLEMS)
async def query(request: Request, identity: Current, asked: Annotated[schemas.QueryParameters, Query()]) -> Response:
    """Records that match, newest first."""
    desk = _desk(request)
    body = await desk.answer(request, identity, asked.asked(asked.limit, asked.before), "query", desk.service.query)
    return Response(body, media_type=JSON)


@router.get("/hits", response_model=schemas.HitsAnswer, responses=_PROBLEMS)
async def hits(request: Request, identity: Current, asked: Annotated[schemas.HitsParameters, Query()]) -> Response:
    """Records over time, by level."""
    desk = _desk(request)
    return _json(
        await desk.answer(request, identity, asked.asked(), "hits", lambda decision: desk.service.hits(decision, asked.step))
    )


@router.get("/facets", response_model=schemas.FacetsAnswer, responses=_PROBLEMS)
async def facets(request: Request, identity: Current, asked: Annotated[schemas.FacetsParameters, Query()]) -> Response:
    """The most frequent values of fields."""
    desk, names = _desk(request), asked.fields.split(",")
    return _json(
        await desk.answer(
            request, identity, asked.asked(), "facets", lambda decision: desk.service.facets(decision, names, asked.limit)
        )
    )


@router.get("/streams", response_model=schemas.StreamsAnswer, responses=_PROBLEMS)
async def streams(request: Request, identity: Current, asked: Annotated[schemas.StreamsParameters, Query()]) -> Response:
    """Streams with the most records."""
    desk = _desk(request)
    return _json(
        await desk.answer(
            request, identity, asked.asked(), "streams", lambda decision: desk.service.streams(decision, asked.limit)
        )
    )


@router.get("/context", response_model=schemas.ContextAnswer, responses={**_PROBLEMS, **documented("not-found")})
async def context(request: Request, identity: Current, asked: Annotated[schemas.ContextParameters, Query()]) -> Response:
    """Records around one, oldest first."""
    desk = _desk(request)
    try:
        time_ns = moments.parse(asked.time, time.time_ns())
    except ValueError as error:
        raise Problem("invalid-query", str(error), "give the record's `_time`") from None
    window = context_window(time_ns)
    question = Asked(context_query(asked.stream_id), window.start, window.end, asked.strategy_id)
    return _json(
        await desk.answer(
            request,
            identity,
            question,
            "context",
            lambda decision: desk.service.context(decision, time_ns, asked.before, asked.after, asked.within),
        )
    )


@router.get("/loss", response_model=schemas.LossAnswer, responses=_PROBLEMS)
async def loss(request: Request, identity: Current, asked: Annotated[schemas.LossParameters, Query()]) -> Response:
    """What trading processes lost before it reached the store, as they counted it."""
    desk = _desk(request)
    boots, _ = desk.decided(
        request, identity, Asked(BOOTS_QUERY, asked.start, asked.end, asked.strategy_id, limit=MAX_BOOTS), "query"
    )
    if isinstance(boots, Refused):
        raise Problem(boots.kind, boots.detail, boots.hint)
    question = Asked(GAPS_QUERY, asked.start, asked.end, asked.strategy_id)
    return _json(await desk.answer(request, identity, question, "loss", lambda decision: desk.service.loss(decision, boots)))


@router.get(
    "/tail",
    response_class=Response,
    responses={
        **_PROBLEMS,
        200: {"description": "events `records`, `skipped`, `heartbeat`, `problem`", "content": {"text/event-stream": {}}},
    },
)
async def tail(
    request: Request,
    identity: Current,
    asked: Annotated[schemas.TailParameters, Query()],
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> Response:
    """Records as they arrive, as server-sent events."""
    desk = _desk(request)
    seen = last_event_id or asked.after
    try:
        after_ns = moments.parse(seen, time.time_ns()) if seen else None
    except ValueError as error:
        raise Problem("invalid-query", str(error), "give the newest `_time` that was seen") from None
    desk.tails.take(identity.name)
    try:
        decision = await desk.decide(request, identity, asked.asked(), "tail")
    except BaseException:
        desk.tails.give_back(identity.name)
        raise

    def may_go_on() -> None:
        if identity.session is not None and service_of(request).of_session(identity.session) != identity:
            raise Problem("unauthenticated", "the session is over, or your rights have changed")

    return TailResponse(
        desk.store,
        decision,
        after_ns,
        desk.policy.limits.field_bytes,
        request.app.state.stopping,
        may_go_on,
        lambda: desk.tails.give_back(identity.name),
    )


@router.get(
    "/export",
    response_class=Response,
    responses={
        **_PROBLEMS,
        200: {"description": "an attachment", "content": {"application/x-ndjson": {}, "text/csv": {}}},
    },
)
async def export(request: Request, identity: Current, asked: Annotated[schemas.ExportParameters, Query()]) -> Response:
    """Records of a range as a file, newest first. A file that breaks off is not complete: the connection is cut, too."""
    desk = _desk(request)
    desk.queries.take(identity.name)
    try:
        decision = await desk.decide(request, identity, asked.asked(asked.limit), "export")
        pages = exports.pages(desk.service, decision)
        # The first page is read before the answer begins, so that most failures are still problems.
        first = await while_connected(request, _first(pages))
    except BaseException:
        desk.queries.give_back(identity.name)
        raise
    to_bytes: Callable[[list[bytes]], bytes] = exports.ndjson
    head, media_type = b"", "application/x-ndjson"
    if asked.format == "csv":
        head, to_bytes = exports.csv_writer(asked.columns.split(","))
        media_type = "text/csv; charset=utf-8"

    async def body() -> AsyncIterator[bytes]:
        try:
            yield head + to_bytes(first)
            async for rows in pages:
                yield to_bytes(rows)
        finally:
            desk.queries.give_back(identity.name)

    name = f"logs-{moments.text(decision.start_ns)[:19]}.{asked.format}".replace(":", "")
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Crowsnest-Limit": str(decision.limit)}
    return StreamingResponse(body(), media_type=media_type, headers=headers)


async def _first(pages: AsyncIterator[list[bytes]]) -> list[bytes]:
    return await anext(pages, [])


@router.get(
    "/health", response_model=schemas.StoreHealth, responses={503: {"model": schemas.StoreHealth, "description": "not healthy"}}
)
async def health(request: Request) -> Response:
    """Whether the log store answers. Who has signed in learns its version and the age of the newest record, too."""
    found = await _desk(request).service.health()
    status = 200 if found["status"] == "healthy" else 503
    if not await _is_known(request):
        found = {**found, "newest_record_age_seconds": None, "version": None}
    return Response(msgspec.json.encode(found), status, media_type=JSON)


async def _is_known(request: Request) -> bool:
    try:
        await current(request)
    except Problem:
        return False
    return True
