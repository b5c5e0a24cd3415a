"""A plain Debian becomes a hardened machine with a running stack; after that, nothing changes any more."""

from tests.figures import figure
from tests.vm.converge import Ansible, Play


def test_check_mode_passes_on_a_clean_machine(ansible: Ansible, before: str):
    play = ansible.site("--check", "--diff")

    assert play.counts["failed"] == play.counts["unreachable"] == 0
    assert play.changed


def test_site_converges(hardened: Play):
    figure("first site.yml, tasks", f"{hardened.counts['ok']} ok, {hardened.counts['changed']} changed")
    assert hardened.counts["failed"] == hardened.counts["unreachable"] == 0


def test_a_second_run_changes_nothing(hardened: Play, ansible: Ansible):
    play = ansible.site()

    assert play.changed == []
    assert play.counts["changed"] == 0


def test_check_mode_reports_no_change(hardened: Play, ansible: Ansible):
    play = ansible.site("--check", "--diff")

    assert play.changed == []
    assert play.counts["changed"] == 0
