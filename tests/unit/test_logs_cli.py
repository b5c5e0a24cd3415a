"""`python -m crowsnest.logs recent` against a server that answers as VictoriaLogs does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from crowsnest.logs.__main__ import main
from crowsnest.logs.query import build_query


class FakeVictoriaLogs:
    def __init__(self) -> None:
        self.records: list[dict[str, str]] = []
        self.forms: list[dict[str, list[str]]] = []
        self.error = ""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                fake.forms.append(form)
                if "| stats count()" in form["query"][0]:
                    rows = [{"records": str(len(fake.records))}]
                else:
                    rows = fake.records[-int(form["limit"][0]) :]
                body = fake.error.encode() or "".join(json.dumps(row) + "\n" for row in rows).encode()
                self.send_response(400 if fake.error else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, seq: int, message: str = "order filled") -> None:
        self.records.append(
            {
                "_time": f"2026-01-21T22:16:{seq:02d}.123456789Z",
                "_msg": message,
                "level": "INFO",
                "source": "strategy",
                "strategy_id": "ema_cross",
                "order_id": f"O-{seq}",
                "boot": "b007",
                "seq": str(seq),
            }
        )


@pytest.fixture
def logs() -> Iterator[FakeVictoriaLogs]:
    fake = FakeVictoriaLogs()
    threading.Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


def test_a_table_has_aligned_columns(logs: FakeVictoriaLogs, capsys: pytest.CaptureFixture[str]) -> None:
    logs.add(1)
    logs.add(2, "a much longer message")
    assert main(["recent", "--url", logs.url]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    for text in (first, second):
        assert text.index("ema_cross") == head.index("strategy")
        assert text.index("order_id=") == head.index("fields")
    assert first.startswith("2026-01-21 22:16:01.123  INFO")


def test_json_is_one_record_a_line(logs: FakeVictoriaLogs, capsys: pytest.CaptureFixture[str]) -> None:
    for seq in range(1, 6):
        logs.add(seq)
    assert main(["recent", "--url", logs.url, "--json", "--limit", "2"]) == 0
    assert [json.loads(text)["seq"] for text in capsys.readouterr().out.splitlines()] == ["4", "5"]


def test_control_characters_do_not_reach_the_terminal(logs: FakeVictoriaLogs, capsys: pytest.CaptureFixture[str]) -> None:
    logs.add(1, "red \x1b[31m\nalert")
    main(["recent", "--url", logs.url])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "red \\x1b[31m\\nalert" in out


def test_the_filter_is_sent_in_parentheses(logs: FakeVictoriaLogs) -> None:
    main(["recent", "--url", logs.url, "--since", "2h", "--filter", "level:ERROR or source:system"])
    assert logs.forms[0]["query"] == ["_time:2h (level:ERROR or source:system)"]


def test_at_least_succeeds_when_there_are_enough(logs: FakeVictoriaLogs) -> None:
    logs.add(1)
    logs.add(2)
    assert main(["recent", "--url", logs.url, "--at-least", "2"]) == 0


def test_at_least_fails_with_the_numbers(logs: FakeVictoriaLogs, capsys: pytest.CaptureFixture[str]) -> None:
    logs.add(1)
    assert main(["recent", "--url", logs.url, "--at-least", "2", "--timeout-seconds", "0.1"]) == 1
    assert "1 of 2 records found for '_time:5m' in 0.1 s" in capsys.readouterr().err


def test_at_least_waits_for_a_server_to_come_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recent", "--url", "http://127.0.0.1:1", "--at-least", "1", "--timeout-seconds", "0.1"]) == 1
    assert "cannot reach http://127.0.0.1:1" in capsys.readouterr().err


def test_the_servers_refusal_is_shown(logs: FakeVictoriaLogs, capsys: pytest.CaptureFixture[str]) -> None:
    logs.error = "cannot parse query\n at (("
    assert main(["recent", "--url", logs.url, "--filter", "(("]) == 1
    assert "answered 400: cannot parse query at ((" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--since", "5m | delete"], ["--url", "victorialogs:9428"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recent", *arguments]) == 2
    assert capsys.readouterr().err.startswith("crowsnest.logs: ")


def test_a_query_without_filter_is_only_a_time_range() -> None:
    assert build_query("5m", "  ") == "_time:5m"
