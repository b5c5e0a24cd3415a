"""Hostile queries against a real VictoriaLogs: none reads outside of its range, its limit or its strategies.

Each query is sent through the API to every endpoint that takes one, by a viewer of the strategy `alpha`. It is also put to the
store without the recogniser, with the policy's other arguments only: what leaves its bounds then has to be what the recogniser
refuses.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml

from crowsnest.api.logs.language import Query
from crowsnest.api.logs.policy import Asked, LogQueryPolicy
from infra.catalogue import PROJECT_ROOT
from tests.e2e.api_support import Api, Session, Store, markdown, running_api, running_store, said
from tests.figures import figure

pytestmark = pytest.mark.docker

CORPUS: list[dict[str, str]] = yaml.safe_load((PROJECT_ROOT / "tests/e2e/hostile_queries.yml").read_text(encoding="utf-8"))
VISIBLE = 40
HIDDEN = 3000
MANY = 700
# In every free field of a hidden record, so that it shows whichever field is read.
MARKER = "FORBIDDENRECORD"
ENDPOINTS = ("query", "hits", "facets", "streams", "export", "tail")


def planted() -> Iterator[dict[str, Any]]:
    for index in range(VISIBLE):
        yield said("alpha", f"visible {index}", 60 + index)
    for index in range(HIDDEN):
        yield said("beta", f"{MARKER} of another strategy {index}", 60 + index / 10, other=MARKER, container_name=MARKER)
        # Beyond the day that is the most, and beyond the hour that is asked for; of the same stream as the visible ones.
        yield said("alpha", f"{MARKER} too old {index}", 2 * 86_400 + index, other=MARKER)
        yield said("alpha", f"{MARKER} before the range {index}", 7200 + index / 10, other=MARKER)
    for index in range(MANY):
        yield said("gamma", f"one of many {index}", 60 + index / 10)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as store:
        store.insert(planted())
        yield store


@pytest.fixture(scope="module")
def api(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api"), store.url) as api:
        yield api


@pytest.fixture(scope="module")
def viewer(api: Api) -> Session:
    return api.add_user("alice", "--strategy", "alpha")


def leaks(body: str, query: str = "") -> list[str]:
    """What a body shows of hidden records: their marker, another strategy's name, or a number that only they can make."""
    found = [MARKER] if MARKER in body else []
    # A query may write a name into a field of its own rows.
    found += [name for name in ("beta", "gamma") if name in body and name not in query]
    numbers = re.findall(r'(?<![0-9a-fT.:-])(\d{3,9})"?(?=[,}\]])', body)
    return found + [number for number in numbers if int(number) > VISIBLE * 10]


def ask(viewer: Session, endpoint: str, text: str) -> tuple[int, str]:
    """Status and body; of a tail, what it says in a second."""
    if endpoint != "tail":
        answer = viewer.get(f"/api/logs/{endpoint}", q=text, **({} if endpoint == "hits" else {"limit": 100}))
        return answer.status_code, _without_applied(answer.text)
    with viewer.http.get(f"{viewer.url}/api/logs/tail", params={"q": text}, stream=True, timeout=(5, 30)) as answer:
        if answer.status_code != 200:
            return answer.status_code, answer.text
        body, deadline = "", time.monotonic() + 0.3
        for chunk in answer.iter_content(None):
            body += chunk.decode()
            if time.monotonic() > deadline or "event: heartbeat" in body:
                break
        return 200, body


