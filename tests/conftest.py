"""What tests of several tiers need of the machine."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.figures"]


@pytest.fixture(scope="session")
def pulumi_command() -> str:
    """Path of the Pulumi engine that a deployment would use; built when the machine has none."""
    from supply import tools

    return str(tools.engine("auto", print))
