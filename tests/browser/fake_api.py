"""The API's contract served from made-up records, with the built viewer beside it under the gateway's headers.

For developing and testing the viewer only: `python tests/browser/fake_api.py --port 32080`, then log in as
`anna` or `bert` (operators) or `vik` (viewer, one strategy) with the password `harbour`. `POST /__control` makes trouble.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import mimetypes
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "src"))
from fake_records import NANOSECONDS, InvalidQuery, Match, Record, Store, compile_query, parse_time, rfc3339
from fake_trading import Asked, Deals, Desk

from crowsnest.api import problems
from crowsnest.api.pages import CONTENT_SECURITY_POLICY as CSP

PASSWORD = "harbour"
USERS: dict[str, dict[str, Any]] = {
    "anna": {
        "name": "anna",
        "role": "operator",
        "strategies": None,
        "tools": [{"title": "Prometheus", "path": "/prometheus/"}],
    },
    "bert": {"name": "bert", "role": "operator", "strategies": None, "tools": []},
    "vik": {"name": "vik", "role": "viewer", "strategies": ["ema_cross"], "tools": []},
}
OPERATORS = tuple(name for name, user in USERS.items() if user["role"] == "operator")
TRADING = ("trading/", "budgets", "audit", "services")
CSRF_TOKEN = "csrf-of-the-fake"
MAX_ROWS = 500
MAX_RANGE_NS = 24 * 3600 * NANOSECONDS
WRONG_PASSWORDS = 5
RETRY_AFTER_SECONDS = 3
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
Parameters = dict[str, list[str]]


class Problem(Exception):
    """An answer as problem+json."""

    def __init__(self, status: int, kind: str, title: str, hint: str, *, detail: str = "") -> None:
        super().__init__(title)
        self.status = status
        self.body = {
            "type": f"urn:crowsnest:problem:{kind}",
            "title": title,
            "status": status,
            "detail": detail,
            "hint": hint,
        }


def store_unavailable() -> Problem:
    return Problem(
        503,
        "store-unavailable",
        "The log store does not answer",
        "Wait until it is back; `make status` shows its health.",
        detail="Records wait in their senders' queues meanwhile.",
    )


def timed_out() -> Problem:
    return Problem(
        504, "timeout", "The query took longer than 10 s", "Narrow the range, or add a stream filter such as a level."
    )


@dataclass
class World:
    """What the fake serves, and the trouble it makes."""

    store: Store = field(default_factory=Store)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    grown: threading.Condition = field(default_factory=threading.Condition)
    rate: float = 0.0
    mode: str = "ok"
    tail: str = "ok"
    skipped: range = range(0)
    wrong_passwords: int = 0

    def __post_init__(self) -> None:
        self.deals = Deals(self.store)
        self.desk = Desk(self.deals, OPERATORS)

    def begin(self, count: int) -> None:
        now_ns = time.time_ns()
        self.store.fill(count, now_ns)
        if not count:
            return
        for age_seconds, strategy, lost, reason in (
            (95, "ema_cross", 412, "overflow"),
            (1900, "mean_reversion", 37, "rejected"),
        ):
            first = self.store.story.seq // 2
            self.gaps.append(
                {
                    "time": rfc3339(now_ns - age_seconds * NANOSECONDS),
                    "strategy_id": strategy,
                    "boot": self.store.story.boot,
                    "first_seq": first,
                    "last_seq": first + lost - 1,
                    "count": lost,
                    "reason": reason,
                }
            )

    def grow_forever(self) -> None:
        """Add records at the chosen rate, a few times in each frame of a screen."""
        owed = 0.0
        last = time.monotonic()
        while True:
            time.sleep(0.02 if self.rate > 10 else 0.1)
            now = time.monotonic()
            owed += self.rate * (now - last)
            last = now
            if owed >= 1:
                self.add(int(owed))
                owed -= int(owed)

    def add(self, count: int) -> None:
        with self.grown:
            for _ in range(count):
                self.store.add(time.time_ns())
            self.grown.notify_all()


def one(parameters: Parameters, name: str, default: str = "") -> str:
    return parameters.get(name, [default])[0]


@dataclass
class Selection:
    """Range and filter of a request, within what the user may see."""

    start_ns: int
    end_ns: int
    match: Match
    applied: dict[str, Any]
    clamped: list[dict[str, Any]]


def query_match(text: str) -> Match:
    filters, *pipes = text.split("|")
    if "options(" in text or "time_window" in text:
        raise Problem(
            400, "invalid-query", "The query uses options(…)", "Leave out `options(…)`: the range is chosen beside the query."
        )
    if any(pipe.split()[:1] not in (["fields"], ["limit"]) for pipe in pipes):
        raise Problem(400, "invalid-query", "The query uses a pipe that is not allowed", "Use `fields` or `limit`.")
    try:
        return compile_query(filters)
    except InvalidQuery as error:
        raise Problem(
            400,
            "invalid-query",
            "The query is not valid LogsQL",
            "Quote words with signs in them, and close every bracket.",
            detail=str(error),
        ) from None


def select(user: dict[str, Any], parameters: Parameters) -> Selection:
    now_ns = time.time_ns()
    text = one(parameters, "q", "*")
    match = query_match(text)
    strategies = scope_of(user, parameters)
    exact = {name: set(parameters[name]) for name in ("level", "source", "container_name") if name in parameters}
    try:
        start_ns = parse_time(one(parameters, "start", "1h"), now_ns)
        end_ns = parse_time(one(parameters, "end"), now_ns) if "end" in parameters else now_ns
    except ValueError as error:
        raise Problem(
            400, "invalid-query", "The range is not valid", "Give RFC 3339, or an age such as `15m`.", detail=str(error)
        ) from None
    clamped = []
    if end_ns - start_ns > MAX_RANGE_NS:
        asked = (end_ns - start_ns) // NANOSECONDS
        start_ns = end_ns - MAX_RANGE_NS
        clamped.append({"what": "range", "asked": asked, "given": MAX_RANGE_NS // NANOSECONDS})

    def matches(record: Record) -> bool:
        return (
            (strategies is None or record.get("strategy_id") in strategies)
            and all(record.get(name) in values for name, values in exact.items())
            and match(record)
        )

    applied = {
        "q": text,
        "start": rfc3339(start_ns),
        "end": rfc3339(end_ns),
        "limit": 100,
        "strategy_id": one(parameters, "strategy_id") or None,
    }
    return Selection(start_ns, end_ns, matches, applied, clamped)


def scope_of(user: dict[str, Any], parameters: Parameters) -> set[str] | None:
    asked = one(parameters, "strategy_id")
    allowed = user["strategies"]
    if allowed is not None and asked and asked not in allowed:
        raise Problem(403, "forbidden", f"You may not see the strategy {asked}", "Ask an operator to add it to your account.")
    if asked:
        return {asked}
    return None if allowed is None else set(allowed)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: World
    static: Path

    def log_message(self, *_: object) -> None:
        pass

    # ---- answers

    def _head(self, status: int, kind: str, length: int | None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Content-Security-Policy", CSP)
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _json(self, body: object, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        data = json.dumps(body).encode()
        self._head(status, kind, len(data), Cache_Control="no-store", **headers)
        self.wfile.write(data)

    def _empty(self, **headers: str) -> None:
        self.send_response(HTTPStatus.NO_CONTENT)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _problem(self, problem: Problem) -> None:
        headers = {"Retry_After": str(RETRY_AFTER_SECONDS)} if problem.status == HTTPStatus.TOO_MANY_REQUESTS else {}
        self._json(problem.body, problem.status, "application/problem+json", **headers)

    # ---- requests

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        try:
            if url.path == "/__control":
                self._control(body)
            elif url.path.startswith("/api/"):
                self._api(method, url.path.removeprefix("/api/"), parse_qs(url.query), body)
            else:
                self._file(url.path)
        except Problem as problem:
            self._problem(problem)
        except problems.Problem as problem:
            self._json(problem.document, problem.status, problems.MEDIA_TYPE)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _control(self, body: dict[str, Any]) -> None:
        for name, value in body.items():
            if name == "burst":
                self.world.add(int(value))
            elif name == "desk":
                self.world.desk = Desk(self.world.deals, **{"operators": OPERATORS, **value})
            elif name in ("database", "docker"):
                setattr(self.world.desk, name, value)
            elif name == "skip":
                records = len(self.world.store.records)
                self.world.skipped = range(records, records + int(value))
            else:
                setattr(self.world, name, value)
        self._json({"records": len(self.world.store.records)})

    def _file(self, path: str) -> None:
        wanted = (self.static / path.lstrip("/")).resolve()
        if not wanted.is_file() or not wanted.is_relative_to(self.static):
            wanted = self.static / "index.html"
        if not wanted.is_file():
            raise Problem(404, "not-found", "The viewer is not built", "Run `make web-build` first.")
        data = wanted.read_bytes()
        kind = mimetypes.guess_type(wanted.name)[0] or "application/octet-stream"
        keep = "no-cache" if wanted.name == "index.html" else "public, max-age=31536000, immutable"
        self._head(200, kind, len(data), Cache_Control=keep)
        self.wfile.write(data)

    def _user(self) -> dict[str, Any]:
        cookies = dict(part.strip().split("=", 1) for part in (self.headers.get("Cookie") or "").split(";") if "=" in part)
        user = USERS.get(cookies.get("crowsnest_session", "").removeprefix("fake-"))
        if user is None:
            raise Problem(401, "unauthenticated", "You are not logged in", "Log in again.")
        return user

    def _api(self, method: str, path: str, parameters: Parameters, body: dict[str, Any]) -> None:
        if path == "auth/login":
            return self._login(body)
        user = self._user()
        if method != "GET" and self.headers.get("X-CSRF-Token") != CSRF_TOKEN:
            raise Problem(403, "csrf", "The request has no valid CSRF token", "Reload the page.")
        if path == "auth/me":
            return self._json(user | {"csrf_token": CSRF_TOKEN})
        if path == "auth/logout":
            return self._empty(Set_Cookie="crowsnest_session=; Path=/; Max-Age=0")
        if path == "views" or path.startswith("views/"):
            return self._views(method, unquote(path.removeprefix("views").lstrip("/")), body)
        if path.startswith(TRADING):
            status, data = self.world.desk.answer(method, path, Asked(user, parameters, body))
            self._head(status, "application/json", len(data), Cache_Control="no-store")
            self.wfile.write(data)
            return None
        serve = getattr(self, f"_logs_{path.removeprefix('logs/')}", None) if path.startswith("logs/") else None
        if serve is None:
            raise Problem(404, "not-found", "There is no such endpoint", "Look at the API's documentation.")
        if path != "logs/health":
            self._trouble()
        serve(user, parameters)
        return None

    def _trouble(self) -> None:
        if self.world.mode == "unavailable":
            raise store_unavailable()
        if self.world.mode == "timeout":
            raise timed_out()
        if self.world.mode == "slow":
            time.sleep(2)

    def _login(self, body: dict[str, Any]) -> None:
        world = self.world
        if world.wrong_passwords >= WRONG_PASSWORDS:
            world.wrong_passwords = 0
            raise Problem(429, "throttled", "Too many attempts", "Wait a little, then try again.")
        user = USERS.get(str(body.get("username")))
        if user is None or body.get("password") != PASSWORD:
            world.wrong_passwords += 1
            raise Problem(
                401, "unauthenticated", "Not signed in", "try again, or ask an operator", detail="name or password is wrong"
            )
        world.wrong_passwords = 0
        cookie = f"crowsnest_session=fake-{user['name']}; Path=/; HttpOnly; SameSite=Strict"
        self._json(user | {"csrf_token": CSRF_TOKEN}, Set_Cookie=cookie)

    def _views(self, method: str, name: str, body: dict[str, Any]) -> None:
        views = self.world.views
        if method == "GET":
            self._json([views[key] for key in sorted(views)])
        elif method == "PUT":
            views[name] = {"name": name, "query": body, "updated": rfc3339(time.time_ns())}
            self._json(views[name])
        else:
            views.pop(name, None)
            self._empty()

    # ---- logs

    def _logs_query(self, user: dict[str, Any], parameters: Parameters) -> None:
        begun = time.perf_counter()
        selection = select(user, parameters)
        limit = int(one(parameters, "limit", "100"))
        if limit > MAX_ROWS:
            selection.clamped.append({"what": "limit", "asked": limit, "given": MAX_ROWS})
        limit = min(limit, MAX_ROWS)
        store = self.world.store
        end_ns = min(selection.end_ns, parse_time(one(parameters, "before"), 0)) if "before" in parameters else selection.end_ns
        rows: list[Record] = []
        more = False
        for index in reversed(store.between(selection.start_ns, end_ns)):
            if selection.match(store.records[index]):
                if len(rows) == limit:
                    more = True
                    break
                rows.append(store.records[index])
        self._json(
            {
                "rows": rows,
                "applied": selection.applied | {"limit": limit},
                "clamped": selection.clamped,
                "truncated": more,
                "next_before": rows[-1]["_time"] if more else None,
                "took_ms": (time.perf_counter() - begun) * 1000,
            }
        )

    def _matching(self, selection: Selection) -> Iterator[tuple[int, Record]]:
        store = self.world.store
        for index in store.between(selection.start_ns, selection.end_ns):
            if selection.match(store.records[index]):
                yield store.times[index], store.records[index]

    def _logs_hits(self, user: dict[str, Any], parameters: Parameters) -> None:
        selection = select(user, parameters)
        span = (selection.end_ns - selection.start_ns) / NANOSECONDS
        step = next((one for one in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800) if span / one <= 120), 3600)
        counts: dict[int, Counter[str]] = {}
        for time_ns, record in self._matching(selection):
            bucket = time_ns // NANOSECONDS // step * step
            counts.setdefault(bucket, Counter())[record["level"]] += 1
        buckets = [
            {
                "start": rfc3339(bucket * NANOSECONDS),
                "total": sum(levels.values()),
                "levels": {level: levels[level] for level in LEVELS},
            }
            for bucket, levels in sorted(counts.items())
        ]
        self._json({"step_seconds": step, "buckets": buckets, "applied": selection.applied, "clamped": selection.clamped})

    def _logs_facets(self, user: dict[str, Any], parameters: Parameters) -> None:
        selection = select(user, parameters)
        limit = int(one(parameters, "limit", "20"))
        fields = one(parameters, "fields", "level").split(",")
        counts: dict[str, Counter[str]] = {name: Counter() for name in fields}
        for _, record in self._matching(selection):
            for name in fields:
                if name in record:
                    counts[name][record[name]] += 1
        facets = [
            {
                "field": name,
                "values": [{"value": value, "hits": hits} for value, hits in counter.most_common(limit)],
                "more": len(counter) > limit,
            }
            for name, counter in counts.items()
        ]
        self._json({"facets": facets, "applied": selection.applied, "clamped": selection.clamped})

    def _logs_context(self, user: dict[str, Any], parameters: Parameters) -> None:
        store = self.world.store
        at_ns = parse_time(one(parameters, "time"), time.time_ns())
        stream = one(parameters, "stream_id")
        scope = scope_of(user, parameters)
        place = store.between(at_ns, at_ns + 1).start
        anchor = store.records[place]

        def near(record: Record) -> bool:
            if one(parameters, "within", "origin") == "stream":
                return record["_stream_id"] == stream
            return all(record.get(name) == anchor.get(name) for name in ("strategy_id", "source", "container_name"))

        def side(indexes: range, count: int) -> list[Record]:
            found: list[Record] = []
            for index in indexes:
                record = store.records[index]
                if near(record) and (scope is None or record.get("strategy_id") in scope):
                    found.append(record)
                    if len(found) == count:
                        break
            return found

        before = side(range(place - 1, -1, -1), int(one(parameters, "before", "20")))[::-1]
        after = side(range(place, len(store.records)), int(one(parameters, "after", "20")) + 1)
        self._json({"rows": before + after, "anchor": len(before)})

    def _logs_loss(self, user: dict[str, Any], parameters: Parameters) -> None:
        selection = select(user, parameters)
        scope = scope_of(user, parameters)
        gaps = [
            gap
            for gap in self.world.gaps
            if (scope is None or gap["strategy_id"] in scope)
            and selection.start_ns <= parse_time(gap["time"], 0) < selection.end_ns
        ]
        checked = {"start": selection.applied["start"], "end": selection.applied["end"]}
        self._json({"lost_total": sum(gap["count"] for gap in gaps), "gaps": gaps, "checked": checked, "truncated": False})

    def _logs_health(self, user: dict[str, Any], parameters: Parameters) -> None:
        times = self.world.store.times
        state = "unavailable" if self.world.mode == "unavailable" else "ok"
        age = (time.time_ns() - times[-1]) / NANOSECONDS if times else None
        status = "healthy" if state == "ok" else "unhealthy"
        body = {"status": status, "store": state, "newest_record_age_seconds": age, "version": "fake"}
        self._json(body, 200 if state == "ok" else 503)

    def _logs_export(self, user: dict[str, Any], parameters: Parameters) -> None:
        selection = select(user, parameters)
        records = [record for _, record in self._matching(selection)][: int(one(parameters, "limit", "1000"))]
        kind = one(parameters, "format", "ndjson")
        if kind == "csv":
            out = io.StringIO()
            names = sorted({name for record in records for name in record})
            writer = csv.DictWriter(out, names)
            writer.writeheader()
            writer.writerows(records)
            data = out.getvalue().encode()
        else:
            data = "".join(json.dumps(record) + "\n" for record in records).encode()
        self._head(
            200, "application/octet-stream", len(data), Content_Disposition=f'attachment; filename="crowsnest-logs.{kind}"'
        )
        self.wfile.write(data)

    def _logs_tail(self, user: dict[str, Any], parameters: Parameters) -> None:
        world = self.world
        if world.tail == "refused":
            raise Problem(429, "too-many-queries", "You have 4 live tails open", "Close one of your other tabs.")
        selection = select(user, parameters)
        self._head(200, "text/event-stream", None, Cache_Control="no-store", Connection="close")
        self.close_connection = True
        at = len(world.store.records)
        beat = time.monotonic()
        while True:
            with world.grown:
                world.grown.wait_for(lambda at=at: len(world.store.records) > at, timeout=0.5)
                fresh = range(at, len(world.store.records))
            at = fresh.stop
            if world.tail == "refused" or world.mode == "unavailable":
                return self._event("problem", store_unavailable().body)
            matching = [index for index in fresh if selection.match(world.store.records[index])]
            found = [world.store.records[index] for index in matching if index not in world.skipped]
            if skipped := len(matching) - len(found):
                self._event("skipped", {"count": skipped})
            for begin in range(0, len(found), 200):
                self._event("records", found[begin : begin + 200])
            if time.monotonic() - beat > 15:
                beat = time.monotonic()
                self._event("heartbeat", {"time": rfc3339(time.time_ns())})

    def _event(self, name: str, data: object) -> None:
        self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=32080)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=3.0, help="records a second")
    parser.add_argument("--static", type=Path, default=Path(__file__).parents[2] / "web" / "dist")
    options = parser.parse_args()
    world = World(rate=options.rate)
    world.begin(options.records)
    handler = type("BoundHandler", (Handler,), {"world": world, "static": options.static.resolve()})
    threading.Thread(target=world.grow_forever, daemon=True).start()
    with Server(("127.0.0.1", options.port), handler) as server:
        print(f"fake API with {options.records} records on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
