"""Callback plugin ``drift``: which tasks would change something, for a run in check mode.

When the environment's ``CROWSNEST_DRIFT_FILE`` names a file, a JSON document is written to it at the end of the run:
``{"changed": [{"host", "task", "item"}], "broken": [{"host", "task", "reason"}]}``. What would be changed is in no way part of
it: a difference may hold a secret.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: drift
type: aggregate
short_description: writes the tasks that would change something to a file
description:
  - Writes them to the file that C(CROWSNEST_DRIFT_FILE) names.
requirements:
  - enabled in the configuration
"""
REASON_CHARACTERS = 300


class CallbackModule(CallbackBase):
    """See the module's docstring."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "drift"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._changed: list[dict[str, str]] = []
        self._broken: list[dict[str, str]] = []

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task that has no items, or the sum of its items, which came one by one."""
        if result._result.get("changed") and "results" not in result._result:  # noqa: SLF001 - Ansible's interface
            self._changed.append(self._where(result))

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """One item of a task."""
        if result._result.get("changed"):  # noqa: SLF001
            self._changed.append(self._where(result) | {"item": str(self._get_item_label(result._result))})  # noqa: SLF001

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task that could not be checked."""
        if not ignore_errors:
            self._broken.append(self._where(result) | {"reason": _reason(result._result)})  # noqa: SLF001

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A machine that did not answer."""
        self._broken.append(self._where(result) | {"reason": _reason(result._result)})  # noqa: SLF001

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002 - Ansible names it
        """The run is over."""
        if target := os.environ.get("CROWSNEST_DRIFT_FILE"):
            document = {"changed": self._changed, "broken": self._broken}
            Path(target).write_text(json.dumps(document) + "\n", encoding="utf-8")

    @staticmethod
    def _where(result: Any) -> dict[str, str]:
        return {"host": result._host.get_name(), "task": result._task.get_name()}  # noqa: SLF001


def _reason(result: dict[str, Any]) -> str:
    if result.get("_ansible_no_log"):
        return "its result is not shown"
    return str(result.get("msg", "no reason given"))[:REASON_CHARACTERS]
