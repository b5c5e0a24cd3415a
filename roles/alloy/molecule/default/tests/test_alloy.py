"""The files are placed and hold what each source needs. Alloy itself is in no package and was not run here."""

import pytest

UID = 10060
FOLDERS = ["/etc/alloy", "/etc/alloy-journald"]


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", ["config.alloy", "containers.alloy"])
def test_files_are_readable_for_the_component_only(host, folder, name):
    file = host.file(f"{folder}/{name}")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o440)


def test_both_files_were_checked(host):
    assert host.file("/run/alloy-was-called").content_string.count("checked") >= 2


@pytest.mark.parametrize(("folder", "source"), [("/etc/alloy", "file"), ("/etc/alloy-journald", "journal")])
def test_configuration_has_the_chosen_source(host, folder, source):
    text = host.file(f"{folder}/config.alloy").content_string

    assert f'loki.source.{source} "containers"' in text
    assert "max_backoff_retries = 0" in text
    assert "wal {" not in text
    assert "docker.sock" not in text
    assert "_stream_fields=source,container_name,level" in text


def test_containers_are_chosen_and_excluded(host):
    text = host.file("/etc/alloy/config.alloy").content_string

    assert r'{container_name=~"ntd\\-alloy|ntd\\-trader"}' in text
    assert r'{container_name!~"(?:ntd\\-).*"}' in text
