"""Answers of the store on their way through: what is late, broken off or too long is neither lost nor doubled.

The store is a local HTTP server here, for failures that a real one has rarely; tests/e2e asks a real one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from crowsnest.api.logs import moments
from crowsnest.api.logs.client import StoreClient
from crowsnest.api.logs.limiter import Limiter
from crowsnest.api.logs.policy import Asked, LogQueryPolicy
from crowsnest.api.logs.rows import Page, cut
from crowsnest.api.logs.tail import BATCH_ROWS, Follower, Waiting
from crowsnest.api.problems import Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def store(handler: Handler) -> AsyncIterator[StoreClient]:
    app = web.Application()
    app.router.add_post("/select/logsql/query", handler)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    client = StoreClient(f"http://127.0.0.1:{port}")
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def row(name: str, age_seconds: float = 0.0) -> bytes:
    return json.dumps({"_time": moments.text(time.time_ns() - int(age_seconds * 1e9)), "_msg": name}).encode()


def tail_decision():
    return LogQueryPolicy().decide(Asked(), "tail", None, time.time_ns())


def names(rows: list[bytes]) -> list[str]:
    return [json.loads(one)["_msg"] for one in rows]


def everything(waiting: Waiting) -> list[str]:
    found: list[str] = []
    while rows := waiting.take()[1]:
        found += names(rows)
    return found


def test_a_row_that_becomes_visible_late_is_shown_and_shown_once():
    early, newer = row("late", 2), row("newer", 1)
    answers = iter([[newer], [newer], [early, newer], [early, newer]])

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"".join(line + b"\n" for line in next(answers)))

    async def run() -> list[list[str]]:
        async with store(handler) as client:
            follower, waiting = Follower(client, tail_decision(), None), Waiting(8192)
            seen = []
            for _ in range(4):
                await follower.look(waiting)
                seen.append(everything(waiting))
            return seen

    assert asyncio.run(run()) == [["newer"], [], ["late"], []]


def test_what_was_read_before_the_store_broke_off_is_not_lost():
    lines = [row(f"{index}", 1 - index / 100) for index in range(3)]
    asked = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked > 1:
            return web.Response(body=b"".join(line + b"\n" for line in lines))
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(lines[0] + b"\n" + lines[1] + b"\n")
        await asyncio.sleep(0.05)
        request.transport.abort()
        return answer

    async def run() -> list[str]:
        async with store(handler) as client:
            follower, waiting = Follower(client, tail_decision(), None), Waiting(8192)
            with pytest.raises(Problem) as failed:
                await follower.look(waiting)
            assert failed.value.kind == "store-unavailable"
            await follower.look(waiting)
            return everything(waiting)

    assert asyncio.run(run()) == ["0", "1", "2"]


def test_a_reader_that_comes_back_is_not_shown_what_it_saw():
    asked: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(dict(await request.post()))
        return web.Response()

    async def run() -> None:
        async with store(handler) as client:
            await Follower(client, tail_decision(), seen_ns).look(Waiting(8192))

    seen_ns = time.time_ns() - 60 * moments.SECOND_NS
    asyncio.run(run())
    assert asked[0]["start"] == moments.text(seen_ns + 1)


def test_what_a_slow_reader_does_not_take_is_counted():
    waiting = Waiting(8192)
    for index in range(5000):
        waiting.add(row(str(index)))
    skipped, rows = waiting.take()
    assert (skipped, len(rows)) == (3000, BATCH_ROWS)
    assert names(rows)[0] == "3000", "the oldest made room"
    assert len(everything(waiting)) == 2000 - BATCH_ROWS
    assert not waiting.arrived.is_set()


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "cannot parse query [x |]: missing pipe", "invalid-query"),
        (400, "something of the inside at /data/x", "invalid-query"),
        (400, "cannot execute query: requires more than 100MB of memory", "too-large"),
        (400, "cannot execute query [x]: context deadline exceeded", "timeout"),
        (503, "the request couldn't be executed in 10.0 seconds", "timeout"),
        (503, "couldn't start executing the request in 10.0 seconds", "too-many-queries"),
        (500, "panic at 0x1234", "store-unavailable"),
        (302, "", "store-unavailable"),
        (200, '{"_msg":"a"}\ncannot execute query: it broke\n', "store-unavailable"),
        (200, '{"_msg":"a"}\n{"_msg":"cut off', "store-unavailable"),
    ],
)
def test_the_store_s_failures_become_problems_that_tell_nothing_of_the_inside(status: int, text: str, kind: str):
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    async def run() -> Problem:
        async with store(handler) as client:
            with pytest.raises(Problem) as failed:
                async for _ in client.lines([("query", "x")], 5):
                    pass
            return failed.value

    problem = asyncio.run(run())
    assert problem.kind == kind
    assert problem.hint
    for inside in ("/data", "0x1234", "100MB", "it broke"):
        assert inside not in problem.detail


def test_a_store_that_hangs_or_is_away_is_told_apart():
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async def kind_of(client: StoreClient) -> str:
        with pytest.raises(Problem) as failed:
            async for _ in client.lines([("query", "x")], 0.2):
                pass
        return failed.value.kind

    async def run() -> tuple[str, str]:
        async with store(handler) as client:
            hanging = await kind_of(client)
        away = StoreClient("http://127.0.0.1:9")
        try:
            return hanging, await kind_of(away)
        finally:
            await away.close()

    assert asyncio.run(run()) == ("timeout", "store-unavailable")


def test_leaving_an_answer_ends_the_query_at_the_store():
    ended = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(row("x") + b"\n")
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    async def run() -> None:
        async with store(handler) as client:
            lines = client.lines([("query", "x")], 30)
            await anext(lines)
            await lines.aclose()
            await asyncio.wait_for(ended.wait(), 5)

    asyncio.run(run())


def filled(lines: list[bytes], limit: int, response_bytes: int = 10**6) -> Page:
    async def batches() -> AsyncIterator[list[bytes]]:
        yield lines

    page = Page(limit, 8192, response_bytes, 10**7, keep_last=True)
    asyncio.run(page.fill(batches()))
    return page


def at(second: int, name: str) -> bytes:
    return json.dumps({"_time": moments.text((1_790_000_000 + second) * moments.SECOND_NS), "_msg": name}).encode()


def test_a_page_does_not_end_between_rows_of_one_moment():
    lines = [at(1, "a"), at(2, "b"), at(2, "c"), at(3, "d")]
    rows, before = filled(lines[1:], 2).newest_first()
    assert names(rows) == ["d"]
    assert before == moments.text((1_790_000_002) * moments.SECOND_NS + 1), "the next page begins with the tie"
    rows, before = filled(lines[:3], 2).newest_first()
    assert (names(rows), before) == (["c", "b"], moments.text(1_790_000_002 * moments.SECOND_NS))
    rows, before = filled(lines[:1], 2).newest_first()
    assert (names(rows), before) == (["a"], None)


def test_a_page_of_one_moment_only_goes_on_below_it():
    rows, before = filled([at(1, "a"), at(1, "b"), at(1, "c")], 2).newest_first()
    assert len(rows) == 2
    assert before == moments.text(1_790_000_001 * moments.SECOND_NS)


def test_a_page_is_bounded_in_bytes_and_keeps_the_newest():
    page = filled([at(index, "x" * 100) for index in range(50)], 100, 1000)
    rows, before = page.newest_first()
    assert sum(map(len, rows)) <= 1000
    assert json.loads(rows[0])["_time"] == json.loads(at(49, ""))["_time"]
    assert page.cut_bytes > 0
    assert before == json.loads(rows[-1])["_time"]


def test_reading_too_much_for_one_answer_is_a_problem():
    async def batches() -> AsyncIterator[list[bytes]]:
        while True:
            yield [b"{" + b"x" * 10_000 + b"}"] * 100

    page = Page(500, 20_000, 10**6, 10**7, keep_last=True)
    with pytest.raises(Problem) as failed:
        asyncio.run(page.fill(batches()))
    assert failed.value.kind == "too-large"


def test_only_a_field_that_is_too_long_is_cut():
    line = json.dumps({"a": "x" * 300, "b": "é" * 100, "c": "short"}, ensure_ascii=False).encode()
    made, longest = cut(line, 150)
    assert json.loads(made) == {"a": "x" * 150 + "…", "b": "é" * 75 + "…", "c": "short"}
    assert longest == 300
    assert cut(line, 5000) == (line, 0)
    many = json.dumps({str(index): "y" * 100 for index in range(10)}).encode()
    assert cut(many, 150) == (many, 0)


def test_places_are_counted_for_each_and_in_all():
    limiter = Limiter("queries", 2, 3)
    limiter.take("ann")
    with limiter.slot("ann"):
        with pytest.raises(Problem, match="2 queries of yours are running, 2 are allowed"):
            limiter.take("ann")
        limiter.take("bob")
        with pytest.raises(Problem, match="3 queries in all are running"):
            limiter.take("carol")
    limiter.take("ann")
    limiter.give_back("ann")
    limiter.give_back("ann")
    limiter.give_back("bob")
    assert limiter.running == 0
    assert not limiter._running, "nobody is remembered"
