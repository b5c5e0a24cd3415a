"""Entry point of a plain ``pulumi up``: read the stack's settings, declare the platform."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the engine starts this folder as a script

from infra.platform import declare_as_planned, settings_of_running_stack

declare_as_planned(settings_of_running_stack())
