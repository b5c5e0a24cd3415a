"""The journal is kept, within bounds, and journald took the configuration."""

import json

import pytest

# Of the message in which journald says how much room it takes (SD_MESSAGE_JOURNAL_USAGE in systemd).
USAGE = "ec387f577b844b8fa948f33cad9a75e6"


@pytest.fixture
def setting(host):
    """Effective settings: of all files in the order in which journald reads them, the last assignment holds."""
    lines = host.check_output("systemd-analyze cat-config systemd/journald.conf").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.fixture
def usage(host):
    """What journald itself said last about the room that the journal takes on disk, in bytes."""
    return json.loads(host.check_output(f"journalctl --output=json --lines=1 MESSAGE_ID={USAGE} JOURNAL_NAME='System Journal'"))


@pytest.mark.control("journal-01")
def test_journal_is_kept_on_disk(setting, usage):
    assert setting["Storage"] == "persistent"
    assert usage["JOURNAL_PATH"].startswith("/var/log/journal/")


@pytest.mark.control("journal-02")
def test_journal_has_bounds_and_journald_knows_them(setting, usage):
    bounds = ("SystemMaxUse", "SystemKeepFree", "RuntimeMaxUse", "RuntimeKeepFree")

    assert {name: setting.get(name) for name in bounds} == dict(zip(bounds, ("1G", "2G", "64M", "64M"), strict=True))
    assert int(usage["MAX_USE"]) == 2**30
    assert int(usage["DISK_KEEP_FREE"]) == 2 * 2**30


@pytest.mark.control("journal-03")
def test_journal_is_cut_into_files_that_grow_old(setting):
    assert setting.get("SystemMaxFileSize") == "64M"
    assert setting.get("MaxFileSec") == "1week"
    assert setting.get("MaxRetentionSec") == "90day"


@pytest.mark.control("journal-04")
def test_a_unit_that_logs_without_end_is_held_back(setting):
    assert (setting["RateLimitIntervalSec"], setting["RateLimitBurst"]) == ("30s", "10000")


@pytest.mark.control("journal-05")
def test_long_entries_are_compressed(setting):
    assert setting["Compress"] == "yes"


@pytest.mark.control("journal-06")
def test_entries_go_to_one_logging_system(host, setting):
    assert setting["ForwardToSyslog"] == "no"
    assert host.run("systemctl is-active rsyslog.service syslog-ng.service").stdout.split() == ["inactive", "inactive"]


@pytest.mark.control("journal-07")
def test_journal_is_read_by_root_and_its_groups_only(host):
    others = "find /var/log/journal -type f '(' -perm /0137 -o ! -user root -o ! -group systemd-journal ')'"

    assert host.check_output(others) == ""


@pytest.mark.control("journal-08")
def test_auditing_is_left_to_auditd(setting):
    assert setting["Audit"] == ""


@pytest.mark.control("journal-09")
def test_journal_runs(host):
    properties = "systemctl show --value --property=ActiveState,LoadState systemd-journald.service"

    assert sorted(host.check_output(properties).split()) == ["active", "loaded"]


@pytest.mark.control("journal-10")
def test_files_are_rotated(host):
    assert host.check_output("systemctl is-enabled logrotate.timer") == "enabled"
    assert host.check_output("systemctl is-active logrotate.timer") == "active"
    assert host.run("logrotate --debug /etc/logrotate.conf").rc == 0


@pytest.mark.vm
def test_journald_had_nothing_to_say_against_its_configuration(host):
    journald = "journalctl --boot --no-pager --output=cat _COMM=systemd-journald + SYSLOG_IDENTIFIER=systemd-journald"
    lines = host.check_output(journald).splitlines()

    assert [line for line in lines if "Unknown key" in line or "Failed to parse" in line] == []
