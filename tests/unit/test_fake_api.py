"""The fake API of the browser tests answers as the real API is described, for every call that the viewer makes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import schemathesis
from schemathesis.openapi.checks import JsonSchemaError

from crowsnest.api.audit import chain
from infra.catalogue import PROJECT_ROOT
from tests.browser.fake_api import CSRF_TOKEN, PASSWORD
from tests.browser.support import Site

SCHEMA = schemathesis.openapi.from_dict(json.loads((PROJECT_ROOT / "src/crowsnest/api/openapi.json").read_text()))
CLIENT = (PROJECT_ROOT / "web/src/api").glob("*.ts")
CALL = re.compile(r'client\s*\.(GET|PUT|POST|DELETE)\("([^"]+)"')
CALLED = {found.groups() for file in CLIENT for found in CALL.finditer(file.read_text())}
"""Method and path of every call of the viewer, but for the tail and downloads, which are no JSON."""
Q = {"q": "*"}
BUDGET = "/api/budgets/{strategy_id}"
RAISE = "/api/budgets/raises/{request_id}"
ORDER = "/api/trading/orders/{run_id}/{client_order_id}"
RESTART = "/api/services/{component}/restart"


@pytest.fixture(scope="module")
def served() -> Iterator[Site]:
    site = Site(records=3_000)
    site.start()
    yield site
    site.stop()


@pytest.fixture
def site(served: Site) -> Site:
    served.control(mode="ok", desk={})
    return served


class Caller:
    """Somebody who asks the fake, and holds each answer against the description."""

    def __init__(self, site: Site, user: str | None) -> None:
        self.site, self.user = site, user

    def __call__(self, method: str, path: str, expect: int = 200, body: object = None, **names: Any) -> Any:
        """The answer's document; names that are not of the path are the query's."""
        url = self.site.url + path.format(**names)
        query = {name: value for name, value in names.items() if f"{{{name}}}" not in path}
        cookies = {"crowsnest_session": f"fake-{self.user}"} if self.user else {}
        headers = {"X-CSRF-Token": CSRF_TOKEN}
        answer = requests.request(method, url, params=query, json=body, cookies=cookies, headers=headers, timeout=10)
        assert answer.status_code == expect, answer.text
        operation = SCHEMA[path][method]
        assert str(expect) in operation.definition.raw["responses"], f"{method} {path} never answers {expect}"
        operation.validate_response(answer)
        return answer.json() if answer.content else None


def call(site: Site, user: str | None = "anna") -> Caller:
    return Caller(site, user)


def test_a_wrong_answer_would_be_noticed(site: Site) -> None:
    answer = requests.get(f"{site.url}/api/budgets", cookies={"crowsnest_session": "fake-anna"}, timeout=10)
    document = answer.json()
    document["budgets"][0]["version"] = "1"
    answer._content = json.dumps(document).encode()
    with pytest.raises(JsonSchemaError):
        SCHEMA["/api/budgets"]["GET"].validate_response(answer)


def test_every_call_of_the_viewer_is_answered_as_described(site: Site) -> None:
    anna, bert = call(site), call(site, "bert")
    made: set[tuple[str, str]] = set()

    def ask(method: str, path: str, *, who: Caller = anna, **arguments: Any) -> Any:
        made.add((method, path))
        return who(method, path, **arguments)

    ask("POST", "/api/auth/login", who=call(site, None), body={"username": "anna", "password": PASSWORD})
    ask("GET", "/api/auth/me")
    row = ask("GET", "/api/logs/query", **Q, start="24h")["rows"][0]
    ask("GET", "/api/logs/hits", **Q)
    ask("GET", "/api/logs/facets", **Q, fields="strategy_id,level", limit=20)
    ask("GET", "/api/logs/context", time=row["_time"], stream_id=row["_stream_id"], before=2, after=2, within="origin")
    assert ask("GET", "/api/logs/loss", start="24h")["gaps"]
    ask("GET", "/api/logs/health")
    ask("PUT", "/api/views/{name}", name="mine", body={"q": "late", "start": "1h"})
    assert ask("GET", "/api/views")
    ask("DELETE", "/api/views/{name}", name="mine", expect=204)
    for book in ("orders", "fills", "positions", "signals"):
        assert len(ask("GET", f"/api/trading/{book}", limit=20)["rows"]) == 20
    assert ask("GET", "/api/trading/choices")["runs"]
    order = ask("GET", "/api/trading/orders", status="FILLED")["rows"][0]
    story = ask("GET", ORDER, run_id=order["run_id"], client_order_id=order["client_order_id"])
    assert story["fills"]
    assert story["positions"]
    assert story["signal"]
    assert {budget["strategy_id"] for budget in ask("GET", "/api/budgets")["budgets"]} > {"ema_cross"}
    same = {"strategy_id": "ema_cross"}
    ask("PUT", BUDGET, **same, body={"cap_usd": "1000", "version": 1, "reason": "less risk"})
    waiting = ask("PUT", BUDGET, **same, expect=202, body={"cap_usd": "2000", "version": 2, "reason": "more of it"})
    ask("POST", RAISE + "/confirm", who=bert, request_id=waiting["budget"]["pending"]["id"])
    waiting = ask("PUT", BUDGET, **same, expect=202, body={"cap_usd": "3000", "version": 3, "reason": "still more"})
    ask("POST", RAISE + "/reject", request_id=waiting["budget"]["pending"]["id"])
    assert len(ask("GET", BUDGET + "/changes", **same)["rows"]) == 2
    assert ask("GET", "/api/audit")["next"]
    assert ask("GET", "/api/services")["services"]
    ask("POST", RESTART, component="alloy", body={"reason": "it hangs"})
    ask("POST", "/api/auth/logout", expect=204)
    assert made == CALLED


def test_what_is_refused_is_refused_as_described(site: Site) -> None:
    anna, bert, vik, stranger = (call(site, name) for name in ("anna", "bert", "vik", None))
    same: dict[str, Any] = {"strategy_id": "ema_cross"}
    for path in ("/api/trading/orders", "/api/budgets", "/api/audit", "/api/services", "/api/logs/query"):
        stranger("GET", path, expect=401)
    vik("GET", "/api/audit", expect=403)
    vik("GET", "/api/trading/fills", expect=403, strategy_id="mean_reversion")
    vik("PUT", BUDGET, **same, expect=403, body={"cap_usd": "1", "version": 1, "reason": "mine"})
    vik("POST", RESTART, component="alloy", expect=403, body={"reason": "it hangs"})
    assert {row["strategy_id"] for row in vik("GET", "/api/trading/orders")["rows"]} == {"ema_cross"}
    for wrong in ({"limit": 0}, {"before": "x"}, {"unknown": "1"}):
        anna("GET", "/api/trading/orders", expect=400, **wrong)
    anna("GET", ORDER, expect=404, run_id="none", client_order_id="none")
    anna("PUT", BUDGET, **same, expect=400, body={"cap_usd": "-1", "version": 1, "reason": "why not"})
    anna("PUT", BUDGET, **same, body={"cap_usd": "1000", "version": 1, "reason": "halve it"})
    told = bert("PUT", BUDGET, **same, expect=409, body={"cap_usd": "800", "version": 1, "reason": "less"})
    assert "version 2 by now: 1000.00 dollars, changed by anna (halve it)" in told["detail"]
    waiting = anna("PUT", BUDGET, **same, expect=202, body={"cap_usd": "2000", "version": 2, "reason": "more"})
    number = waiting["budget"]["pending"]["id"]
    anna("POST", RAISE + "/confirm", expect=403, request_id=number)
    bert("PUT", BUDGET, **same, expect=409, body={"cap_usd": "9000", "version": 2, "reason": "more"})
    bert("POST", RAISE + "/reject", request_id=number)
    bert("POST", RAISE + "/confirm", expect=409, request_id=number)
    anna("POST", RAISE + "/confirm", expect=404, request_id=99)
    anna("POST", RESTART, component="trader", expect=403, body={"reason": "it hangs"})
    site.control(database="away", docker="away")
    anna("GET", "/api/trading/orders", expect=503)
    anna("GET", "/api/budgets", expect=503)
    anna("GET", "/api/services", expect=503)
    site.control(docker="none", mode="unavailable")
    anna("GET", "/api/services", expect=501)
    anna("GET", "/api/logs/query", expect=503, **Q)


def test_pages_hold_every_order_once_newest_first(site: Site) -> None:
    anna = call(site)
    rows: list[dict[str, Any]] = []
    before: dict[str, str] = {}
    while True:
        page = anna("GET", "/api/trading/orders", limit=97, **before)
        rows += page["rows"]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert len(rows) == len({row["id"] for row in rows}) > 400
    times = [(datetime.fromisoformat(row["time"]), row["id"]) for row in rows]
    assert times == sorted(times, reverse=True)
    recent = [row for row in rows if datetime.now(UTC) - datetime.fromisoformat(row["time"]) < timedelta(minutes=59)]
    assert {row["run_id"] for row in recent} < {row["run_id"] for row in rows}


def test_an_order_s_records_are_in_the_fake_s_log(site: Site) -> None:
    anna = call(site)
    order = anna("GET", "/api/trading/orders", status="REJECTED")["rows"][0]
    logs = anna("GET", ORDER, run_id=order["run_id"], client_order_id=order["client_order_id"])["logs"]
    messages = [row["_msg"] for row in anna("GET", "/api/logs/query", **logs)["rows"]]
    assert len(messages) >= 2
    assert any(order["reason"] in message for message in messages)


def test_a_changed_cap_is_taken_up_a_little_later(site: Site) -> None:
    anna = call(site)
    changed = anna("PUT", BUDGET, strategy_id="ema_cross", body={"cap_usd": "1000", "version": 1, "reason": "less risk"})[
        "budget"
    ]
    assert (changed["version"], changed["applied_version"]) == (2, 1)
    time.sleep(0.6)
    (budget, *_) = anna("GET", "/api/budgets")["budgets"]
    assert (budget["version"], budget["applied_version"]) == (2, 2)


def test_the_fake_s_audit_log_is_a_chain(site: Site) -> None:
    anna = call(site)
    anna("PUT", BUDGET, strategy_id="ema_cross", body={"cap_usd": "1000", "version": 1, "reason": "less risk"})
    newest = anna("GET", "/api/audit", limit=500)["rows"]
    head, rows = chain.GENESIS, []
    for row in reversed(newest):
        text = json.dumps(row["detail"], ensure_ascii=False, separators=(",", ":"))
        rows.append({**row, "detail": text, "previous_hash": head, "hash": (head := bytes.fromhex(row["hash"]))})
    assert chain.verify(rows).problem is None
    assert newest[0]["detail"]["reason"] == "less risk"
