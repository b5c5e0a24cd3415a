"""The journal is kept, within bounds, and journald took the configuration."""

import pytest


@pytest.mark.control("journal-01")
def test_journal_is_kept_on_disk(host):
    lines = host.check_output("systemd-analyze cat-config systemd/journald.conf").splitlines()

    assert [line for line in lines if line.startswith("Storage=")][-1] == "Storage=persistent"
    assert host.file("/var/log/journal").is_directory
