"""The exporter's password is where it looks for it, and nowhere else."""

import json

FILE = "/etc/crowsnest/redis-exporter/passwords.json"


def test_file_is_readable_for_the_component_only(host):
    file = host.file(FILE)

    assert (file.uid, file.gid, file.mode) == (0, 10100, 0o440)


def test_password_stands_under_the_address_with_and_without_the_user(host):
    assert json.loads(host.file(FILE).content_string) == {
        "redis://monitor@redis:6390": "canary-of-the-exporter",
        "redis://redis:6390": "canary-of-the-exporter",
    }


def test_no_draft_is_left(host):
    assert host.file("/etc/crowsnest/redis-exporter").listdir() == ["passwords.json"]
