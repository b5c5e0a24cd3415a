"""Ansible and the roles' tests against a machine: what the tests and Lynis' run have in common.

CROWSNEST_VM_STRATEGY=linear: plain Ansible in place of Mitogen, several times slower.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.catalogue import PROJECT_ROOT
from tests.vm import image
from tests.vm.machine import Machine

ANSIBLE_SECONDS = 1200
STRATEGY = os.environ.get("CROWSNEST_VM_STRATEGY", "mitogen_linear")


@dataclass
class Play:
    """What one run of ansible-playbook did."""

    code: int
    out: str
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """``changed``, ``failed``, … of the machine, of all recaps."""
        total: Counter[str] = Counter()
        for recap in self.out.split("PLAY RECAP")[1:]:
            total.update({name: int(count) for name, count in re.findall(r"\b(\w+)=(\d+)\b", recap.partition("\nPLAY [")[0])})
        return total

    @property
    def changed(self) -> list[str]:
        """Names of the tasks that changed something."""
        task, found = "", []
        for line in self.out.splitlines():
            if match := re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\] \**$", line):
                task = match.group(1)
            elif line.startswith("changed: ["):
                found.append(task)
        return found


class Ansible:
    """Runs playbooks against the machine, with the variables of ``inventories/production``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.inventory = machine.folder / "inventory"
        self.inventory.mkdir(exist_ok=True)
        variables = self.inventory / "group_vars"
        if not variables.exists():
            variables.symlink_to(PROJECT_ROOT / "inventories/production/group_vars")
        host = {
            "ansible_user": image.ADMIN,
            "ansible_host": image.ADDRESS,
            "ansible_ssh_common_args": f"-F {machine.ssh_config}",
            "ansible_python_interpreter": "/usr/bin/python3",
            "stack": image.STACK,
            "supply": "packages",
        }
        tree = {"all": {"hosts": {"vm": host}}}
        (self.inventory / "hosts.yml").write_text(json.dumps(tree, indent=1), encoding="utf-8")

    def environment(self, strategy: str) -> dict[str, str]:
        """Variables of ansible-playbook for a strategy."""
        own = {
            "PYTHONPATH": f"{PROJECT_ROOT / 'src'}:{PROJECT_ROOT}",
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_TIMEOUT": "60",
        }
        if strategy != "linear":
            [mitogen] = importlib.util.find_spec("ansible_mitogen").submodule_search_locations  # type: ignore[union-attr,misc]
            own |= {
                "ANSIBLE_STRATEGY_PLUGINS": f"{mitogen}/plugins/strategy",
                "ANSIBLE_STRATEGY": strategy,
                # Ansible's authors will end strategies of others one day; production uses none.
                "ANSIBLE_DEPRECATION_WARNINGS": "false",
            }
        return {**os.environ, **own}

    def site(self, *arguments: str) -> Play:
        """Run site.yml. Mitogen runs commands by the user's login shell, and who deploys has none: there, plain Ansible."""
        if STRATEGY == "linear":
            return self("site.yml", *arguments)
        host = self("site.yml", "--skip-tags=deploy,verify", *arguments)
        stack = self("site.yml", "--tags=deploy,verify", *arguments, strategy="linear")
        return Play(0, host.out + stack.out, host.seconds + stack.seconds)

    def __call__(
        self,
        playbook: str,
        *arguments: str,
        variables: dict[str, Any] | None = None,
        expect: int | None = 0,
        strategy: str = STRATEGY,
    ) -> Play:
        """Run a playbook of the project; `variables` go before all others."""
        command = [Path(sys.executable).with_name("ansible-playbook"), playbook, "-i", self.inventory, *arguments]
        command += ["-e", json.dumps(variables)] if variables else []
        # Straight to a file, so that one can watch.
        log = self.machine.folder / f"ansible-{len(list(self.machine.folder.glob('ansible-*.log'))) + 1}.log"
        begun = time.monotonic()
        with log.open("w", encoding="utf-8") as output:
            code = self.machine.outside(
                command,
                check=False,
                timeout=ANSIBLE_SECONDS,
                capture_output=False,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=PROJECT_ROOT,
                env=self.environment(strategy),
            ).returncode
        play = Play(code, log.read_text(encoding="utf-8"), time.monotonic() - begun)
        assert expect is None or play.code == expect, f"{playbook} ended with {play.code}\n{play.out[-6000:]}"
        return play


def role_tests(machine: Machine, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the roles' own tests against the machine. Never fails: what came out is for the caller."""
    paths = sorted((PROJECT_ROOT / "roles").glob("*/molecule/default/tests"))
    # The roles of the host; the others' tests look at files of a stack with other settings.
    paths = [path for path in paths if (path.parents[2] / "meta/controls.yml").exists()]
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.vm.shell", "--tb=short",
        "--hosts=vm://vm", f"--ssh-config={machine.ssh_config}", *arguments, *paths,
    ]  # fmt: skip
    done = machine.outside(
        command, check=False, timeout=2 * ANSIBLE_SECONDS, cwd=PROJECT_ROOT, env={**os.environ, "CROWSNEST_TIER": "vm"}
    )
    (machine.folder / f"tests-{int(time.time())}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    return done
