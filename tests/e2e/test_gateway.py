"""The gateway before the real API, log store, Prometheus and Alertmanager: who gets in, what goes out, and what breaks."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from infra.catalogue import PROJECT_ROOT, catalogue
from infra.gateway import TOOLS
from tests.e2e.api_support import Session, Store, markdown, said, wait_until
from tests.e2e.conftest import StackUnderTest
from tests.figures import figure

pytestmark = [pytest.mark.docker, pytest.mark.stack]

NAMES = ["localhost", "127.0.0.1"]
VIEWER_PASSWORD = "a viewer's long password"
TOOL_PATHS = {
    "victorialogs": "/victorialogs/select/logsql/query?query=*",
    "prometheus": "/prometheus/api/v1/query?query=up",
    "alertmanager": "/alertmanager/api/v2/status",
}
# Whatever operates a tool, deletes its data or takes data in, and ways of writing it that a proxy may see otherwise.
ABSENT = [
    "/victorialogs/insert/jsonline",
    "/victorialogs/metrics",
    "/victorialogs/debug/pprof/",
    "/victorialogs/select/../insert/jsonline",
    "/victorialogs/select/%2e%2e/insert/jsonline",
    "/victorialogs/select/..%2finsert/jsonline",
    "/victorialogs//insert/jsonline",
    "/prometheus/-/reload",
    "/prometheus/-/quit",
    "/prometheus//-/quit",
    "/prometheus/%2d/quit",
    "/prometheus/x/../-/quit",
    "/prometheus/./-/quit",
    "/prometheus/api/v1/admin/tsdb/snapshot",
    "/prometheus/api/v1//admin/tsdb/snapshot",
    "/prometheus/API/v1/admin/tsdb/snapshot",
    "/prometheus/api/v1/admin%2ftsdb/snapshot",
    "/prometheus/debug/pprof/",
    "/prometheus/metrics",
    "/alertmanager/-/reload",
    "/alertmanager/metrics",
    "/alertmanager/debug/pprof/",
]
CLAIMS = {
    "X-Webauth-User": "admin",
    "X-Webauth-Role": "Admin",
    "X_Webauth_User": "admin",
    "X-WEBAUTH-USER": "admin",
    "X-Forwarded-User": "admin",
    "X-Remote-User": "admin",
    "Remote-User": "admin",
    "X-Forwarded-For": "127.0.0.1",
    "X-Real-Ip": "127.0.0.1",
    "Forwarded": "for=127.0.0.1;proto=https",
}


@dataclass
class Gateway:
    """A stack with a gateway, and people before it."""

    stack: StackUnderTest
    client: docker.DockerClient
    root: Path
    people: dict[str, Session] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.stack.settings.gateway_url or ""

    @property
    def port(self) -> int:
        return self.stack.settings.port_of(catalogue()["caddy"], "https")

    @property
    def plain_port(self) -> int:
        return self.stack.settings.port_of(catalogue()["caddy"], "http")

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.root))

    @property
    def store(self) -> Store:
        return Store(self.stack.run("address", "victorialogs").out.strip())

    def place(self, kind: str, *names: str) -> Path:
        """A path below the stack's folder for `config` or `data`."""
        return self.stack.folder.joinpath(kind, self.stack.settings.name_prefix, *names)

    def nobody(self) -> Session:
        session = Session(self.url)
        session.http.verify = str(self.root)
        return session

    def signed_in(self, name: str) -> Session:
        """Somebody's session; signing in is throttled, so once is enough."""
        if name not in self.people:
            session = self.nobody()
            password = self.stack.secret("api_admin_password").read_text() if name == "admin" else VIEWER_PASSWORD
            answer = session.post("/api/auth/login", json={"username": name, "password": password})
            assert answer.status_code == 200, answer.text
            session.csrf = answer.json()["csrf_token"]
            self.people[name] = session
        return self.people[name]

    def connect(self, name: str = "localhost") -> ssl.SSLSocket:
        return self.context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 10), server_hostname=name)

    def container(self, component: str) -> Any:
        return self.client.containers.get(self.stack.container(component))

    def raw(self, request: str | bytes, seconds: float = 10) -> bytes:
        """What comes back for bytes that no client library would send."""
        with self.connect() as connection:
            connection.settimeout(seconds)
            connection.sendall(request.encode() if isinstance(request, str) else request)
            return until_closed(connection)