def _without_applied(text: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return text
    if isinstance(document, dict):
        for name in ("applied", "clamped", "took_ms", "step_seconds"):
            document.pop(name, None)
    return json.dumps(document)


def test_the_corpus_is_large_and_its_queries_differ():
    assert len({entry["query"] for entry in CORPUS}) == len(CORPUS) >= 60


def test_the_planted_records_would_show(store: Store):
    """Otherwise nothing below means anything: without the guard they are found."""
    text = requests.post(f"{store.url}/select/logsql/query", {"query": "*", "limit": 10_000}, timeout=30).text
    assert text.count(MARKER) >= 3 * HIDDEN
    assert leaks(text)
    assert leaks(json.dumps({"rows": [{"n": str(HIDDEN)}]}))


def test_no_hostile_query_reads_outside(viewer: Session):
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    for entry in CORPUS:
        for endpoint in ENDPOINTS:
            status, body = ask(viewer, endpoint, entry["query"])
            refused = status == 400
            outcomes[f"{endpoint}: {'refused' if refused else status}"] += 1
            if status not in (200, 400):
                wrong.append(f"{endpoint} {status}: {entry['query']!r}: {body[:200]}")
            if entry["expect"] == "refused" and not refused:
                wrong.append(f"{endpoint} was not refused: {entry['query']!r}")
            if status == 200 and (found := leaks(body, entry["query"])):
                wrong.append(f"{endpoint} shows {found[:3]}: {entry['query']!r}")
            if refused and not json.loads(body)["hint"]:
                wrong.append(f"no hint: {entry['query']!r}")
    print(markdown([("endpoint: outcome", "queries"), *((name, str(count)) for name, count in sorted(outcomes.items()))]))
    figure("hostile queries sent to six endpoints / that read outside", f"{len(CORPUS)} / {len(wrong)}")
    assert not wrong, "\n".join(wrong)


def test_what_passes_the_recogniser_is_what_the_store_keeps_inside(store: Store):
    """The same queries, past the recogniser: the store's own arguments hold them, or the recogniser is what refuses them."""
    decision = LogQueryPolicy().decide(Asked(), "query", ["alpha"], time.time_ns())
    rows, escapes, by_range_only = [("query", "recogniser", "start and end", "all arguments")], [], 0
    for entry in CORPUS:
        form = dataclasses.replace(decision, query=Query(entry["query"])).form
        guarded = put_to_store(store, form, entry["query"])
        # As most do it: a range, and the scope.
        ranged = put_to_store(store, [one for one in form if one[0] != "extra_filters"], entry["query"])
        rows.append((json.dumps(entry["query"])[:70], entry["expect"], ranged, guarded))
        by_range_only += ranged == "LEAVES"
        if guarded == "LEAVES":
            escapes.append(entry)
    print(markdown(rows))
    figure("of them, queries that leave start and end / all arguments of the store alone", f"{by_range_only} / {len(escapes)}")
    assert all(entry["expect"] == "refused" for entry in escapes), [entry["query"] for entry in escapes]
    assert any("stream_context" in entry["query"] for entry in escapes), "nothing shows that the recogniser is needed"
    assert by_range_only > len(escapes), "nothing shows that the second time filter is needed"


def put_to_store(store: Store, form: list[tuple[str, str]], query: str) -> str:
    answer = requests.post(f"{store.url}/select/logsql/query", [*form, ("limit", "200000")], timeout=60)
    if answer.status_code != 200:
        return "refuses"
    return "LEAVES" if leaks(answer.text, query) else "inside"


def test_limits_hold_whatever_is_asked(api: Api):
    admin = api.login()
    for parameters in (
        {"limit": 10**6},
        {"limit": 10**6, "q": "* | limit 100000"},
        {"limit": 10**6, "start": "30d"},
        {"limit": 501, "q": "* | sort by (_time) limit 5000"},
        {"limit": 501, "q": "* | uniq by (_msg)"},
        {"limit": 501, "q": "* | stats by (_msg) count() n"},
    ):
        answer = admin.get("/api/logs/query", **parameters)
        document = answer.json()
        assert len(document["rows"]) == 500, parameters
        assert {"what": "limit", "asked": parameters["limit"], "given": 500} in document["clamped"]
        assert document["truncated"] is True
        assert len(answer.content) < 2.2 * 2**20


def test_a_scope_matches_whole_names_only(api: Api, store: Store):
    """The store makes a regular expression of several strategies: it must be anchored and quoted."""
    store.insert([said("alphabet", f"{MARKER} longer name", 30), said("xalpha", f"{MARKER} longer name", 30)])
    store.insert([said("al.ha", "a dot", 30)])
    several = api.add_user("bob", "--strategy", "alpha", "--strategy", "al.ha", "--strategy", "delta|beta")
    rows = several.rows(limit=500)
    assert {row["strategy_id"] for row in rows} == {"alpha", "al.ha"}
    assert not leaks(json.dumps(rows))
    assert {row["strategy_id"] for row in api.add_user("carol", "--strategy", "al.ha").rows()} == {"al.ha"}


def test_a_parameter_cannot_leave_the_scope_either(viewer: Session):
    for parameters in (
        {"strategy_id": "beta"},
        {"strategy_id": "alpha|beta"},
        {"strategy_id": "*"},
        {"strategy_id": '"} or {strategy_id="beta'},
        {"level": '"} or *'},
        {"container_name": MARKER},
        {"level": ["INFO", '") or strategy_id:=("beta']},
        {"before": "now"},
        {"start": "1970-01-01T00:00:00Z", "end": "now"},
        {"start": "2d", "end": "47h"},
    ):
        answer = viewer.get("/api/logs/query", **parameters)
        if answer.status_code == 200:
            assert "beta" not in json.dumps(answer.json()["rows"])
            outside = [row for row in answer.json()["rows"] if "too old" in row["_msg"] or "another" in row["_msg"]]
            assert not outside or parameters.get("end") == "47h", parameters  # the range asked for is then theirs to see
        else:
            assert answer.status_code in (400, 403), answer.text
