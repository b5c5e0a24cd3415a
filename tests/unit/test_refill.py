"""Which lines of a container the log store has lost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from infra import refill
from infra.refill import Line, missing
from infra.settings import ContainersBrought

RECORDS = {"01": "order submitted", "02": 'Traceback:\n  File "a.py", line 1\nValueError', "03": "x" * 16384 + "rest"}


def line(time: str, text: str, *, ends: bool = True) -> Line:
    return Line(time, text + ("\n" if ends else ""), b"")


def times(lines: list[Line], stored: set[str]) -> list[str]:
    return [one.time for one in missing(lines, stored, lambda time: RECORDS.get(time, ""))]


@pytest.mark.parametrize(
    ("lines", "stored", "wanted"),
    [
        ([line("01", "order submitted"), line("05", "lost"), line("06", "lost, too")], {"01"}, ["05", "06"]),
        ([line("05", "lost"), line("06", "stored")], {"06"}, ["05"]),
        ([line("05", "lost"), line("06", "lost, too")], set(), ["05", "06"]),
        ([line("02", "Traceback:"), line("04", '  File "a.py", line 1'), line("05", "ValueError")], {"02"}, []),
        ([line("02", "Traceback:"), line("04", '  File "a.py", line 1'), line("05", "lost")], {"02"}, ["05"]),
        ([line("03", "x" * 16384, ends=False), line("04", "rest"), line("05", "lost")], {"03"}, ["05"]),
        ([line("05", "x" * 16384, ends=False), line("06", "rest")], set(), ["05", "06"]),
    ],
    ids=["at the end", "before one that came", "all", "a traceback", "after a traceback", "a line in pieces", "all pieces"],
)
def test_a_line_is_lost_when_no_record_has_it(lines: list[Line], stored: set[str], wanted: list[str]):
    assert times(lines, stored) == wanted


def test_rotated_files_are_read_oldest_first_and_torn_lines_are_left_out(tmp_path: Path):
    current = tmp_path / "abc-json.log"
    for file, text in ((current, "3"), (tmp_path / "abc-json.log.1", "2"), (tmp_path / "abc-json.log.10", "1")):
        file.write_text(json.dumps({"log": f"{text}\n", "time": f"2026-01-21T22:16:3{text}.5Z"}) + '\n{"log": "to')
    (tmp_path / "abc-json.log.2.gz").write_bytes(gzip.compress(b"{}"))

    found = list(refill._lines(current))

    assert [one.text for one in found] == ["1\n", "2\n", "3\n"]
    assert found[0].time == "2026-01-21T22:16:31.500000000Z"


@pytest.mark.parametrize(
    ("brought", "container", "taken"),
    [([], "any", True), (["ntd-"], "ntd-redis", True), (["ntd-"], "redis", False), ([], "the-collector", False)],
)
def test_only_lines_that_the_collector_brings_can_be_lost(brought: list[str], container: str, taken: bool):
    assert ContainersBrought(brought=brought, left_out=["the-collector"]).takes(container) is taken
