"""What Lynis says about a hardened machine: ``python -m tests.vm.lynis [SUITE]``; ends with 1 when its index is below 85.

Takes over ten minutes on an emulated machine. CROWSNEST_VM: a machine that runs already (see conftest.py).
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

from tests.vm import image
from tests.vm.converge import Ansible
from tests.vm.machine import Machine, VirtualMachine

WANTED_INDEX = 85
SECONDS = 3600
# What it suggests and we do not do, by its test, with the reason.
REASONS = {
    "LYNIS": "Debian's package is what the release has",
    "BOOT-5122": "a boot loader's password is for machines that strangers touch; this one is started by its host",
    "BOOT-5264": "units of Debian's packages; the engine and sshd need what systemd-analyze security counts as exposure",
    "AUTH-9230": "rounds in login.defs are for SHA-512; passwords are yescrypt, whose cost stands in PAM's configuration",
    "AUTH-9284": "accounts without a password that may log in are the roles' own doing: they log in by key, or not at all",
    "AUTH-9286": "no password expires by default: it would shut out an account that logs in by key",
    "DEB-0280": "a home of its own for temporary files of a login: nobody but the administrator logs in",
    "DEB-0810": "the list of bugs before an installation is for people; upgrades run unattended",
    "DEB-0811": "as DEB-0810",
    "DEB-0880": "settings of ours stand in jail.d, which upgrades leave alone",
    "FILE-6310": "partitions are the owner's choice at installation; the roles do not move data",
    "FILE-7524": "at.allow and cron.allow have 0640, which CIS Debian 12 2.4.1.8 and 2.4.2.1 ask for",
    "FIRE-4513": "a rule that has met nothing yet is why it is there",
    "HOME-9304": "homes that were there before are their owners'",
    "HRDN-7222": "the assembler is what the platform's own images are built with where none can be pulled",
    "HRDN-7230": "a malware scanner reads every file; AIDE compares programs instead",
    "KRNL-6000": "containers need forwarding, and the engine loads modules when they start",
    "LOGG-2154": "where logs are sent is the platform's own business: it collects them itself",
    "NAME-4028": "the machine's domain is the owner's",
    "NAME-4404": "the machine's name is the owner's",
    "NETW-3200": "they cannot be loaded: `install dccp /bin/false` and so on; Lynis looks for other words",
    "PKGS-7370": "debsums repeats what AIDE compares",
    "PKGS-7394": "upgrades run unattended, and say so themselves",
    "ACCT-9622": "process accounting: auditd records who ran what",
    "ACCT-9626": "sysstat: metrics are the platform's own business",
    "BANN-7126": "a banner keeps nobody out",
    "BANN-7130": "as BANN-7126",
    "SSH-7408": "another port moves the noise, not the risk; options differ with a reason in roles/ssh",
}


def report(machine: Machine) -> dict[str, list[str]]:
    """Run Lynis. Returns its report: names and their values."""
    machine.root("lynis audit system --cronjob >/run/lynis.out 2>&1", check=False, timeout=SECONDS)
    values: dict[str, list[str]] = {}
    for line in machine.root("cat /var/log/lynis-report.dat").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            values.setdefault(name.removesuffix("[]"), []).append(value)
    return values


def main(arguments: list[str]) -> int:
    """0 when the index is high enough."""
    folder = os.environ.get("CROWSNEST_VM")
    disks = None if folder else image.build(arguments[0] if arguments else image.SUITES[0], print)
    with nullcontext(Machine.running(Path(folder))) if folder else VirtualMachine(disks) as machine:
        if not folder:
            Ansible(machine).site()
        found = report(machine)
    index = int(found["hardening_index"][0])
    print(f"Lynis {found['lynis_version'][0]}: hardening index {index}, {found['lynis_tests_done'][0]} tests")
    for kind in ("warning", "suggestion"):
        for entry in found.get(kind, []):
            test, text = entry.split("|")[:2]
            print(f"{kind} {test}: {text}: {REASONS.get(test, 'NOT JUDGED YET')}")
    return 0 if index >= WANTED_INDEX else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
