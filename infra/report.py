"""What a person or a program sees of a deployment: live lines, a closing table, or one JSON document."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from pulumi.automation import OpType
from pulumi.automation.events import EngineEvent

from infra.checkpoint import CONTAINER, IMAGE, NETWORK, VOLUME

# What the engine calls a step, in words; steps that are missing here are not shown.
OPERATIONS = {
    OpType.CREATE: ("creating", "created"),
    OpType.UPDATE: ("updating", "updated"),
    OpType.DELETE: ("removing", "removed"),
    OpType.REPLACE: ("replacing", "replaced"),
    OpType.CREATE_REPLACEMENT: ("creating", "replaced"),
    OpType.DELETE_REPLACED: ("removing the old", "removed the old"),
}
SHOWN_TYPES = {CONTAINER, NETWORK, VOLUME, IMAGE}


class Report:
    """Collects what happened. Human lines go to stdout, or to stderr when stdout carries the JSON document."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._begun = time.monotonic()
        self._started: dict[str, float] = {}
        self.changes: list[dict[str, Any]] = []

    def say(self, text: str) -> None:
        """One line of progress, shown at once."""
        print(text, file=sys.stderr if self._json else sys.stdout, flush=True)

    def on_event(self, event: EngineEvent) -> None:
        """Turn an engine event into a line when a step begins, ends or fails."""
        if event.resource_pre_event:
            self._begin(event.resource_pre_event.metadata)
        elif event.res_outputs_event:
            self._end(event.res_outputs_event.metadata)
        elif event.res_op_failed_event:
            self._fail(event.res_op_failed_event.metadata)
        elif event.diagnostic_event and event.diagnostic_event.severity == "error":
            for line in event.diagnostic_event.message.splitlines():
                if line.strip():
                    self.say(f"    {line.strip()}")

    def on_preview(self, event: EngineEvent) -> None:
        """Collect what would be changed; the plan is printed at the end of a preview."""
        if event.resource_pre_event and (metadata := event.resource_pre_event.metadata).op in PREVIEWED:
            if metadata.type in SHOWN_TYPES:
                self.changes.append(
                    {
                        "resource": _title(metadata.type, metadata.urn),
                        "operation": PREVIEWED[OpType(metadata.op)],
                        "properties": sorted(metadata.diffs or []),
                        "consequence": _consequence(metadata.type, OpType(metadata.op)),
                    }
                )
        elif event.diagnostic_event and event.diagnostic_event.severity == "error":
            self.on_event(event)

    def _begin(self, metadata: Any) -> None:
        if metadata.op in OPERATIONS and metadata.type in SHOWN_TYPES:
            self._started[metadata.urn] = time.monotonic()
            if metadata.type == CONTAINER:  # the ones that take their time
                self.say(f"  {_title(metadata.type, metadata.urn)}: {OPERATIONS[metadata.op][0]}")

    def _end(self, metadata: Any) -> None:
        if metadata.op not in OPERATIONS or metadata.type not in SHOWN_TYPES:
            return
        seconds = time.monotonic() - self._started.pop(metadata.urn, time.monotonic())
        title, done = _title(metadata.type, metadata.urn), OPERATIONS[metadata.op][1]
        properties = sorted(metadata.diffs or [])
        if metadata.op == OpType.UPDATE and not properties:
            self.say(f"  {title}: nothing to change, healthy after {seconds:.1f} s")
            return
        self.changes.append({"resource": title, "operation": done, "seconds": round(seconds, 2), "properties": properties})
        because = f" because of {', '.join(properties)}" if properties else ""
        self.say(f"  {title}: {done} in {seconds:.1f} s{because}")

    def _fail(self, metadata: Any) -> None:
        title = _title(metadata.type, metadata.urn)
        self.changes.append({"resource": title, "operation": "failed"})
        self.say(f"  {title}: failed")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Aligned columns, as wide as their content."""
        cells = [list(map(str, row)) for row in [header, *rows]]
        widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
        for row in cells:
            self.say("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def close(self, result: str, **facts: Any) -> None:
        """End the report; in JSON mode this prints the only line of stdout."""
        if self._json:
            document = {"result": result, "seconds": round(time.monotonic() - self._begun, 2), **facts}
            print(json.dumps(document, default=str), flush=True)


PREVIEWED = {
    OpType.CREATE: "create",
    OpType.UPDATE: "update",
    OpType.DELETE: "remove",
    OpType.REPLACE: "replace",
}


def _title(resource_type: str, urn: str) -> str:
    kind = resource_type.rsplit(":", 1)[-1].removeprefix("Remote").lower()
    return f"{kind} {urn.rsplit('::', 1)[-1].removeprefix(kind + '-')}"


def _consequence(resource_type: str, operation: OpType) -> str:
    """What a planned step means for somebody who trades while it happens."""
    if resource_type == CONTAINER and operation is OpType.REPLACE:
        return "stops gracefully, starts anew; its data stays"
    if resource_type == CONTAINER and operation is OpType.DELETE:
        return "stops gracefully; its data stays"
    if resource_type == VOLUME and operation in (OpType.REPLACE, OpType.DELETE):
        return "refused: the volume is protected"
    return ""
