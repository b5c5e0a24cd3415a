"""Undo each control in turn and see its test fail: a test that sees nothing is found out.

A pytest plugin that runs the roles' tests in another order: for every mutation of every control (``tests/controls.py``) the
files are saved, the control is undone, its tests run until one fails, files are put back and applied. At the end all tests run
once more, to see that everything is whole again. A control is undone where it is proven, at its tier (CROWSNEST_TIER).

    python -m pytest -p tests.mutation roles/ssh/molecule/default/tests --hosts=docker://NAME [--control ID]
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import testinfra
from _pytest.runner import runtestprotocol

from tests.controls import Control, Mutation, controls, controls_of
from tests.figures import figure
from tests.vm.shell import ConnectionLostError

TIER = os.environ.get("CROWSNEST_TIER", "container")

KEPT = "/run/crowsnest-mutation"
KILLED, SURVIVED, BROKEN, UNTESTED = "killed", "SURVIVED", "BROKEN", "UNTESTED"


@dataclass(frozen=True)
class Outcome:
    """What became of one mutation. ``why`` names the test that failed, or says what went wrong."""

    control: str
    undo: str
    result: str
    why: str
    seconds: float


class Machine:
    """The machine whose controls are undone."""

    def __init__(self, config: pytest.Config) -> None:
        self._host = testinfra.get_host(config.getoption("hosts"), ssh_config=config.getoption("ssh_config"))

    def run(self, command: str) -> str:
        """What went wrong with a command, or nothing."""
        done = self._host.run(command)
        return "" if done.rc == 0 else f"exit status {done.rc}: {(done.stderr or done.stdout).strip()[-300:]}"

    def save(self, files: list[str]) -> str:
        lines = ["set -e", f"rm -rf {KEPT}", f"mkdir -m 700 {KEPT}"]
        lines += [f"test ! -e {path} || cp --preserve=all {path} {KEPT}/{number}" for number, path in _numbered(files)]
        return self.run("\n".join(lines))

    def put_back(self, mutation: Mutation) -> str:
        lines = ["set -e"]
        for number, path in _numbered(mutation.files):
            kept = f"{KEPT}/{number}"
            lines.append(f"if test -e {kept}; then cp --preserve=all {kept} {path}; else rm -f {path}; fi")
        return self.run("\n".join([*lines, mutation.redo]))


def judge(done: subprocess.CompletedProcess[str], report: Path) -> None:
    """Keep the figure of a run with this plugin, and fail when a mutation survived or a test failed at the end.

    Raises:
        AssertionError: with what the run said.
    """
    assert report.exists(), done.stdout[-8000:] + done.stderr[-2000:]
    outcomes = [Outcome(**row) for row in json.loads(report.read_text(encoding="utf-8"))]
    figure("mutations killed", f"{sum(outcome.result == KILLED for outcome in outcomes)} of {len(outcomes)}")
    others = [_line(outcome) for outcome in outcomes if outcome.result != KILLED]
    assert others == [], "\n".join(others)
    assert done.returncode == 0, done.stdout[-8000:]


def _numbered(files: list[str]) -> list[tuple[int, str]]:
    return [(number, shlex.quote(path)) for number, path in enumerate(files)]


def _failing(items: list[pytest.Item]) -> str:
    """Name of the first test that fails, or nothing.

    Raises:
        ConnectionLostError: when a test failed only because nobody answered.
    """
    for item in items:
        for report in runtestprotocol(item, log=False, nextitem=None):
            if report.failed:
                if ConnectionLostError.__name__ in report.longreprtext:
                    raise ConnectionLostError(f"{item.name}: the machine did not answer")
                return item.name
    return ""


def _attempt(control: Control, mutation: Mutation, items: list[pytest.Item], machine: Machine) -> tuple[str, str]:
    if not items:
        return UNTESTED, "no test of this control runs here"
    if wrong := machine.save(mutation.files):
        return BROKEN, f"files cannot be saved: {wrong}"
    try:
        if wrong := machine.run(mutation.undo):
            result = BROKEN, f"undo failed: {wrong}"
        elif test := _failing(items):
            result = KILLED, test
        else:
            result = SURVIVED, ", ".join(item.name for item in items)
    finally:
        wrong = machine.put_back(mutation)
    return (BROKEN, f"redo failed: {wrong}") if wrong else result


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutation-report", type=Path, help="file for the outcomes, as JSON")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Instead of running each test once."""
    config = session.config
    if session.testsfailed or config.option.collectonly:
        return None
    tests: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in session.items:
        for identifier in controls_of(item):
            tests[identifier].append(item)
    roles = {Path(item.path).parents[3].name for item in session.items}
    machine, outcomes = Machine(config), []
    say = config.pluginmanager.get_plugin("terminalreporter").write_line
    wanted = config.getoption("control")
    chosen = [
        control
        for control in controls()
        if control.tier == TIER and control.role in roles and (not wanted or control.id in wanted)
    ]
    for control in chosen:
        for mutation in control.mutations:
            begun = time.monotonic()
            result, why = _attempt(control, mutation, tests[control.id], machine)
            outcome = Outcome(control.id, mutation.undo, result, why, round(time.monotonic() - begun, 1))
            outcomes.append(outcome)
            say(_line(outcome))
    config.stash[_OUTCOMES] = outcomes
    if report := config.getoption("mutation_report"):
        report.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    say("everything once more:")
    for item in session.items:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    session.testsfailed += sum(outcome.result != KILLED for outcome in outcomes)
    return True


_OUTCOMES = pytest.StashKey[list[Outcome]]()


def _line(outcome: Outcome) -> str:
    detail = outcome.why if outcome.result == KILLED else f"{outcome.why}; undone by: {outcome.undo}"
    return f"{outcome.control} {outcome.result} in {outcome.seconds} s: {detail}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    outcomes = config.stash.get(_OUTCOMES, [])
    counts = Counter(outcome.result for outcome in outcomes)
    terminalreporter.section("mutations")
    for outcome in outcomes:
        if outcome.result != KILLED:
            terminalreporter.write_line(_line(outcome))
    terminalreporter.write_line(f"{counts[KILLED]} of {len(outcomes)} mutations killed")
