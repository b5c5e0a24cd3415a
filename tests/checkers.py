"""The programs that check configuration, of the versions that run (`python -m supply checkers`)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from infra.catalogue import catalogue
from supply import checkers
from supply.cache import Cache


def folder() -> Path:
    """Where they stand.

    Raises:
        AssertionError: they are not there; says what to do.
    """
    chosen = os.environ.get("CROWSNEST_CHECKERS")
    path = Path(chosen) if chosen else checkers.folder(Cache(catalogue().paths.cache))
    assert path.is_dir(), f"{path} is missing: run `make test-tools`, or `python -m supply checkers`"
    return path


def run(program: str, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool or amtool."""
    command = [folder() / program, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
