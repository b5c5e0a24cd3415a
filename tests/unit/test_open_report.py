"""One report is open for as long as there is drift, whatever the tracker; a fake of both trackers stands at the edge."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from infra.catalogue import PROJECT_ROOT
from infra.layers import NAMES
from scripts.open_report import TRACKERS, Tracker, keep, text_of

FINDING = {"resource": "port 0.0.0.0:4444", "property": "existence", "declared": "absent", "actual": "present, nc (pid 7)"}
DRIFT = {"layers": [{"layer": "ports", "findings": [FINDING], "error": ""}]}
NONE = {"layers": [{"layer": "ports", "findings": [], "error": ""}]}
BROKE = {"layers": [{"layer": "ansible", "findings": [], "error": "nobody answers"}]}


class Issues:
    """Issues of a project, as GitHub and GitLab keep them."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.tokens: set[str] = set()


@pytest.fixture(params=TRACKERS)
def tracker(request: pytest.FixtureRequest) -> Iterator[tuple[Tracker, Issues]]:
    issues = Issues()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, document: object) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def _body(self) -> dict[str, Any]:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            issues.tokens.add(self.headers.get("Authorization") or self.headers["PRIVATE-TOKEN"])
            self._answer([issue for issue in issues.kept if issue["open"]])

        def do_POST(self) -> None:
            issues.kept.append({"number": len(issues.kept) + 1, "iid": len(issues.kept) + 1, "open": True, **self._body()})
            self._answer(issues.kept[-1])

        def _change(self) -> None:
            issue = issues.kept[int(urlsplit(self.path).path.rpartition("/")[2]) - 1]
            issue.update(self._body())
            issue["open"] = not (issue.get("state") == "closed" or issue.get("state_event") == "close")
            self._answer(issue)

        do_PATCH = do_PUT = _change  # noqa: N815 - the server's names

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    environment = {
        "GITHUB_API_URL": base, "GITHUB_REPOSITORY": "desk/crowsnest", "GITHUB_TOKEN": "right",
        "CI_API_V4_URL": base, "CI_PROJECT_ID": "7", "DRIFT_REPORT_TOKEN": "right",
    }  # fmt: skip
    yield TRACKERS[request.param](environment), issues
    server.shutdown()
    server.server_close()


def test_one_report_is_open_for_as_long_as_there_is_drift(tracker):
    where, issues = tracker

    said = [keep(where, text_of(document)) for document in (NONE, DRIFT, BROKE, NONE, NONE, DRIFT)]

    assert said == [
        "no drift, and no report is open",
        "opened report 1",
        "brought up to date report 1",
        "closed report 1",
        "no drift, and no report is open",
        "opened report 2",
    ]
    assert "nobody answers" in issues.kept[0][where.text]
    assert "port 0.0.0.0:4444: existence is present, nc (pid 7), declared absent" in issues.kept[1][where.text]
    assert all("right" in token for token in issues.tokens)


def test_a_check_that_gave_nothing_is_told():
    assert "it gave no report" in text_of({})
    assert "stack prod is not deployed" in text_of({"message": "stack prod is not deployed"})


def test_a_long_report_is_cut_and_says_so():
    many = {"layers": [{"layer": "ports", "findings": [FINDING] * 250, "error": ""}]}

    assert "… and 50 more" in text_of(many)


@pytest.mark.parametrize("path", [".github/workflows/drift.yml", ".gitlab/drift.yml"])
def test_ci_runs_what_is_here_and_keeps_the_report(path):
    text = (PROJECT_ROOT / path).read_text()

    assert yaml.safe_load(text)
    assert ".ci/drift" in text
    assert (PROJECT_ROOT / ".ci/drift").stat().st_mode & 0o111
    assert f"scripts.open_report {'github' if 'github' in path else 'gitlab'} drift.json" in text


def test_every_layer_but_ansible_is_looked_at_on_the_machine():
    for playbook in ("drift", "operations"):
        (play,) = yaml.safe_load((PROJECT_ROOT / f"playbooks/{playbook}.yml").read_text())
        assert [*play["vars"]["crowsnest_drift_layers"], "ansible"] == list(NAMES)
