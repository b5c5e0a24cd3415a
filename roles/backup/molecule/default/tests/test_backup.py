"""The units run what they should, as they should; with the real restic."""

import pytest

JOBS = ["backup", "restore-test"]


def show(host, unit, *properties):
    lines = host.check_output(f"systemctl show {unit} --property={','.join(properties)}").splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("job", JOBS)
def test_timer_waits_for_its_time(host, job):
    shown = show(host, f"stack-{job}.timer", "ActiveState", "UnitFileState", "Persistent", "TimersCalendar")

    assert (shown["ActiveState"], shown["UnitFileState"], shown["Persistent"]) == ("active", "enabled", "yes")
    assert {"backup": "*-*-* 02:30:00", "restore-test": "Sun *-*-* 04:30:00"}[job] in shown["TimersCalendar"]


@pytest.mark.parametrize("job", JOBS)
def test_units_are_sound(host, job):
    checked = host.run(f"systemd-analyze verify /etc/systemd/system/stack-{job}.timer 2>&1")

    assert "stack-" not in checked.stdout, checked.stdout


def test_trading_comes_first(host):
    shown = show(host, "stack-backup.service", "Nice", "IOSchedulingClass", "CPUWeight", "NoNewPrivileges")

    assert shown == {"Nice": "19", "IOSchedulingClass": "3", "CPUWeight": "1", "NoNewPrivileges": "yes"}


def test_repository_is_for_root_alone(host):
    folder = host.file("/var/backups/stack")

    assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o700)


def test_backup_is_made_and_comes_back(host):
    """The options that the project uses are in this Debian's restic."""
    host.check_output("rm -rf /opt/restored /opt/project/called")
    for job in JOBS:
        started = host.run(f"systemctl start stack-{job}.service")
        assert started.rc == 0, host.run(f"journalctl --no-pager -u stack-{job}.service").stdout

    assert host.file("/opt/restored/store/data").content == host.file("/opt/work/store/data").content
    assert host.file("/opt/project/called").content_string.splitlines() == [
        f"{job} --stack of many in /opt/project, 100%" for job in JOBS
    ]
    assert host.run("RESTIC_PASSWORD=other restic -r /var/backups/stack cat config").rc != 0


def test_a_failure_is_a_failed_unit(host):
    host.check_output("mv /var/backups/stack/config /var/backups/stack/config.away")
    try:
        assert host.run("systemctl start stack-restore-test.service").rc != 0
        assert show(host, "stack-restore-test.service", "Result")["Result"] == "exit-code"
    finally:
        host.check_output("mv /var/backups/stack/config.away /var/backups/stack/config; systemctl reset-failed")
