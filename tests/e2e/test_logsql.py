"""Every query of docs/logsql.md against a real VictoriaLogs: it returns what its comment says."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import docker
import pytest

from infra.catalogue import PROJECT_ROOT

from .delivery import Store, log_store

pytestmark = pytest.mark.docker

Record = dict[str, Any]
STRATEGY, OTHER = "orb_15min_call_1", "orb_15min_call_10"


@dataclass(frozen=True)
class Case:
    """A record, and how long ago or when it was."""

    name: str
    time: timedelta | datetime
    record: Record

    @property
    def age(self) -> timedelta:
        return self.time if isinstance(self.time, timedelta) else datetime.now(UTC) - self.time

    def when(self, now: datetime) -> datetime:
        return now - self.time if isinstance(self.time, timedelta) else self.time


def said(name: str, minutes: float, strategy: str, text: str, level: str = "INFO", **fields: Any) -> Case:
    record = {"_msg": text, "source": "strategy", "strategy_id": strategy, "level": level, **fields}
    return Case(name, timedelta(minutes=minutes), record)


def system(name: str, time: timedelta | datetime, text: str, level: str = "INFO") -> Case:
    return Case(name, time, {"_msg": text, "source": "system", "level": level})


def printed(name: str, container: str, text: str, **fields: Any) -> Case:
    record = {"_msg": text, "source": "container", "container_name": container, "level": "INFO", **fields}
    return Case(name, timedelta(minutes=1), record)


CASES = [
    said("entry", 0.3, STRATEGY, "breakout above 5890", spx_price=5890.5),
    said("opened", 2, STRATEGY, "position opened", spx_price=5901),
    said("filled", 30, STRATEGY, "order O-1 was filled", spx_price=10000),
    said("late", 180, STRATEGY, "position opened late", "WARNING"),
    said("namesake", 3, OTHER, "opened position", spx_price=5900),
    said("raised", 10, OTHER, "an error in on_bar", "ERROR", error_traceback="Traceback …"),
    said("refused", 4, STRATEGY, "Error: margin", "ERROR"),
    system("cluster", timedelta(minutes=5.5), "error from kubernetes", "ERROR"),
    printed("redis", "ntd-redis", "Ready to accept connections"),
    printed("namesake of redis", "ntd-redis2", "order was torn", dead_letter="not JSON"),
    system("start", datetime(2026, 1, 21, 22, tzinfo=UTC), "at ten"),
    system("end", datetime(2026, 1, 21, 23, tzinfo=UTC), "at eleven"),
    system("after", datetime(2026, 1, 21, 23, 0, 1, tzinfo=UTC), "after eleven"),
]


def text(record: Record) -> str:
    return str(record["_msg"])


FINDS: dict[str, Callable[[timedelta, Record], object]] = {
    "of the last five minutes": lambda old, _: old < timedelta(minutes=5),
    "of one hour of the clock, both ends included": lambda _, record: text(record) in ("at ten", "at eleven"),
    "of strategies": lambda _, record: record["source"] == "strategy",
    "of one strategy": lambda _, record: record.get("strategy_id") == STRATEGY,
    "of one strategy in the last hour": lambda old, record: record.get("strategy_id") == STRATEGY and old < timedelta(hours=1),
    "of one container, by name": lambda _, record: record.get("container_name") == "ntd-redis",
    "the word breakout": lambda _, record: "breakout" in text(record).split(),
    "two words that follow each other": lambda _, record: "position opened" in text(record),
    "a regular expression; it reads every record of the range, so name a time as well": lambda _, record: re.search(
        "order.*filled", text(record)
    ),
    "one of three words of trading, said by a strategy": lambda _, record: (
        record["source"] == "strategy" and re.search("order|fill|position", text(record))
    ),
    "the word error, but not where kubernetes stands, too": lambda _, record: (
        "error" in text(record) and "kubernetes" not in text(record)
    ),
    "the word error in any case": lambda _, record: "error" in text(record).lower(),
    "a number above a bound; numbers are compared as numbers": lambda _, record: record.get("spx_price", 0) > 5900,
    "errors": lambda _, record: record["level"] == "ERROR",
    "errors of any strategy": lambda _, record: record["level"] == "ERROR" and "strategy_id" in record,
    "errors with a traceback": lambda _, record: record["level"] == "ERROR" and "error_traceback" in record,
    "lines of containers that were not understood": lambda _, record: "dead_letter" in record,
}
# Their rows are no records.
COUNTS, FIELDS = "how many of each level in the last hour", "three fields of what strategies said in the last five minutes"


def documented() -> dict[str, str]:
    """Comment and query of each pair of lines in the page's blocks."""
    page = (PROJECT_ROOT / "docs/logsql.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```logsql\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert all(line.startswith("# ") for line in lines[::2])
    return {comment.removeprefix("# "): query for comment, query in zip(lines[::2], lines[1::2], strict=True)}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """A store that keeps more than a year, with the records."""
    client = docker.from_env()
    with log_store(client, "-retentionPeriod=2y") as store:
        now = datetime.now(UTC)
        lines = [json.dumps({"_time": case.when(now).isoformat(), "name": case.name, **case.record}) for case in CASES]
        query = urlencode({"_stream_fields": "source,strategy_id,container_name,level"})
        body, headers = "\n".join(lines).encode(), {"Content-Type": "application/stream+json"}
        request = urllib.request.Request(f"{store.url}/insert/jsonline?{query}", body, headers)
        urllib.request.urlopen(request, timeout=10).close()
        deadline = time.monotonic() + 30
        while len(store.ask("*")) < len(CASES):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield store
    client.close()


def test_the_page_and_this_table_name_the_same_queries():
    assert documented().keys() == FINDS.keys() | {COUNTS, FIELDS}


@pytest.mark.parametrize("comment", FINDS)
def test_a_query_finds_what_the_page_says(store: Store, comment: str):
    wanted = {case.name for case in CASES if FINDS[comment](case.age, case.record)}
    assert wanted
    assert wanted < {case.name for case in CASES}

    assert {row["name"] for row in store.ask(documented()[comment])} == wanted


def test_counting_by_level(store: Store):
    recent = Counter(case.record["level"] for case in CASES if case.age < timedelta(hours=1))

    assert {row["level"]: int(row["records"]) for row in store.ask(documented()[COUNTS])} == recent


def test_choosing_fields(store: Store):
    found = store.ask(documented()[FIELDS])

    assert {tuple(sorted(row)) for row in found} == {("_msg", "_time", "strategy_id")}
    assert len(found) == sum(case.age < timedelta(minutes=5) and "strategy_id" in case.record for case in CASES)


def test_the_source_s_way_to_count_is_refused(store: Store):
    with pytest.raises(urllib.error.HTTPError) as refused:
        store.ask("_time:1h | stats count() by (level)")
    assert refused.value.code == 400
    refused.value.close()
