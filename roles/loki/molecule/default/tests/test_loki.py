"""The file is placed. Loki itself is in no package; tests/e2e/test_log_metrics.py runs it."""

import pytest
import yaml

UID = 10180
FOLDERS = ["/etc/loki", "/etc/loki-small"]


def config(host, folder):
    return yaml.safe_load(host.file(f"{folder}/loki.yaml").content_string)


@pytest.mark.parametrize("folder", FOLDERS)
def test_file_is_readable_for_the_component_only(host, folder):
    file = host.file(f"{folder}/loki.yaml")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o440)
    assert host.file(folder).mode == 0o750


def test_file_was_checked(host):
    assert host.file("/run/loki-was-called").content_string.count("checked") >= 1


@pytest.mark.parametrize(("folder", "kept"), [("/etc/loki", "14d"), ("/etc/loki-small", "1d")])
def test_lines_are_not_kept_for_ever_and_nobody_deletes_them(host, folder, kept):
    tree = config(host, folder)

    assert tree["limits_config"]["retention_period"] == kept
    assert tree["compactor"]["retention_enabled"] is True
    assert tree["compactor"]["delete_request_store"] == "filesystem"
    assert tree["limits_config"]["deletion_mode"] == "disabled"


def test_what_can_come_in_is_bounded(host):
    tree = config(host, "/etc/loki-small")
    limits = tree["limits_config"]

    assert (limits["ingestion_rate_mb"], limits["per_stream_rate_limit"]) == (1, "1MB")
    assert limits["max_global_streams_per_user"] == 10
    assert (limits["max_line_size"], limits["max_line_size_truncate"]) == ("8KB", True)
    assert tree["ingester"]["wal"]["replay_memory_ceiling"] == "64MB"


def test_what_is_acknowledged_is_on_the_disk(host):
    assert config(host, "/etc/loki")["ingester"]["wal"]["enabled"] is True


def test_its_parts_talk_over_loopback_alone_and_nothing_is_reported(host):
    tree = config(host, "/etc/loki")

    assert tree["server"]["grpc_listen_address"] == "127.0.0.1"
    assert tree["common"]["ring"] == {"kvstore": {"store": "inmemory"}, "instance_addr": "127.0.0.1"}
    assert tree["analytics"]["reporting_enabled"] is False


def test_labels_are_what_the_collector_set(host):
    limits = config(host, "/etc/loki")["limits_config"]

    assert limits["discover_service_name"] == []
    assert limits["discover_log_levels"] is False
