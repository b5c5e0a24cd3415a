"""Pytest plugin: which tests proved which controls. ``--proof-report FILE`` gets {control: {test: outcome}} as JSON."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.controls import controls_of

_OUTCOMES: dict[str, dict[str, str]] = defaultdict(dict)
_CONTROLS = "controls"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proof-report", type=Path, help="file for the outcomes, as JSON")


def pytest_itemcollected(item: pytest.Item) -> None:
    item.user_properties.append((_CONTROLS, sorted(controls_of(item))))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # A setup that fails or skips, then the call; a teardown may still spoil it.
    for identifier in dict(report.user_properties)[_CONTROLS]:
        outcomes = _OUTCOMES[identifier]
        if report.outcome != "passed" or report.nodeid not in outcomes:
            outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    if report := session.config.getoption("proof_report"):
        report.write_text(json.dumps(_OUTCOMES, indent=1), encoding="utf-8")
