"""Vector's programs, run with pyVRL: what becomes of which line, what is hidden, and that nothing stops them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import pyvrl

from crowsnest.logs.redact import Redactor
from scripts.collector_files import PROGRAM, VECTOR_TESTS, files
from tests.containers.lines import TIME, Line, lines
from tests.unit.test_logs_redact import CANARY, HARMLESS_NAMES, SECRET_NAMES, TEXTS

FOLDER = PROGRAM.parent
CONTAINER_ID = "0123456789ab" + "c" * 52
LOG_FILE = f"/var/lib/docker/containers/{CONTAINER_ID}/{CONTAINER_ID}-json.log"

RECORD = pyvrl.Transform(PROGRAM.read_text(encoding="utf-8"))
READ_JSON_FILE = pyvrl.Transform((FOLDER / "read_json_file.vrl").read_text(encoding="utf-8"))
READ_JOURNALD = pyvrl.Transform((FOLDER / "read_journald.vrl").read_text(encoding="utf-8"))


def record_of(text: str) -> dict[str, Any]:
    return RECORD.remap({"message": text, "time": TIME, "container_name": "ntd-nginx", "stream": "stdout"})


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == files()[path], "run make docs"


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.name)
def test_line_becomes_its_record(line: Line) -> None:
    record = RECORD.remap(line.event)

    assert {name: len(record.pop(name)) for name in line.characters} == line.characters
    assert record == line.expected


def test_names_of_lines_are_unique() -> None:
    assert len({line.name for line in lines()}) == len(lines())


@pytest.mark.parametrize("line", [line for line in lines() if not line.made], ids=lambda line: line.name)
def test_vectors_own_unit_test_holds(line: Line) -> None:
    (test,) = (test for test in json.loads(VECTOR_TESTS.read_text())["tests"] if test["name"] == line.name)

    (given,) = test["inputs"]
    (condition,) = test["outputs"][0]["conditions"]

    assert pyvrl.Transform(condition["source"]).remap(RECORD.remap(given["log_fields"])) is True


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.name)
def test_record_is_one_that_the_store_takes(line: Line) -> None:
    """VictoriaLogs skips, and answers 200 to, longer lines, longer names and records with more fields."""
    record = RECORD.remap(line.event)
    record.pop("raw", None)  # goes to the dead-letter file only

    assert len(json.dumps(record, ensure_ascii=False).encode()) < 256 * 1024
    assert len(record) < 2000
    assert all(len(name.encode()) <= 128 and not isinstance(value, (dict, list)) for name, value in record.items())
    assert record["level"] in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    assert record.get("_msg") or record["drop_rule"] == "empty_line"


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_cleaned_as_in_the_library(text: str) -> None:
    full = f"request failed, {text.format(CANARY)}"
    record = record_of(full)

    assert CANARY not in json.dumps(record)
    assert record["_msg"] == Redactor().text(full).rstrip()


@pytest.mark.parametrize("text", TEXTS)
def test_texts_in_json_are_cleaned(text: str) -> None:
    for fields in (
        {"note": text.format(CANARY)},
        {"a": {"b": [text.format(CANARY)]}},
        {"deep": json.dumps({"x": text.format(CANARY)})},
    ):
        assert CANARY not in json.dumps(record_of(json.dumps({"message": "m", **fields})))


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", [CANARY, 12345, {"a": {"b": CANARY}}, [CANARY]])
def test_fields_with_the_name_of_a_secret_are_hidden(name: str, value: object) -> None:
    record = record_of(json.dumps({"message": "m", name: value, "outer": {name: value}}))

    assert CANARY not in json.dumps(record)
    assert "12345" not in json.dumps({key: value for key, value in record.items() if key != "_time"})


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_other_fields_stay(name: str) -> None:
    record = record_of(json.dumps({"message": "m", "outer": {name: "value"}}))

    assert record[f"outer.{name}"] == "value"


@pytest.mark.parametrize(
    "text", ["password=" * 100_000, "a-" * 500_000, '{"a":' * 200_000, "\\" * 1_000_000, "ERROR " * 150_000]
)
def test_no_line_is_slow(text: str) -> None:
    begun = time.perf_counter()
    record_of(text)

    assert time.perf_counter() - begun < 2


@pytest.mark.parametrize("event", [{}, {"message": 5}, {"message": b"\xff\xfe{"}, {"message": None, "time": 7, "stream": []}])
def test_whatever_arrives_becomes_a_record(event: dict[str, Any]) -> None:
    record = RECORD.remap(event)

    assert (record["source"], record["container_name"], record["stream"]) == ("container", "unknown", "stdout")
    assert record["_time"].startswith("20")


def test_line_of_json_file_is_read() -> None:
    line = {"log": "ready\n", "stream": "stderr", "attrs": {"tag": "ntd-redis"}, "time": TIME}

    assert READ_JSON_FILE.remap({"message": json.dumps(line), "file": LOG_FILE}) == {
        "message": "ready",
        "time": TIME,
        "stream": "stderr",
        "container_id": "0123456789ab",
        "container_name": "ntd-redis",
        "partial": False,
    }


def test_id_stands_in_for_the_name_where_docker_does_not_write_it() -> None:
    event = READ_JSON_FILE.remap({"message": json.dumps({"log": "a", "stream": "stdout", "time": TIME}), "file": LOG_FILE})

    assert event["container_name"] == "0123456789ab"


@pytest.mark.parametrize(("log", "partial"), [("x" * 16384, True), ("x" * 16384 + "\n", False), ("the last line", False)])
def test_line_that_docker_cut_is_told_from_one_without_an_end(log: str, partial: bool) -> None:
    event = READ_JSON_FILE.remap({"message": json.dumps({"log": log, "stream": "stdout", "time": TIME}), "file": LOG_FILE})

    assert event["partial"] is partial


@pytest.mark.parametrize("text", ['{"log":"half', "", "null", "[]", '{"log": 5}', "\x00" * 100])
def test_line_that_docker_did_not_finish_is_a_dead_letter(text: str) -> None:
    event = READ_JSON_FILE.remap({"message": text, "file": LOG_FILE})

    assert (event["message"], event["dead_letter"], event["partial"]) == (text, "not a line of json-file", False)
    assert RECORD.remap(event)["dead_letter"] == "not a line of json-file"


@pytest.mark.parametrize(("priority", "stream"), [("3", "stderr"), ("6", "stdout")])
def test_entry_of_the_journal_is_read(priority: str, stream: str) -> None:
    entry = {
        "message": "ready",
        "PRIORITY": priority,
        "CONTAINER_NAME": "ntd-redis",
        "CONTAINER_ID": "0123456789ab",
        "CONTAINER_PARTIAL_MESSAGE": "true",
        "SYSLOG_TIMESTAMP": TIME,
    }

    assert READ_JOURNALD.remap(entry) == {
        "message": "ready",
        "time": TIME,
        "stream": stream,
        "container_id": "0123456789ab",
        "container_name": "ntd-redis",
        "partial": True,
    }
