"""What the tests of all roles share. They run in containers (Molecule) and, for the host's roles, on a virtual machine.

A test names the control it proves, ``@pytest.mark.control("ssh-01")``; the controls are in ``roles/<role>/meta/controls.yml``.
A test marked ``vm`` needs a kernel, a network or a boot of its own, one marked ``container`` the scenario of its role; each is
left out, and counted as deselected, where it cannot run. ``CROWSNEST_TIER`` says where that is: container (default) or vm.
"""

import json
import os
from pathlib import Path

import pytest

from tests.controls import controls_of

OTHER_TIER = {"container": "vm", "vm": "container"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--control", action="append", default=[], help="only the tests of this control; may be repeated")
    parser.addoption("--note-controls", type=Path, help="file for the list of all tests with their controls")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "control(*ids): the controls that this test proves")
    config.addinivalue_line("markers", "vm: needs a machine of its own")
    config.addinivalue_line("markers", "container: needs the role's Molecule scenario")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("note_controls"):
        rows = [(item.originalname, sorted(controls_of(item)), [mark.name for mark in item.iter_markers()]) for item in items]
        config.getoption("note_controls").write_text(json.dumps(rows), encoding="utf-8")
    other = OTHER_TIER[os.environ.get("CROWSNEST_TIER", "container")]
    wanted = set(config.getoption("control"))

    def runs(item: pytest.Item) -> bool:
        return item.get_closest_marker(other) is None and (not wanted or bool(wanted & controls_of(item)))

    left_out = [item for item in items if not runs(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if runs(item)]
