"""What infra/restic.py asks of restic is in this Debian's version."""

import json

import pytest

RESTIC = "RESTIC_REPOSITORY=/var/backups/stack RESTIC_PASSWORD=word RESTIC_CACHE_DIR=/var/cache/restic restic"


@pytest.fixture
def saved(host):
    """A repository with one backup in it, and what restic said of that."""
    host.check_output("find /var/backups/stack -mindepth 1 -delete; rm -rf /opt/restored; mkdir -p /opt/work/store")
    host.check_output("echo content > /opt/work/store/data")
    host.check_output(f"{RESTIC} init")
    options = "--json --ignore-ctime --ignore-inode --host stack --tag store:store"
    return json.loads(host.check_output(f"cd /opt/work && {RESTIC} backup {options} store").splitlines()[-1])


def test_repository_is_for_root_alone(host):
    folder = host.file("/var/backups/stack")

    assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o700)


def test_what_a_backup_says_of_itself(saved):
    assert saved["message_type"] == "summary"
    assert saved["total_bytes_processed"] == len("content\n")
    assert saved["data_added"] > 0
    assert saved["snapshot_id"]


def test_what_a_list_of_backups_says(host, saved):
    (listed,) = json.loads(host.check_output(f"{RESTIC} snapshots --json --host stack"))

    assert saved["snapshot_id"].startswith(listed["short_id"])
    assert listed["tags"] == ["store:store"]
    assert listed["time"]


def test_it_comes_back_below_its_own_name(host, saved):
    host.check_output(f"{RESTIC} restore {saved['snapshot_id']} --target /opt/restored --verify")

    assert host.file("/opt/restored/store/data").content_string == "content\n"


@pytest.mark.usefixtures("saved")
def test_it_is_checked_and_rotated(host):
    host.check_output(f"{RESTIC} unlock")
    host.check_output(
        f"{RESTIC} forget --host stack --group-by host,paths --keep-daily=7 --keep-weekly=5 --keep-monthly=12 --prune"
    )
    host.check_output(f"{RESTIC} check --read-data-subset=5%")


@pytest.mark.usefixtures("saved")
def test_a_missing_repository_and_a_wrong_password_are_told_apart(host):
    wrong = host.run(f"{RESTIC} cat config".replace("PASSWORD=word", "PASSWORD=another"))
    missing = host.run(f"{RESTIC} cat config".replace("/stack", "/missing"))

    assert wrong.rc != 0
    assert "wrong password or no key found" in wrong.stderr
    assert missing.rc != 0
    assert "unable to open config file" in missing.stderr
