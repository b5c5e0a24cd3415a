"""One virtual machine for all tests here, which tell one story: a plain Debian is hardened, attacked, rebooted and undone.

CROWSNEST_VM_SUITE: bookworm (default) or trixie. CROWSNEST_VM: the folder of a machine that `python -m tests.vm.machine` keeps
running, for work on a role.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from infra.catalogue import PROJECT_ROOT
from tests.figures import figure
from tests.vm import image
from tests.vm.converge import ANSIBLE_SECONDS, Ansible, Play
from tests.vm.machine import Machine, VirtualMachine

# The order of the story; what undoes everything comes last.
STORY = (
    "test_site",
    "test_stack",
    "test_network",
    "test_detection",
    "test_lockout",
    "test_controls",
    "test_mutations",
    "test_unharden",
)
FINGERPRINT = PROJECT_ROOT / "tests/molecule/fingerprint.sh"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "vm: needs the virtual machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in mine:
        item.add_marker("vm")
        item.add_marker(pytest.mark.timeout(2 * ANSIBLE_SECONDS))
    mine.sort(key=lambda item: STORY.index(item.path.stem))
    items[:] = [item for item in items if item not in mine] + mine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a failed test says ends with what the machine's kernel said."""
    report = yield
    if report.failed and isinstance(machine := getattr(item, "funcargs", {}).get("vm"), Machine):
        report.sections.append(("the machine's console", machine.console_tail()))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.duration >= 1 and "tests/vm/" in report.nodeid:
        figure(f"{report.nodeid.rpartition('::')[2]}, s", f"{report.duration:.0f}")


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Shows a line at once; a part may take minutes."""
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")

    def show(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(line)

    return show


@pytest.fixture(scope="session")
def vm(say: Callable[[str], None]) -> Iterator[Machine]:
    """A machine that was booted for this session; nothing has been done to it."""
    begun = time.monotonic()
    if folder := os.environ.get("CROWSNEST_VM"):
        running: AbstractContextManager[Machine] = nullcontext(Machine.running(Path(folder)))
    else:
        disks = image.build(os.environ.get("CROWSNEST_VM_SUITE", image.SUITES[0]), say)
        figure("disks, s", f"{time.monotonic() - begun:.0f}")
        running = VirtualMachine(disks)
    begun = time.monotonic()
    with running as machine:
        figure("boot to login, s", f"{time.monotonic() - begun:.0f}")
        say(f"a shell in the machine: {' '.join(machine.outside_prefix)} ssh -F {machine.ssh_config} vm")
        yield machine
        machine.shell.close()


@pytest.fixture(scope="session")
def ansible(vm: Machine) -> Ansible:
    return Ansible(vm)


@pytest.fixture(scope="session")
def before(vm: Machine) -> str:
    """How the machine was before anything was done to it."""
    note = vm.folder / "fingerprint.before"
    if not note.exists():
        note.write_text(fingerprint(vm), encoding="utf-8")
    return note.read_text(encoding="utf-8")


FAILED_UNITS = "systemctl --failed --no-legend --plain"


@pytest.fixture(scope="session")
def failed_before(vm: Machine) -> str:
    """Units that had failed before anything was done: Debian's fail2ban, for one, finds no log of sshd's to read."""
    note = vm.folder / "failed.before"
    if not note.exists():
        note.write_text(vm.root(FAILED_UNITS), encoding="utf-8")
    return note.read_text(encoding="utf-8")


def fingerprint(machine: Machine) -> str:
    """Files of /etc, units, packages and kernel parameters, a line each."""
    return machine.root(FINGERPRINT.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def hardened(ansible: Ansible, before: str, failed_before: str) -> Play:
    """The first run of site.yml: hardened, and the stack runs."""
    return ansible.site()
