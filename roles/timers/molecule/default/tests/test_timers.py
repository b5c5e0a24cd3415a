"""The units run what they should, when they should, behind everything else."""

import pytest

CALENDARS = {"backup": "*-*-* 02:30:00", "drift": "Sun *-*-* 04:30:00"}


def show(host, unit, *properties):
    lines = host.check_output(f"systemctl show {unit} --property={','.join(properties)}").splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def called(host):
    """What the command line was called with since the test began."""
    host.check_output("rm -f /opt/project/called /opt/project/code; systemctl reset-failed")
    yield lambda: host.file("/opt/project/called").content_string
    host.check_output("rm -f /opt/project/called /opt/project/code; systemctl reset-failed")


@pytest.mark.parametrize("job", CALENDARS)
def test_timer_waits_for_its_time(host, job):
    shown = show(host, f"stack-{job}.timer", "ActiveState", "UnitFileState", "Persistent", "TimersCalendar")

    assert (shown["ActiveState"], shown["UnitFileState"], shown["Persistent"]) == ("active", "enabled", "yes")
    assert CALENDARS[job] in shown["TimersCalendar"]


@pytest.mark.parametrize("job", CALENDARS)
def test_units_are_sound(host, job):
    checked = host.run(f"systemd-analyze verify /etc/systemd/system/stack-{job}.timer 2>&1")

    assert "stack-" not in checked.stdout, checked.stdout


def test_trading_comes_first(host):
    shown = show(host, "stack-backup.service", "Nice", "IOSchedulingClass", "CPUWeight", "NoNewPrivileges")

    assert shown == {"Nice": "19", "IOSchedulingClass": "3", "CPUWeight": "1", "NoNewPrivileges": "yes"}


def test_arguments_and_environment_arrive_as_they_are(host, called):
    started = host.run("systemctl start stack-backup.service")

    assert started.rc == 0, host.run("journalctl --no-pager -u stack-backup.service").stdout
    assert called() == '/opt/project|a space, a " and 100%|backup|--stack|of $many 100%|'


@pytest.mark.parametrize(("code", "result"), [(0, "success"), (2, "success"), (1, "exit-code")])
def test_only_what_is_a_failure_of_the_job_fails_its_unit(host, called, code, result):
    host.check_output(f"echo {code} > /opt/project/code")

    host.run("systemctl start stack-drift.service")

    assert called()
    assert show(host, "stack-drift.service", "Result")["Result"] == result


def test_a_job_that_is_not_wanted_is_gone(host):
    assert not host.file("/etc/systemd/system/stack-old.timer").exists
    assert not host.file("/etc/systemd/system/stack-old.service").exists
    assert "stack-old" not in host.check_output("systemctl list-timers --all")
