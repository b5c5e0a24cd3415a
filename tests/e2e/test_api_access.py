"""Who may not come in does not: a table of what was tried and how it was answered."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import requests

from crowsnest.api.app import create_app
from crowsnest.api.app import schema as make_schema
from crowsnest.api.server import HEAD_SECONDS
from crowsnest.api.settings import ApiSettings
from crowsnest.api.web import BODY_SECONDS
from tests.e2e.api_support import ADMIN_PASSWORD, Api, Session, Store, markdown, running_api, running_store, said
from tests.figures import figure

pytestmark = pytest.mark.docker
LOGIN = "/api/auth/login"
ROWS: list[tuple[str, str, str]] = [("tried", "answered", "what to do")]


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as store:
        store.insert([said("alpha", "of alpha", 10), said("beta", "of beta", 10)])
        yield store


@pytest.fixture(scope="module")
def api(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api"), store.url) as api:
        yield api
    print("\n" + markdown(ROWS))
    figure("attempts to get in that were refused, each with a hint", len(ROWS) - 1)


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.login()


@pytest.fixture(scope="module")
def viewer(api: Api) -> Session:
    return api.add_user("alice", "--strategy", "alpha")


def expect(what: str, answer: requests.Response, status: int, kind: str) -> None:
    document = answer.json()
    ROWS.append((what, f"{answer.status_code} {document['type'].rpartition(':')[2]}", document["hint"]))
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == status, answer.text
    assert document["type"] == f"urn:crowsnest:problem:{kind}"
    assert document.keys() == {"type", "title", "status", "detail", "hint"}
    assert document["detail"]
    assert document["hint"]


OPEN = {"/api/health", "/api/openapi.json", "/api/logs/health", LOGIN}
# Every other address that the API describes, so that a new one is protected or makes this fail.
PROTECTED = [
    (method.upper(), path.replace("{token_id}", "000000000000").replace("{", "").replace("}", ""))
    for path, methods in make_schema(create_app(ApiSettings()))["paths"].items()
    for method in methods
    if path not in OPEN
]


def test_the_addresses_of_every_domain_are_among_these():
    domains = {path.split("/")[2] for _, path in PROTECTED}
    assert domains == {"logs", "auth", "views", "audit", "trading", "budgets", "services"}
    assert len(PROTECTED) >= 26


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_a_stranger_gets_nothing(api: Api, method: str, path: str):
    body = {"json": {}} if method in ("POST", "PUT") else {}
    expect(f"no session: {method} {path}", Session(api.url).request(method, path, **body), 401, "unauthenticated")


@pytest.mark.parametrize("value", ["", "x", "../../etc/passwd", "'" * 50, "A" * 4000])
def test_a_made_up_cookie_is_nobody(api: Api, value: str):
    answer = requests.get(f"{api.url}/api/auth/me", headers={"Cookie": f"crowsnest_session={value}"}, timeout=10)
    expect(f"cookie {value[:20]!r}", answer, 401, "unauthenticated")


@pytest.mark.parametrize("value", ["Bearer", "Bearer x", "Basic YWRtaW46YWRtaW4=", "Bearer cn_000000000000_" + "0" * 64])
def test_a_made_up_token_is_nobody_even_with_a_session(admin: Session, value: str):
    expect(
        f"Authorization: {value[:28]}",
        admin.request("GET", "/api/auth/me", headers={"Authorization": value}),
        401,
        "unauthenticated",
    )


def test_a_viewer_is_no_operator(viewer: Session):
    for method, path, body in (
        ("GET", "/api/audit", {}),
        ("GET", "/api/auth/tokens", {}),
        ("POST", "/api/auth/tokens", {"json": {"name": "mine", "role": "operator"}}),
        ("DELETE", "/api/auth/tokens/000000000000", {}),
    ):
        expect(f"viewer: {method} {path}", viewer.request(method, path, **body), 403, "forbidden")


@pytest.mark.parametrize(
    ("question", "stranger", "viewer_answer", "operator_answer"),
    [
        ("", "unauthenticated", "", ""),
        ("?role=viewer", "unauthenticated", "", ""),
        ("?role=operator", "unauthenticated", "forbidden", ""),
        ("?role=viewer&strategies=all", "unauthenticated", "forbidden", ""),
        ("?role=root", "unauthenticated", "invalid-query", "invalid-query"),
    ],
)
def test_the_gateways_question_is_answered_by_role(
    api: Api, admin: Session, viewer: Session, question: str, stranger: str, viewer_answer: str, operator_answer: str
):
    path = f"/api/auth/verify{question}"
    for who, kind in ((Session(api.url), stranger), (viewer, viewer_answer), (admin, operator_answer)):
        answer = who.get(path)
        if kind:
            assert answer.json()["type"] == f"urn:crowsnest:problem:{kind}"
            assert "X-Webauth-User" not in answer.headers
        else:
            assert answer.status_code == 204
    assert admin.get("/api/auth/verify").headers["X-Webauth-User"] == "admin"
    assert admin.get("/api/auth/verify").headers["X-Webauth-Role"] == "Admin"
    assert viewer.get("/api/auth/verify").headers["X-Webauth-Role"] == "Viewer"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "made-up"])
def test_a_held_request_that_may_change_something_must_come_from_this_site(admin: Session, method: str):
    held = {"X-Forwarded-Method": method}
    assert admin.request("GET", "/api/auth/verify", headers=held).status_code == 204
    assert admin.request("GET", "/api/auth/verify", headers=held | {"Sec-Fetch-Site": "same-origin"}).status_code == 204
    for site in ("cross-site", "same-site"):
        answer = admin.request("GET", "/api/auth/verify", headers=held | {"Sec-Fetch-Site": site})
        expect(f"{method} to a tool from another site", answer, 403, "csrf")


def test_another_tenant_s_strategy_is_not_shown_to_exist(viewer: Session):
    for path in ("query", "tail", "hits", "facets", "streams", "export", "loss"):
        answer = viewer.get(f"/api/logs/{path}", strategy_id="beta")
        expect(f"strategy beta: /api/logs/{path}", answer, 403, "forbidden")
        assert answer.json()["detail"] == viewer.get(f"/api/logs/{path}", strategy_id="nonesuch").json()["detail"].replace(
            "nonesuch", "beta"
        )


def test_another_tenant_s_record_has_no_context(admin: Session, viewer: Session):
    row = admin.rows(strategy_id="beta")[0]
    answer = viewer.get("/api/logs/context", time=row["_time"], stream_id=row["_stream_id"])
    expect("context of another strategy's record", answer, 404, "not-found")


def test_saved_views_are_one_s_own(admin: Session, viewer: Session):
    assert admin.request("PUT", "/api/views/mine", json={"q": "secret"}).status_code == 200
    assert viewer.get("/api/views").json() == []
    expect("another one's view", viewer.request("DELETE", "/api/views/mine"), 404, "not-found")
    assert [view["name"] for view in admin.get("/api/views").json()] == ["mine"]
    assert admin.request("DELETE", "/api/views/mine").status_code == 204


@pytest.mark.parametrize("headers", [{}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": "ü".encode()}])
def test_a_change_without_confirmation_is_refused(admin: Session, headers: dict[str, str]):
    expect(f"PUT with {list(headers)}", admin.request("PUT", "/api/views/x", json={}, headers=headers), 403, "csrf")


def test_another_session_s_confirmation_does_not_count(admin: Session, viewer: Session):
    answer = admin.request("PUT", "/api/views/x", json={}, headers={"X-CSRF-Token": viewer.csrf})
    expect("PUT with another session's CSRF token", answer, 403, "csrf")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_can_neither_sign_in_nor_change(api: Api, admin: Session, site: str):
    credentials = {"username": "admin", "password": ADMIN_PASSWORD}
    answer = requests.post(f"{api.url}{LOGIN}", json=credentials, headers={"Sec-Fetch-Site": site}, timeout=10)
    expect(f"login from {site}", answer, 403, "csrf")
    answer = admin.request("PUT", "/api/views/x", json={}, headers={"X-CSRF-Token": admin.csrf, "Sec-Fetch-Site": site})
    expect(f"PUT from {site}", answer, 403, "csrf")


def test_a_form_of_another_site_is_no_login(api: Api):
    """A form can be posted from anywhere without asking; JSON can not."""
    for media_type in ("application/x-www-form-urlencoded", "text/plain"):
        body = json.dumps({"username": "admin", "password": ADMIN_PASSWORD})
        answer = requests.post(f"{api.url}{LOGIN}", data=body, headers={"Content-Type": media_type}, timeout=10)
        expect(f"login as {media_type}", answer, 400, "invalid-query")


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(api: Api):
    answer = requests.post(f"{api.url}{LOGIN}", json={"username": "admin", "password": ADMIN_PASSWORD}, timeout=10)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie, "over plain HTTP it would be lost"


def test_behind_the_gateway_the_cookie_is_secure_and_the_address_the_client_s(store: Store, tmp_path):
    with running_api(tmp_path, store.url, CROWSNEST_API_TRUSTED_PROXIES="127.0.0.0/8") as api:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
        answer = requests.post(
            f"{api.url}{LOGIN}", json={"username": "admin", "password": ADMIN_PASSWORD}, headers=headers, timeout=10
        )
        assert "Secure" in answer.headers["set-cookie"]
        assert api.login().get("/api/audit").json()["rows"][1]["address"] == "203.0.113.7"


def test_a_stranger_s_word_for_its_address_is_not_believed(api: Api, admin: Session):
    headers = {"X-Forwarded-For": "203.0.113.9"}
    requests.post(f"{api.url}{LOGIN}", json={"username": "mallory", "password": "wrong"}, headers=headers, timeout=10)
    rows = [row for row in admin.get("/api/audit").json()["rows"] if row["actor"] == "mallory"]
    assert [row["address"] for row in rows] == ["127.0.0.1"]


def test_who_guesses_is_shut_out(api: Api):
    answers = [Session(api.url).post(LOGIN, json={"username": "victim", "password": str(guess)}) for guess in range(7)]
    expect("login: wrong password", answers[0], 401, "unauthenticated")
    expect("login: seventh wrong password", answers[-1], 429, "throttled")
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_a_signed_out_and_a_disabled_user_are_strangers_at_once(api: Api):
    session = api.add_user("leaver")
    assert session.request("POST", "/api/auth/logout", json={}).status_code == 204
    answer = requests.get(f"{api.url}/api/auth/me", cookies={"crowsnest_session": "x"}, timeout=10)
    expect("signed out", answer, 401, "unauthenticated")
    again = api.login("leaver", "a long enough password")
    assert again.get("/api/auth/me").status_code == 200
    api.cli("users", "disable", "leaver")
    expect("disabled by the command line", again.get("/api/auth/me"), 401, "unauthenticated")


def test_a_token_works_and_needs_no_confirmation(api: Api, admin: Session):
    made = admin.post("/api/auth/tokens", json={"name": "machine", "strategies": ["alpha"]})
    assert made.status_code == 201
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    machine = Session(api.url)
    rows = machine.request("GET", "/api/logs/query", headers=headers).json()["rows"]
    assert {row["strategy_id"] for row in rows} == {"alpha"}
    assert machine.request("PUT", "/api/views/x", json={}, headers=headers).status_code == 200
    expect("token of a viewer: /api/audit", machine.request("GET", "/api/audit", headers=headers), 403, "forbidden")
    assert admin.request("DELETE", f"/api/auth/tokens/{made.json()['id']}").status_code == 204
    expect("deleted token", machine.request("GET", "/api/auth/me", headers=headers), 401, "unauthenticated")


def test_what_is_too_large_is_refused(api: Api, admin: Session):
    expect("body of 1 MB", admin.request("PUT", "/api/views/x", json={"q": "x" * 10**6}), 413, "too-large")
    chunked = (b"x" * 8192 for _ in range(64))
    headers = {"X-CSRF-Token": admin.csrf, "Content-Type": "application/json"}
    expect("the same in chunks", admin.request("PUT", "/api/views/x", data=chunked, headers=headers), 413, "too-large")
    expect("query text of 5,000 characters", admin.get("/api/logs/query", q="x" * 5000), 400, "invalid-query")
    expect("address of 40,000 characters", admin.get("/api/logs/query", q="x" * 40_000), 413, "too-large")
    expect("limit=-5", admin.get("/api/logs/query", limit=-5), 400, "invalid-query")
    expect("export of 30 days", admin.get("/api/logs/export", start="30d"), 400, "range-too-wide")
    expect("an unknown parameter", admin.get("/api/logs/query", extra_filters="*"), 400, "invalid-query")
    expect("an address that is none", admin.get("/api/nothing"), 404, "not-found")


def test_too_many_queries_at_once_are_told_to_wait(api: Api, admin: Session, store: Store):
    import asyncio

    import aiohttp

    async def burst() -> list[int]:
        async with aiohttp.ClientSession(cookies={"crowsnest_session": admin.cookie}) as session:

            async def one() -> int:
                async with session.get(f"{api.url}/api/logs/query") as answer:
                    await answer.read()
                    return answer.status

            return list(await asyncio.gather(*(one() for _ in range(12))))

    store.container.pause()
    try:
        task_statuses: list[int] = []
        import threading

        thread = threading.Thread(target=lambda: task_statuses.extend(asyncio.run(burst())))
        thread.start()
        time.sleep(1.5)
        expect("a fifth query at once", admin.get("/api/logs/query"), 429, "too-many-queries")
    finally:
        store.container.unpause()
    thread.join(30)
    assert task_statuses.count(429) == 8
    assert task_statuses.count(200) == 4
    assert admin.get("/api/logs/query").status_code == 200, "the places are free again"


def test_a_fifth_tail_is_refused_until_one_ends(admin: Session):
    tails = [admin.http.get(f"{admin.url}/api/logs/tail", stream=True, timeout=10) for _ in range(4)]
    assert [tail.status_code for tail in tails] == [200] * 4
    expect("a fifth tail", admin.get("/api/logs/tail"), 429, "too-many-queries")
    for tail in tails:
        tail.close()
    deadline = time.monotonic() + 5
    while True:
        answer = admin.http.get(f"{admin.url}/api/logs/tail", stream=True, timeout=10)
        answer.close()
        if answer.status_code == 200:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)


def raw(api: Api) -> socket.socket:
    parts = urlsplit(api.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def trickle_head(connection: socket.socket) -> None:
    connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: x\r\n")
    while True:
        connection.sendall(b"X-A: b\r\n")
        time.sleep(0.5)


def trickle_blank_lines(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"\r\n")
        time.sleep(0.5)


def say_nothing(connection: socket.socket) -> None:
    time.sleep(HEAD_SECONDS + 1)
    assert connection.recv(1) == b""
    raise ConnectionResetError


def endless_head(connection: socket.socket) -> None:
    connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: x\r\n")
    while True:
        connection.sendall(b"X-A: " + b"b" * 8000 + b"\r\n")


@pytest.mark.parametrize("attack", [trickle_head, trickle_blank_lines, say_nothing, endless_head])
def test_slow_and_endless_heads_are_cut_off(api: Api, attack: Callable[[socket.socket], None]):
    begun = time.monotonic()
    with raw(api) as connection, pytest.raises((ConnectionError, OSError)):
        attack(connection)
    seconds = time.monotonic() - begun
    ROWS.append((f"slow-loris: {attack.__name__.replace('_', ' ')}", f"cut off after {seconds:.0f} s", "-"))
    assert seconds < HEAD_SECONDS + 3
    assert requests.get(f"{api.url}/api/health", timeout=2).ok


def test_a_slow_body_is_cut_off(api: Api):
    begun = time.monotonic()
    with raw(api) as connection:
        connection.sendall(
            f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n".encode()
        )
        with contextlib.suppress(ConnectionError):
            for _ in range(int(BODY_SECONDS) + 2):
                connection.sendall(b"x")
                time.sleep(1)
        answer = connection.recv(4096).decode()
    ROWS.append(("slow-loris: body of a byte a second", answer.split("\r\n")[0], "send it at once"))
    assert answer.startswith("HTTP/1.1 408")
    assert time.monotonic() - begun < BODY_SECONDS + 4


def test_idle_connections_do_not_keep_others_out(api: Api):
    """Five hundred silent connections are what the server takes; they are gone after the deadline."""
    connections = [raw(api) for _ in range(500)]
    try:
        time.sleep(HEAD_SECONDS + 1)
        assert requests.get(f"{api.url}/api/health", timeout=5).ok
    finally:
        for connection in connections:
            connection.close()
    ROWS.append(("slow-loris: 500 silent connections", "all cut off, others are answered", "-"))


def test_everything_that_was_tried_is_in_the_log_which_is_intact(api: Api, admin: Session):
    seen: dict[tuple[str, str], int] = {}
    before = None
    while True:
        page = admin.get("/api/audit", limit=500, **({"before": before} if before else {})).json()
        for row in page["rows"]:
            seen[row["action"], row["outcome"]] = seen.get((row["action"], row["outcome"]), 0) + 1
        before = page["next"]
        if before is None:
            break
    for action, outcome in (
        ("auth.login", "allowed"), ("auth.login", "refused:unauthenticated"), ("auth.logout", "allowed"),
        ("auth.tokens.add", "allowed"), ("auth.tokens.delete", "allowed"), ("users.add", "allowed"),
        ("users.disable", "allowed"),
        ("views.put", "allowed"), ("views.delete", "allowed"), ("logs.query", "allowed"), ("logs.query", "refused:forbidden"),
        ("logs.tail", "allowed"), ("logs.export", "refused:range-too-wide"),
    ):  # fmt: skip
        assert seen.get((action, outcome)), (action, outcome, seen)
    assert "audit log intact" in api.cli("audit", "verify")
