"""The control matrix is whole: no control without a test, no setting without a control, no name that leads nowhere."""

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from scripts.role_docs import documents
from tests.controls import ROOT, Control, controls, proofs

ROLES = sorted({control.role for control in controls()})
ID = re.compile(r"\b[a-z]+(?:_[a-z]+)*-\d{2}\b")
per_control = pytest.mark.parametrize("control", controls(), ids=lambda control: control.id)
per_role = pytest.mark.parametrize("role", ROLES)


def text_of(role: str, *folders: str) -> dict[Path, str]:
    paths = sorted(path for folder in folders for path in (ROOT / "roles" / role / folder).rglob("*") if path.is_file())
    return {path: path.read_text(encoding="utf-8") for path in paths}


def load(path: Path):
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def settings_of(role: str) -> set[str]:
    """`variable.key` of everything in the role's `*settings` dictionaries."""
    found = set()
    for name, value in (load(ROOT / f"roles/{role}/vars/main.yml") or {}).items():
        if name.endswith("settings"):
            assert isinstance(value, dict), f"{name} is to be a dictionary, so that its keys can be counted"
            found |= {f"{name}.{key}" for key in value}
    return found


def known_ids(text: str) -> set[str]:
    """Ids in a text that look like those of a role that has controls."""
    return {identifier for identifier in ID.findall(text) if identifier.rsplit("-", 1)[0] in ROLES}


def test_ids_are_unique_and_begin_with_their_role():
    assert [name for name, count in Counter(control.id for control in controls()).items() if count > 1] == []
    for path in (ROOT / "roles").glob("*/meta/controls.yml"):
        assert {row["id"].rsplit("-", 1)[0] for row in load(path)["controls"]} == {path.parents[1].name}


@per_control
def test_control_has_a_test_that_can_run_at_its_tier(control: Control):
    tests = proofs().get(control.id, {})

    assert tests, f"no test is marked control({control.id!r})"
    other = {"container": "vm", "vm": "container"}[control.tier]
    assert [name for name, marks in tests.items() if other not in marks], f"every test of {control.id} is marked {other}"
    on_vm = [name for name, marks in tests.items() if "container" not in marks]
    assert bool(on_vm) != bool(control.container_only), f"tests of {control.id} on the VM: {on_vm}"


@per_control
def test_control_is_set_somewhere(control: Control):
    """By a key of its role's settings, by a task that names it, or by a paragraph of a template that names it."""
    named = any(control.id in text for text in text_of(control.role, "tasks", "templates", "files", "handlers").values())

    assert control.settings or named


@per_control
def test_variables_of_a_control_are_options_of_its_role(control: Control):
    spec = load(ROOT / f"roles/{control.role}/meta/argument_specs.yml")["argument_specs"]["main"]

    assert set(control.variables) <= set(spec.get("options", {}))


@per_role
def test_every_setting_is_in_the_matrix(role):
    listed = {setting for control in controls() if control.role == role for setting in control.settings}

    assert settings_of(role) == listed


@per_role
def test_every_line_of_a_template_belongs_to_a_control(role):
    """Named by its paragraph, or by the comment the file begins with; loops over settings have theirs listed."""
    for path, text in text_of(role, "templates", "files").items():
        head = "\n".join(itertools.takewhile(lambda line: line.startswith(("#", "{#")), text.splitlines()))
        for paragraph in re.split(r"\n\s*\n", text):
            lines = [line.strip() for line in paragraph.splitlines()]
            literal = [line for line in lines if line and not line.startswith(("#", "//", "{", "}", "[")) and "{{ " not in line]
            assert not literal or known_ids(head + paragraph), f"{path.relative_to(ROOT)}: {literal[0]}"


def test_ids_that_are_named_exist():
    known = {control.id for control in controls()}
    named = set(proofs())
    for role in ROLES:
        for text in text_of(role, "tasks", "templates", "files", "handlers").values():
            named |= known_ids(text)

    assert sorted(named - known) == []


def test_derived_documents_are_up_to_date():
    stale = [str(path.relative_to(ROOT)) for path, text in documents().items() if not path.exists() or path.read_text() != text]

    assert stale == [], "run `make docs`"
