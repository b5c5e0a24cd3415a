"""The control matrix: what each role of the host sets, read from ``roles/<role>/meta/controls.yml``.

A control is one thing that holds on a hardened machine. Its row says which settings make it hold, which variables change it,
which benchmarks it answers, where it can be proven, and how to undo it (so that a test that sees nothing is found out).
The tests that prove it are found by their mark, not stored.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).resolve().parents[1]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Mutation(_Row):
    """One way to undo a control on a running machine, and back."""

    undo: str  #: shell command that breaks the control
    files: list[str] = []  #: files that the runner saves before and puts back after
    redo: str = ""  #: shell command that applies them again


class Control(_Row):
    """One row of the matrix."""

    id: Annotated[str, Field(pattern=r"^[a-z]+(_[a-z]+)*-\d{2}$")]  #: role, and a number that is never used again
    title: Annotated[str, Field(min_length=10, max_length=160)]
    settings: list[str] = []  #: `<variable>.<key>`: keys of the role's *_settings variables that make it hold
    variables: list[str] = []  #: options of the role that change it
    cis: list[str] = []  #: recommendations of the CIS Debian Linux 12 Benchmark 1.1.0 (or "Docker 1.6.0: 2.x")
    dev_sec: list[str] = []  #: controls of dev-sec's linux-baseline, ssh-baseline and cis-docker-benchmark
    tier: Literal["container", "vm"]  #: the lowest tier that proves it
    container_only: str = ""  #: why the virtual machine cannot prove it
    mutations: Annotated[list[Mutation], Field(min_length=1)]

    @property
    def role(self) -> str:
        """The role that sets it."""
        return self.id.rsplit("-", 1)[0]


@cache
def controls() -> tuple[Control, ...]:
    """All controls, by role and number.

    Raises:
        pydantic.ValidationError: a row has an unknown or a bad field.
    """
    rows = []
    for path in sorted((ROOT / "roles").glob("*/meta/controls.yml")):
        rows += [Control.model_validate(row) for row in yaml.safe_load(path.read_text(encoding="utf-8"))["controls"]]
    return tuple(rows)


def controls_of(item: pytest.Item) -> set[str]:
    """Ids of the controls that a collected test proves, by its marks."""
    return {identifier for mark in item.iter_markers("control") for identifier in mark.args}


@cache
def proofs() -> dict[str, dict[str, set[str]]]:
    """For each control the tests that name it, by the tests' names, each with its other marks.

    The tests are collected, not run: they need a machine.

    Raises:
        RuntimeError: they cannot be collected.
    """
    folders = [ROOT / "roles" / role / "molecule/default/tests" for role in dict.fromkeys(row.role for row in controls())]
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "controls.json"
        collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", f"--note-controls={note}"]
        run = subprocess.run([*collect, *folders], cwd=ROOT, capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(run.stdout[-4000:])
        rows = json.loads(note.read_text(encoding="utf-8"))
    found: dict[str, dict[str, set[str]]] = defaultdict(dict)
    for name, identifiers, marks in rows:
        for identifier in identifiers:
            found[identifier][name] = set(marks) - {"control", "parametrize"}
    return found
