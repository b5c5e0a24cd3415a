"""Callback plugin ``phases``: how long each phase of a run took; and every line is shown when it is written.

A phase is a playbook file of ``playbooks/``: docker, configure, deploy, verify, … When the environment's
``CROWSNEST_PHASES_FILE`` names a file, ``{"phase": seconds}`` is written to it as JSON at the end of the run, also of a
failed one.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: phases
type: aggregate
short_description: writes the seconds of each phase to a file
description:
  - Writes C({"phase": seconds}) to the file that C(CROWSNEST_PHASES_FILE) names. A phase is a playbook file.
requirements:
  - enabled in the configuration
"""


class CallbackModule(CallbackBase):
    """See the module's docstring."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "phases"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        # In a pipe, as in CI, lines would otherwise come in lumps of several minutes.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)
        self._seconds: dict[str, float] = {}
        self._phase: str | None = None
        self._since = 0.0

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play begins; plays of one file are one phase."""
        self._close()
        self._phase = Path(play.get_path().rpartition(":")[0]).stem
        self._since = time.monotonic()

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002 - Ansible names it
        """The run is over."""
        self._close()
        if target := os.environ.get("CROWSNEST_PHASES_FILE"):
            rounded = {phase: round(seconds, 1) for phase, seconds in self._seconds.items()}
            Path(target).write_text(json.dumps(rounded) + "\n", encoding="utf-8")

    def _close(self) -> None:
        if self._phase:
            self._seconds[self._phase] = self._seconds.get(self._phase, 0.0) + time.monotonic() - self._since
            self._phase = None
