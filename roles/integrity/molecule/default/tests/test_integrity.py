"""What was changed is found and named; what changes all the time is not looked at."""

import re

import pytest

CONF = "/etc/aide/aide.conf"
DATABASE = "/var/lib/aide/aide.db"
CHECK, ACCEPT = "crowsnest-integrity-check", "crowsnest-integrity-accept"
WATCHED = [
    "/usr/bin/passwd", "/usr/sbin/auditctl", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/local/bin/trader", "/boot/vmlinuz",
    "/etc/ssh/sshd_config", "/root/.ssh/authorized_keys", "/var/spool/cron/crontabs/root",
]  # fmt: skip
NOT_WATCHED = [
    "/etc/mtab", "/etc/resolv.conf", "/usr/lib/modules/6.1/modules.dep", "/usr/share/doc/x", "/home/x", "/var/log/syslog",
    "/var/lib/docker/overlay2/x", "/var/lib/crowsnest/data/x", "/opt/crowsnest/.venv/bin/python",
]  # fmt: skip
FULL = {"ftype", "p", "u", "g", "s", "l", "acl", "xattrs", "caps", "sha512"}


def wait_for_notes(host):
    """The role takes the first notes in the background."""
    host.check_output(
        f"timeout 540 sh -c 'until [ -e {DATABASE} ]; do systemctl is-failed -q {ACCEPT} && exit 1; sleep 1; done'"
    )


def compare(host, *paths):
    """Status and report of a comparison of these paths only, with the rules and the notes of the machine."""
    limit = "|".join(re.escape(path) for path in paths)
    run = host.run(f"aide --config={CONF} --limit='^({limit})' --check")
    return run.rc, run.stdout


@pytest.mark.control("integrity-01")
def test_configuration_is_accepted(host):
    assert host.package("aide").is_installed
    host.run_expect([0], f"aide --config={CONF} --config-check")


@pytest.mark.control("integrity-02", "integrity-09", "integrity-08")
def test_what_is_watched_and_how(host):
    lines = host.file(CONF).content_string.splitlines()
    groups = dict(line.split(" = ") for line in lines if " = " in line)
    paths = dict.fromkeys(WATCHED, True) | dict.fromkeys(NOT_WATCHED, False)
    # Status 0: watched, else 1 or 2.
    check = f"aide --config={CONF} --path-check=f:$path >/dev/null 2>&1; echo $path $?"
    answers = host.check_output(f"for path in {' '.join(paths)}; do {check}; done")

    assert {path: status == "0" for path, status in map(str.split, answers.splitlines())} == paths
    assert set(groups["Content"].split("+")) == FULL
    assert set(groups["AuditTools"].split("+")) == {"p", "i", "n", "u", "g", "s", "b", "acl", "xattrs", "sha512"}
    assert [line for line in lines if line.startswith("/usr/sbin/(auditctl|") and line.endswith("$ AuditTools")]


@pytest.mark.control("integrity-03")
def test_a_timer_compares_once_a_day(host):
    shown = host.check_output(f"systemctl show {CHECK}.timer --property=TimersCalendar,ActiveState,UnitFileState,Unit")

    assert "OnCalendar=*-*-* 04:30:00" in shown
    assert {"ActiveState=active", "UnitFileState=enabled", f"Unit={CHECK}.service"} <= set(shown.splitlines())


@pytest.mark.control("integrity-04")
def test_only_root_reads_the_notes(host):
    wait_for_notes(host)
    found = host.check_output(f"stat --format '%U %G %a' /var/lib/aide {DATABASE} {CONF}")

    assert found.splitlines() == ["root root 700", "root root 600", "root root 600"]


@pytest.mark.control("integrity-05")
def test_reading_is_last_in_line_and_confined(host):
    wanted = {
        "Nice=19", "CPUWeight=idle", "IOSchedulingClass=3", "CapabilityBoundingSet=cap_dac_read_search",
        "NoNewPrivileges=yes", "PrivateNetwork=yes", "ProtectSystem=strict", "UMask=0077",
    }  # fmt: skip
    names = ",".join(line.split("=")[0] for line in wanted)
    for unit in (CHECK, ACCEPT):
        assert set(host.check_output(f"systemctl show {unit}.service --property={names}").splitlines()) == wanted


@pytest.mark.control("integrity-06")
def test_differences_end_the_check_with_a_failure(host):
    """The unit as it stands; the test below lets it find something."""
    shown = host.check_output(f"systemctl show {CHECK}.service --property=ExecStart,SuccessExitStatus")

    assert f"aide --config={CONF} --check ; ignore_errors=no" in shown
    assert "SuccessExitStatus=\n" in f"{shown}\n"


@pytest.mark.control("integrity-07")
def test_upgrades_are_accepted_after_a_check(host):
    shown = host.check_output("systemctl show apt-daily-upgrade.service --property=Wants,After,ExecStartPost")
    lines = dict(line.split("=", 1) for line in shown.splitlines())

    assert f"{CHECK}.service" in lines["Wants"].split()
    assert f"{CHECK}.service" in lines["After"].split()
    assert f"is-failed --quiet {CHECK}.service" in lines["ExecStartPost"]


@pytest.mark.control("integrity-02")
def test_a_changed_and_a_new_program_are_named_and_data_is_not(host):
    """On the virtual machine as well: only these paths are read, which takes seconds there."""
    wait_for_notes(host)
    host.check_output("cp --archive /usr/bin/yes /root/yes.kept && mkdir -p /var/lib/docker")
    try:
        host.check_output("echo >> /usr/bin/yes; touch /usr/local/bin/crowsnest-new /var/lib/docker/crowsnest-probe")
        status, report = compare(host, "/usr/bin/yes", "/usr/local/bin/", "/var/lib/docker/crowsnest-probe")
    finally:
        host.check_output("mv /root/yes.kept /usr/bin/yes && rm /usr/local/bin/crowsnest-new /var/lib/docker/crowsnest-probe")
        host.check_output("rmdir --ignore-fail-on-non-empty /var/lib/docker")

    # The sum of 1 (something new) and 4 (something changed).
    assert status == 5, report
    assert "/usr/bin/yes" in report
    assert "/usr/local/bin/crowsnest-new" in report
    assert "crowsnest-probe" not in report
    assert compare(host, "/usr/bin/yes")[0] == 0


@pytest.mark.container
@pytest.mark.control("integrity-06", "integrity-04")
def test_check_fails_until_the_change_is_accepted(host):
    """Whole runs of both units. The container is small; the virtual machine would take minutes."""
    wait_for_notes(host)
    host.check_output("touch /etc/crowsnest-probe")
    try:
        first = host.run(f"systemctl start {CHECK}.service")
        report = host.check_output(f"journalctl --unit={CHECK}.service --output=cat --no-pager")
        second = host.run(f"systemctl start {ACCEPT}.service && systemctl start {CHECK}.service")
    finally:
        host.check_output("rm /etc/crowsnest-probe")

    assert first.rc != 0
    assert "/etc/crowsnest-probe" in report
    assert second.rc == 0, report
