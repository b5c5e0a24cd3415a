"""What happens on the machine is noticed: guessed logins, changed programs, touched files; and silence stays silent."""

import subprocess
import time

import pytest

from tests.figures import figure
from tests.vm.image import ADDRESS, ADMIN
from tests.vm.machine import ATTACKER, Machine

pytestmark = pytest.mark.usefixtures("hardened")

EVENTS_A_MINUTE, MINUTES = 60, 2


def guess(vm: Machine, user: str) -> subprocess.CompletedProcess[str]:
    """One attempt from the attacker's address, with a key that nobody knows."""
    options = {
        "BindAddress": ATTACKER, "IdentityFile": vm.folder / "guess", "IdentitiesOnly": "yes", "BatchMode": "yes",
        "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "ConnectTimeout": "5",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return vm.outside(["ssh", "-F", "none", *words, f"{user}@{ADDRESS}", "true"], check=False)


def test_who_guesses_logins_is_shut_out(vm: Machine):
    if not (vm.folder / "guess").exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", vm.folder / "guess"], check=True)
    begun, attempts = time.monotonic(), 0
    while time.monotonic() - begun < 120:
        said = guess(vm, f"user{attempts}").stderr
        if "timed out" in said or "refused" in said or "No route" in said:
            break
        attempts += 1
        assert "Permission denied" in said or "closed" in said or "reset" in said, said
    else:
        pytest.fail(f"{attempts} attempts, and no ban")

    try:
        figure("brute force: attempts until the ban", attempts)
        assert ATTACKER in vm.root("fail2ban-client status sshd")
        assert vm.ssh("id --user --name").stdout == f"{ADMIN}\n"
    finally:
        vm.root("fail2ban-client unban --all")


def test_a_changed_program_is_found(vm: Machine):
    check = "aide --config=/etc/aide/aide.conf --check --limit='/usr/bin/who'"
    begun = time.monotonic()
    # The first notes are taken in the background.
    vm.root("for _ in $(seq 120); do test -s /var/lib/aide/aide.db && exit 0; sleep 5; done; exit 1", timeout=700)
    figure("waited for AIDE's first notes, s", f"{time.monotonic() - begun:.0f}")
    assert "/usr/bin/who" not in vm.root(check, check=False, timeout=600).partition("Changed entries")[2]
    vm.root("cp --preserve=all /usr/bin/who /root/who.kept && printf x >>/usr/bin/who")
    try:
        changed = vm.root(check, check=False, timeout=600).partition("Changed entries")[2]
        assert "/usr/bin/who" in changed
    finally:
        vm.root("cp --preserve=all /root/who.kept /usr/bin/who && rm /root/who.kept")


def test_a_touched_watched_file_is_found(vm: Machine):
    vm.ssh("sudo touch /etc/ssh/sshd_config && sudo chmod --changes 0600 /etc/sudoers && sudo chmod 0440 /etc/sudoers")

    for key, path in (("sshd", "/etc/ssh/sshd_config"), ("scope", "/etc/sudoers")):
        found = vm.root(f"sleep 2; ausearch --input-logs --interpret --key {key} --start recent")
        assert f"name={path}" in found
        # Also after sudo, the record says who it was.
        assert f"auid={ADMIN}" in found


def test_an_idle_machine_writes_few_audit_records(vm: Machine):
    """With the stack running. An event may be several records with one number."""
    count = "grep -hoE 'msg=audit\\([0-9.]+:[0-9]+' /var/log/audit/audit.log* | sort -u | wc -l"
    events = vm.root(f"before=$({count}); sleep {60 * MINUTES}; echo $(($({count}) - before))")
    lost = vm.root("auditctl -s | awk '$1 == \"lost\" { print $2 }'")

    figure("idle audit events a minute", f"{int(events) / MINUTES:.0f}")
    assert int(events) / MINUTES <= EVENTS_A_MINUTE
    assert lost == "0"
