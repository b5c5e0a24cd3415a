"""One report of all layers of drift: for people, as JSON, as JUnit's XML for CI, and as metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree as ET

from infra.layers import Result
from infra.settings import Settings
from infra.textfile import Metric

NO_DRIFT, BROKEN, DRIFT = 0, 1, 2


def code(results: Sequence[Result]) -> int:
    """Exit code: a check that broke says nothing of what it did not see, so it goes before drift that was found."""
    if any(result.error for result in results):
        return BROKEN
    return DRIFT if any(result.findings for result in results) else NO_DRIFT


def tell(results: Sequence[Result], say: Callable[[str], None], table: Callable[..., None]) -> None:
    """Each finding on a line, then a table of the layers."""
    for result in results:
        for finding in result.findings:
            say(f"drift: {finding}")
        for line in result.error.splitlines():
            say(f"broken: {result.layer}: {line}")
    table(("layer", "result", "seconds"), [(one.layer, _outcome(one), f"{one.seconds:.1f}") for one in results])
    if code(results) == NO_DRIFT:
        say("no drift: what runs is what was declared")


def _outcome(result: Result) -> str:
    if result.skipped:
        return f"not looked at: {result.skipped}"
    if result.error:
        return "broken"
    return f"{len(result.findings)} differences" if result.findings else "no drift"


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The layers as plain data."""
    return [{**asdict(result), "findings": [finding.as_json() for finding in result.findings]} for result in results]


def as_junit(results: Sequence[Result], stack: str) -> str:
    """A suite a layer; each difference is a failure, what broke an error. CI shows them like tests."""
    suites = ET.Element("testsuites", name=f"drift of {stack}")
    for result in results:
        cases = [(str(finding), "failure") for finding in result.findings]
        cases += [(result.error, "error")] if result.error else []
        cases += [(result.skipped, "skipped")] if result.skipped else []
        suite = ET.SubElement(
            suites, "testsuite",
            name=result.layer, tests=str(max(1, len(cases))), time=f"{result.seconds:.3f}",
            failures=str(len(result.findings)), errors=str(int(bool(result.error))), skipped=str(int(bool(result.skipped))),
        )  # fmt: skip
        for text, kind in cases:
            line = text.splitlines()[0]
            case = ET.SubElement(suite, "testcase", classname=f"drift.{result.layer}", name=line.partition(": ")[0])
            ET.SubElement(case, kind, message=line).text = text
        if not cases:
            ET.SubElement(suite, "testcase", classname=f"drift.{result.layer}", name="as declared")
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def metrics(results: Sequence[Result], settings: Settings) -> list[Metric]:
    """Differences of each layer that could look, whether each could, and when that was."""
    looked = [result for result in results if not result.skipped]
    stack = {"stack": settings.stack}
    return [
        Metric(
            "crowsnest_drift_findings",
            "Differences between what was declared and what is there.",
            [({**stack, "layer": one.layer}, float(len(one.findings))) for one in looked if not one.error],
        ),
        Metric(
            "crowsnest_drift_check_success",
            "Whether the layer could be looked at.",
            [({**stack, "layer": one.layer}, float(not one.error)) for one in looked],
        ),
        Metric("crowsnest_drift_check_timestamp_seconds", "When drift was looked for.", [(stack, time.time())]),
    ]
