"""What contract tests need of the machine: the real Pulumi engine and a real Docker daemon."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def pulumi_command() -> str:
    """The path of the Pulumi CLI; without one the test is skipped by name."""
    found = shutil.which("pulumi")
    if found is None:
        pytest.skip("pulumi: no CLI on PATH")
    return found
