"""What a real VictoriaLogs keeps of the records of container lines, by the endpoint of each collector: every field."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pyvrl

from scripts.collector_files import PROGRAM
from tests.containers.lines import lines
from tests.e2e.test_logs_store import store as store

pytestmark = pytest.mark.docker

STREAM = ("source", "container_name", "level")
QUERY = {"_msg_field": "_msg", "_time_field": "_time", "_stream_fields": ",".join(STREAM)}
ADDED_BY_STORE = ("_time", "_stream", "_stream_id", "case")
BEGUN_SECONDS = int(time.time())


def records() -> list[dict[str, Any]]:
    """What is stored of each line: without what a drop rule names, and without what goes to the dead-letter file only."""
    program = pyvrl.Transform(Path(PROGRAM).read_text(encoding="utf-8"))
    made = [program.remap(line.event) for line in lines()]
    return [{name: value for name, value in record.items() if name != "raw"} for record in made if "drop_rule" not in record]


def post(url: str, body: str, content_type: str) -> None:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status < 300


def as_vector_sends(url: str, sent: list[dict[str, Any]]) -> None:
    """Elasticsearch bulk."""
    body = "".join('{"index":{}}\n' + json.dumps(record) + "\n" for record in sent)
    post(f"{url}/insert/elasticsearch/_bulk?{urlencode(QUERY)}", body, "application/json")


def as_alloy_sends(url: str, sent: list[dict[str, Any]]) -> None:
    """Loki push: labels, and the rest as a line of JSON."""
    streams = []
    for record in sent:
        labels = {name: record[name] for name in (*STREAM, "stream")}
        line = {name: value for name, value in record.items() if name not in {*labels, "_time"}}
        streams.append({"stream": labels, "values": [[str(BEGUN_SECONDS * 10**9), json.dumps(line)]]})
    query = urlencode({"_stream_fields": ",".join(STREAM)})
    post(f"{url}/insert/loki/api/v1/push?{query}", json.dumps({"streams": streams}), "application/json")


def stored(url: str, prefix: str, count: int) -> dict[str, dict[str, str]]:
    """Records by case, once there are `count` of them."""
    deadline = time.monotonic() + 20
    while True:
        form = urlencode({"query": f"case:{prefix}*", "limit": "10000"}).encode()
        with urllib.request.urlopen(f"{url}/select/logsql/query", form, timeout=10) as answer:
            found = [json.loads(row) for row in answer.read().splitlines()]
        if len(found) >= count or time.monotonic() > deadline:
            return {row["case"]: row for row in found}
        time.sleep(0.2)


@pytest.mark.parametrize("send", [as_vector_sends, as_alloy_sends])
def test_store_keeps_every_field(store: tuple[str, str], send: Callable[[str, list[dict[str, Any]]], None]) -> None:
    time_text = datetime.fromtimestamp(BEGUN_SECONDS, UTC).isoformat()
    prefix = send.__name__.replace("_", "")
    sent = [{**record, "_time": time_text, "case": f"{prefix}{number}"} for number, record in enumerate(records())]

    send(store[1], sent)
    rows = stored(store[1], prefix, len(sent))

    for record in sent:
        row = rows[record["case"]]
        assert row["_stream"] == f'{{container_name="{record["container_name"]}",level="{record["level"]}",source="container"}}'
        kept = {name: value for name, value in row.items() if name not in ADDED_BY_STORE}
        wanted = {name: value if isinstance(value, str) else json.dumps(value) for name, value in record.items()}
        assert kept == {name: value for name, value in wanted.items() if name not in ADDED_BY_STORE}