def until_closed(connection: socket.socket) -> bytes:
    found = b""
    try:
        while chunk := connection.recv(65536):
            found += chunk
            if len(found) > 2**20:
                break
    except (TimeoutError, OSError):
        pass
    return found


@pytest.fixture(scope="module")
def gateway(
    make_stack: Callable[..., StackUnderTest], client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Gateway:
    tree = {
        "name_prefix": "cngw",
        "port_offset": 31000,
        "pipelines": {
            "logs": {"collector": "none"},
            "viewer": None,
            "metrics": {"containers": "none"},
            "gateway": {"names": NAMES},
        },
    }
    stack = make_stack("cngw", tree)
    stack.configure()
    stack.up()
    root = tmp_path_factory.mktemp("trust") / "root.crt"
    root.write_text(stack.run("certificate").out)
    found = Gateway(stack, client, root)
    command = ["python3", "-m", "crowsnest.api", "users", "add", "vik"]
    add = [*command, "--strategy", "ema_cross", "--password-file", "/tmp/password"]
    write = f"open('/tmp/password', 'w').write({VIEWER_PASSWORD!r})"
    assert found.container("api").exec_run(["python3", "-c", write]).exit_code == 0
    assert found.container("api").exec_run(add).exit_code == 0
    return found


def test_only_the_gateway_has_ports_of_the_machine(gateway: Gateway):
    published = {
        (component.name, binding["HostIp"], int(binding["HostPort"]))
        for component in gateway.stack.settings.components
        for bindings in (gateway.container(component.name).attrs["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or []
    }
    assert published == {("caddy", "127.0.0.1", gateway.port), ("caddy", "127.0.0.1", gateway.plain_port)}


@pytest.mark.parametrize("name", NAMES)
def test_the_certificate_verifies_with_the_exported_root_and_with_nothing_else(gateway: Gateway, name: str):
    with gateway.connect(name) as connection:
        certificate = connection.getpeercert()
        assert connection.version() == "TLSv1.3"
    assert name in {value for _, value in certificate["subjectAltName"]}
    with pytest.raises(ssl.SSLCertVerificationError), socket.create_connection(("127.0.0.1", gateway.port), 10) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname=name)


def test_its_certificate_is_watched_and_no_alert_waits_for_it(gateway: Gateway):
    """Renewed with a third left, which is more than the alert's bound: it fires only when the renewal fails."""

    def remaining_days() -> list[int]:
        query = {"query": 'probe_ssl_earliest_cert_expiry{component="caddy"} - time()'}
        answer = gateway.signed_in("admin").get("/prometheus/api/v1/query", **query)
        return [round(float(row["value"][1]) / 86_400) for row in answer.json()["data"]["result"]]

    wait_until(remaining_days, seconds=60, step=2)
    thresholds = json.loads((PROJECT_ROOT / "rules" / "thresholds.json").read_text())
    (bound,) = (one["value"] for one in thresholds if one["alert"] == "CertificateExpiresSoon")

    assert remaining_days() == [90]
    assert bound < 90 * 86_400 / 3


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(gateway: Gateway):
    context = gateway.context
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", gateway.port), 10) as plain:
        context.wrap_socket(plain, server_hostname="localhost")


def test_the_key_of_the_authority_is_its_users_alone(gateway: Gateway):
    folder = gateway.place("data", "caddy", "pki", "authorities", "local")
    assert (folder / "root.key").stat().st_mode & 0o077 == 0
    assert (folder / "root.key").stat().st_uid == catalogue()["caddy"].uid
    assert "PRIVATE" not in gateway.root.read_text()


def test_plain_http_is_sent_to_tls_by_the_names_that_are_known(gateway: Gateway):
    for name in NAMES:
        answer = requests.get(f"http://{name}:{gateway.plain_port}/logs?q=a%20b", allow_redirects=False, timeout=10)
        assert (answer.status_code, answer.headers["Location"]) == (308, f"https://{name}:{gateway.port}/logs?q=a%20b")
    elsewhere = requests.get(
        f"http://127.0.0.1:{gateway.plain_port}/logs", headers={"Host": "evil.example"}, allow_redirects=False, timeout=10
    )
    assert elsewhere.status_code == 421
    assert "Location" not in elsewhere.headers
    assert gateway.raw("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize(
    "path", ["/", "/assets/none.js", "/api/auth/me", "/api/none", *TOOL_PATHS.values(), "/prometheus/-/quit"]
)
@pytest.mark.parametrize("who", ["", "admin"])
def test_every_answer_has_the_headers_that_browsers_need(gateway: Gateway, path: str, who: str):
    session = gateway.signed_in(who) if who else gateway.nobody()
    headers = session.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "microphone=()" in headers["Permissions-Policy"]
    assert not {"Server", "Via", "X-Powered-By", "Alt-Svc"} & set(headers)
    # A machine without the root certificate could not get past the warning any more.
    assert "Strict-Transport-Security" not in headers


def test_pages_have_the_narrow_policy_and_tools_a_wider_one_that_still_names_no_other_host(gateway: Gateway):
    page = gateway.nobody().get("/logs").headers["Content-Security-Policy"]
    tool = gateway.signed_in("admin").get(TOOL_PATHS["prometheus"]).headers["Content-Security-Policy"]
    assert "unsafe" not in page
    for policy in (page, tool):
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http" not in policy.replace("https", "")
    api = gateway.signed_in("admin").get("/api/auth/me").headers["Content-Security-Policy"]
    assert api == "default-src 'none'; frame-ancestors 'none'"


def test_the_viewer_is_served_with_its_caching(gateway: Gateway):
    session = gateway.nobody()
    index = session.get("/strategies/ema_cross")
    assert (index.status_code, index.headers["Cache-Control"]) == (200, "no-cache")
    assert '<div id="root">' in index.text
    again = session.request("GET", "/", headers={"If-None-Match": index.headers["ETag"]})
    assert again.status_code == 304
    script = next(part.split('"')[0] for part in index.text.split('src="')[1:])
    asset = session.request("GET", script, headers={"Accept-Encoding": "gzip"})
    assert asset.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert asset.headers["Content-Encoding"] == "gzip"
    assert asset.headers["Content-Type"].startswith("text/javascript")
    assert session.get("/assets/gone-1234.js").status_code == 404


def test_who_has_not_signed_in_gets_pages_to_sign_in_and_nothing_else(gateway: Gateway):
    session = gateway.nobody()
    refused = [
        "/api/logs/query",
        "/api/logs/tail",
        "/api/logs/export?format=csv",
        "/api/audit",
        "/api/views",
        "/api/auth/tokens",
    ]
    for path in [*refused, *TOOL_PATHS.values(), *(f"{tool.path}/" for name, tool in TOOLS.items() if name in TOOL_PATHS)]:
        answer = session.get(path)
        assert answer.status_code == 401, f"{path}: {answer.status_code}"
        assert answer.headers["Content-Type"] == "application/problem+json"
    for path in ABSENT:
        answer = gateway.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.split(b" ", 2)[1] in (b"401", b"404", b"400"), f"{path}: {answer[:60]!r}"


def test_a_browser_is_sent_to_the_sign_in_and_knows_the_way_back(gateway: Gateway):
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
    answer = gateway.nobody().request("GET", "/prometheus/graph", headers=headers, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?next=/prometheus/")


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_client_claims_to_be_counts_for_nothing(gateway: Gateway, claim: str):
    claims = {claim: CLAIMS[claim]}
    for path in TOOL_PATHS.values():
        assert gateway.nobody().request("GET", path, headers=claims).status_code == 401
        assert gateway.signed_in("vik").request("GET", path, headers=claims).status_code == 403
    assert gateway.signed_in("vik").request("GET", "/api/auth/me", headers=claims).json()["name"] == "vik"


def test_the_gateways_own_question_is_not_for_others(gateway: Gateway):
    assert gateway.signed_in("admin").get("/api/auth/verify").status_code == 404
    assert gateway.raw("GET /api/auth//verify HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[9:12] in (
        b"404",
        b"401",
    )


def test_an_address_in_the_audit_log_is_the_clients_whatever_it_claims(gateway: Gateway):
    admin = gateway.signed_in("admin")
    admin.request("GET", "/api/logs/query", headers={"X-Forwarded-For": "203.0.113.9"})
    rows = admin.get("/api/audit", limit=20).json()["rows"]
    assert rows
    assert not [row for row in rows if row["address"] == "203.0.113.9"]


def test_an_operator_opens_every_tool_and_a_viewer_none(gateway: Gateway):
    rows = [("path", "nobody", "viewer", "operator")]
    for path in ("/api/logs/query", "/api/audit", *TOOL_PATHS.values()):
        codes = [
            session.get(path).status_code
            for session in (gateway.nobody(), gateway.signed_in("vik"), gateway.signed_in("admin"))
        ]
        rows.append((path.split("?")[0], *map(str, codes)))
    figure("who gets in", "\n" + markdown(rows))
    assert {row[1] for row in rows[1:]} == {"401"}
    assert [row[2] for row in rows[1:]] == ["200", "403", "403", "403", "403"]
    assert {row[3] for row in rows[1:]} == {"200"}


def test_a_machines_token_opens_what_its_role_may(gateway: Gateway):
    admin = gateway.signed_in("admin")
    made = [admin.post("/api/auth/tokens", json={"name": f"gw-{role}", "role": role}).json() for role in ("operator", "viewer")]
    codes = []
    for token in made:
        headers = {"Authorization": f"Bearer {token['token']}"}
        codes.append(gateway.nobody().request("GET", TOOL_PATHS["prometheus"], headers=headers).status_code)
    assert codes == [200, 403]
    for token in made:
        assert (
            admin.request("DELETE", f"/api/auth/tokens/{token['id']}", headers={"X-CSRF-Token": admin.csrf}).status_code == 204
        )


@pytest.mark.parametrize("path", ABSENT)
def test_what_operates_a_tool_is_not_there_even_for_an_operator(gateway: Gateway, path: str):
    started = {
        name: gateway.container(name).attrs["State"]["StartedAt"] for name in ("prometheus", "alertmanager", "victorialogs")
    }
    cookie = gateway.signed_in("admin").cookie
    for method in ("GET", "POST"):
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nCookie: crowsnest_session={cookie}\r\nContent-Length: 0\r\n"
        answer = gateway.raw(request + "Connection: close\r\n\r\n")
        status = answer.split(b" ", 2)[1]
        # A redirect to the clean path ends at the same refusal.
        assert status in (b"404", b"400", b"301", b"307", b"405"), answer[:300]
    assert not gateway.place("data", "prometheus", "snapshots").exists()
    for name, moment in started.items():
        assert gateway.container(name).attrs["State"]["StartedAt"] == moment


def test_another_site_cannot_make_somebodys_browser_change_a_tool(gateway: Gateway):
    silence = {
        "matchers": [{"name": "alertname", "value": "x", "isRegex": False, "isEqual": True}],
        "startsAt": "2030-01-01T00:00:00Z", "endsAt": "2030-01-01T01:00:00Z", "createdBy": "test", "comment": "test",
    }  # fmt: skip
    codes = []
    for site in ("cross-site", "same-site", "same-origin"):
        headers = {"Sec-Fetch-Site": site, "Content-Type": "application/json"}
        answer = gateway.signed_in("admin").post("/alertmanager/api/v2/silences", json=silence, headers=headers)
        codes.append(answer.status_code)
    assert codes == [403, 403, 200]


def test_a_session_cookie_goes_over_tls_only_and_to_no_script(gateway: Gateway):
    gateway.signed_in("admin")
    cookies = [one for one in gateway.people["admin"].http.cookies if one.name == "crowsnest_session"]
    assert cookies[0].secure
    assert cookies[0].has_nonstandard_attr("HttpOnly")
    assert cookies[0].get_nonstandard_attr("SameSite") == "strict"


def timed(act: Callable[[], bytes]) -> tuple[str, float]:
    """First line of an answer, or that the connection was closed; and after how many seconds."""
    begun = time.monotonic()
    answer = act()
    line = answer.split(b"\r\n", 1)[0].decode(errors="replace") if answer else "closed"
    return line, time.monotonic() - begun


def slowly(gateway: Gateway, begin: bytes, drip: bytes, seconds: float) -> Callable[[], bytes]:
    """Send a beginning, then a byte each second, and see when that ends."""

    def act() -> bytes:
        with gateway.connect() as connection:
            connection.sendall(begin)
            connection.settimeout(0.2)
            deadline, found = time.monotonic() + seconds, b""
            while time.monotonic() < deadline:
                try:
                    connection.sendall(drip)
                    chunk = connection.recv(65536)
                    found += chunk
                    if not chunk:
                        return found
                except TimeoutError:
                    time.sleep(0.8)
                except OSError:
                    return found
            return b"HTTP/1.1 000 still open"

    return act


HEAD = b"Host: localhost\r\n"
LARGE = 2 * 2**20


def attempts(gateway: Gateway) -> list[tuple[str, Callable[[], bytes], set[str]]]:
    """What is tried, and which answers are a refusal."""
    session = f"Cookie: crowsnest_session={gateway.signed_in('admin').cookie}\r\n".encode()
    login = b"POST /api/auth/login HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\n"
    query = b"POST /prometheus/api/v1/query HTTP/1.1\r\n" + HEAD + session + b"Content-Type: text/plain\r\n"
    large = b"Content-Length: %d\r\n\r\n" % LARGE + b"a" * LARGE
    long_head = b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n"
    long_address = b"GET /?" + b"a" * 33_000 + b" HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n"
    late = b"Content-Length: 1000\r\n\r\n"
    return [
        ("head of 100 KB", lambda: gateway.raw(long_head), {"431"}),
        ("address of 33 KB", lambda: gateway.raw(long_address), {"413", "414", "431"}),
        ("sign-in of 2 MB", lambda: gateway.raw(login + large), {"413"}),
        ("query to Prometheus of 2 MB", lambda: gateway.raw(query + large), {"413"}),
        ("head, a byte a second", slowly(gateway, b"GET / HTTP/1.1\r\nX: ", b"a", 30), {"408", "closed"}),
        ("sign-in, a byte a second", slowly(gateway, login + late, b"a", 30), {"408"}),
        (
            "query to Prometheus, a byte a second",
            slowly(gateway, query + late, b"a", 40),
            {"408", "400", "499", "502", "504", "closed"},
        ),
        ("no TLS on the port for TLS", lambda: plain(gateway.port), {"400"}),
        ("handshake that is never begun", lambda: silent(gateway.port, 40), {"closed"}),
    ]


def test_too_large_too_slow_and_too_often_are_refused(gateway: Gateway):
    tried = attempts(gateway)
    with ThreadPoolExecutor(len(tried)) as pool:
        outcomes = list(pool.map(lambda attempt: timed(attempt[1]), tried))
    rows = [("attempt", "answer", "after s")]
    rows += [(attempt[0], line, f"{seconds:.1f}") for attempt, (line, seconds) in zip(tried, outcomes, strict=True)]
    guesses = [gateway.nobody().post("/api/auth/login", json={"username": "mallory", "password": "x"}) for _ in range(12)]
    rows.append(("12 guesses of a password", f"HTTP/1.1 {guesses[-1].status_code}", ""))
    rows.append(("30 queries of one person at once", f"HTTP/1.1 {too_many_queries(gateway)}", ""))
    figure("refused at the gateway", "\n" + markdown(rows))
    for (name, _, refusals), (line, seconds) in zip(tried, outcomes, strict=True):
        assert any(word in line for word in refusals), f"{name}: {line}"
        assert seconds < 30, f"{name}: {seconds:.0f} s"
    assert guesses[-1].status_code == 429
    assert int(guesses[-1].headers["Retry-After"]) >= 1
    assert gateway.nobody().get("/api/health").status_code == 200


def too_many_queries(gateway: Gateway) -> int:
    """Highest status when one person asks for much at once."""
    cookie = {"crowsnest_session": gateway.signed_in("admin").cookie}
    begin = threading.Barrier(30)

    def ask(_: int) -> int:
        with requests.Session() as session:
            session.trust_env, session.verify = False, str(gateway.root)
            session.get(f"{gateway.url}/api/health", timeout=30)  # the connection is there
            begin.wait(60)
            query = {"q": "* | stats by (_msg) count()", "start": "24h"}
            return session.get(f"{gateway.url}/api/logs/query", params=query, cookies=cookie, timeout=30).status_code

    with ThreadPoolExecutor(30) as pool:
        highest = max(pool.map(ask, range(30)))
    assert highest == 429
    return highest


def plain(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(10)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return until_closed(connection)


def silent(port: int, seconds: float) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(seconds)
        try:
            return connection.recv(1024)
        except TimeoutError:
            return b"HTTP/1.1 000 still open"
        except OSError:
            return b""


def events(answer: requests.Response) -> Iterator[tuple[float, str]]:
    """Lines of a tail with the moment at which each arrived."""
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        yield time.monotonic(), line


def test_a_tail_streams_through_and_goes_on_beyond_every_time_limit(gateway: Gateway):
    admin, store = gateway.signed_in("admin"), gateway.store
    store.insert([said("ema_cross", "before the tail", 2)])
    seen: list[tuple[float, str]] = []
    answer = admin.http.get(f"{gateway.url}/api/logs/tail", params={"q": "streamed"}, stream=True, timeout=(10, 40))
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer.headers

    def read() -> None:
        with contextlib.suppress(Exception):  # it is closed while it is read
            for event in events(answer):
                seen.append(event)  # noqa: PERF402 - others look at the list meanwhile

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    delays = []
    for index in range(4):
        time.sleep(1 if index < 2 else 12)  # longer than a head, a body or a write may take
        store.send([said("ema_cross", f"streamed {index}", 0)])
        sent = time.monotonic()
        wait_until(lambda index=index: any(f"streamed {index}" in line for _, line in seen), 30)
        delays.append(next(moment for moment, line in seen if f"streamed {index}" in line) - sent)
    answer.close()
    reader.join(20)
    figure("tail through the gateway, s from sent to seen", ", ".join(f"{delay:.1f}" for delay in delays))
    # The API looks each second; what is held back by a buffer would come with the next event at the earliest.
    assert statistics.median(delays) < 5


def test_the_gateway_costs_little(gateway: Gateway):
    direct = gateway.stack.run("address", "api").out.strip()
    cookie = {"crowsnest_session": gateway.signed_in("admin").cookie}

    def each(url: str) -> float:
        with requests.Session() as session:
            session.trust_env, session.verify = False, str(gateway.root)
            spent = []
            for _ in range(200):
                begun = time.perf_counter()
                assert session.get(f"{url}/api/auth/me", cookies=cookie, timeout=10).status_code == 200
                spent.append(time.perf_counter() - begun)
        return statistics.median(spent) * 1000

    alone, through = each(direct), each(gateway.url)
    figure("gateway, ms added to an answer (median of 200)", f"{through - alone:.1f} ({alone:.1f} without it)")
    assert through - alone < 20


def test_while_the_api_is_away_that_is_said_and_it_heals_by_itself(gateway: Gateway):
    admin, api = gateway.signed_in("admin"), gateway.container("api")
    api.stop()
    try:
        for path in ("/api/auth/me", TOOL_PATHS["prometheus"], "/"):
            answer = admin.get(path)
            assert answer.status_code in (502, 504), path
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.headers["Retry-After"] == "3"
            assert answer.json()["hint"]
    finally:
        api.start()
    begun = time.monotonic()
    wait_until(lambda: admin.get("/api/auth/me").status_code == 200, 60)
    figure("gateway, s until it answers after the API's start", f"{time.monotonic() - begun:.1f}")
    assert admin.get(TOOL_PATHS["prometheus"]).status_code == 200


def test_a_request_during_a_restart_is_answered_or_told_to_try_again(gateway: Gateway):
    admin = gateway.signed_in("admin")
    statuses: list[int] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            statuses.append(admin.get("/api/auth/me").status_code)
            time.sleep(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    gateway.container("api").restart()
    wait_until(lambda: statuses and statuses[-1] == 200, 60)
    done.set()
    asking.join(30)
    assert set(statuses) <= {200, 502, 504}
    lost = sum(status != 200 for status in statuses)
    figure("requests refused during a restart of the API", f"{lost} of {len(statuses)}")


def test_metrics_and_health_are_for_the_networks_inside(gateway: Gateway):
    admin = gateway.signed_in("admin")

    def up() -> list[str]:
        answer = admin.get("/prometheus/api/v1/query", query='up{job="gateway"}').json()
        return [series["value"][1] for series in answer["data"]["result"]]

    wait_until(lambda: up() == ["1"], 60, step=1)
    # Outside these are pages of the viewer, as every other path.
    for path in ("/health", "/metrics"):
        assert '<div id="root">' in admin.get(path).text


def test_a_changed_configuration_is_read_without_a_restart_and_a_wrong_one_changes_nothing(gateway: Gateway):
    stack, before = gateway.stack, gateway.container("caddy").id
    file = gateway.place("config", "caddy", "Caddyfile")
    admin = gateway.signed_in("admin")
    stack.configure(pipelines=stack.tree["pipelines"] | {"gateway": {"names": [*NAMES, "crow.test"]}})
    second = stack.up()
    assert "caddy: has read its changed configuration" in second.err + second.out
    assert gateway.container("caddy").id == before
    with gateway.connect("crow.test") as connection:
        assert ("DNS", "crow.test") in connection.getpeercert()["subjectAltName"]
    good = file.read_text()
    try:
        file.write_text(good.replace("persist_config off", "persist_config of"))
        refused = stack.run("up", expect=1)
        assert "refused its new configuration and goes on with the old one" in refused.err
        assert "persist_config" in refused.err
        assert ("container caddy", "unreadConfiguration") in stack.run("drift", expect=2).findings
        assert admin.get("/api/auth/me").status_code == 200
    finally:
        file.write_text(good)
    stack.up()
    assert not stack.run("drift").document["findings"]
    assert "nothing changed" in stack.up().err


def test_the_authority_stays_when_everything_is_taken_down(gateway: Gateway):
    stack = gateway.stack
    stack.run("down")
    stack.up()
    assert stack.run("certificate").out == gateway.root.read_text()
    gateway.people.clear()
    assert gateway.signed_in("admin").get("/api/auth/me").status_code == 200


def test_no_secret_is_in_the_gateways_log(gateway: Gateway):
    secret = gateway.signed_in("admin").cookie
    gateway.signed_in("admin").request("GET", "/api/auth/me", headers={"Authorization": "Bearer cn_not-a-token"})
    log = gateway.container("caddy").logs().decode()
    assert "handled request" in log
    for line in log.splitlines():
        json.loads(line)
    assert secret not in log
    assert "cn_not-a-token" not in log
    assert gateway.stack.secret("api_admin_password").read_text() not in log
