"""The file is placed. Mimir itself is in no package; tests/e2e/test_log_metrics.py runs it."""

import pytest
import yaml

UID = 10170
FOLDERS = ["/etc/mimir", "/etc/mimir-small"]


def config(host, folder):
    return yaml.safe_load(host.file(f"{folder}/mimir.yaml").content_string)


@pytest.mark.parametrize("folder", FOLDERS)
def test_file_is_readable_for_the_component_only(host, folder):
    file = host.file(f"{folder}/mimir.yaml")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o440)
    assert host.file(folder).mode == 0o750


@pytest.mark.parametrize(("folder", "kept"), [("/etc/mimir", "30d"), ("/etc/mimir-small", "1y")])
def test_metrics_are_not_kept_for_ever(host, folder, kept):
    assert config(host, folder)["limits"]["compactor_blocks_retention_period"] == kept


def test_what_can_come_in_is_bounded(host):
    limits = config(host, "/etc/mimir-small")["limits"]

    assert limits["max_global_series_per_user"] == 100
    assert (limits["ingestion_rate"], limits["ingestion_burst_size"]) == (10, 100)
    assert limits["out_of_order_time_window"] == "1h"


def test_its_parts_talk_over_loopback_alone(host):
    tree = config(host, "/etc/mimir")

    assert tree["server"]["grpc_listen_address"] == "127.0.0.1"
    rings = [tree["distributor"]["ring"], tree["ingester"]["ring"], tree["compactor"]["sharding_ring"]]
    rings += [tree["store_gateway"]["sharding_ring"], tree["ruler"]["ring"]]
    assert {(ring["kvstore"]["store"], ring["instance_addr"]) for ring in rings} == {("inmemory", "127.0.0.1")}


def test_everything_it_writes_is_in_its_folder_and_nothing_is_reported(host):
    tree = config(host, "/etc/mimir")
    blocks = tree["blocks_storage"]
    folders = [tree["compactor"]["data_dir"], tree["ruler"]["rule_path"], tree["ruler_storage"]["filesystem"]["dir"]]
    folders += [tree["common"]["storage"]["filesystem"]["dir"], blocks["tsdb"]["dir"], blocks["bucket_store"]["sync_dir"]]

    assert all(folder.startswith("/var/lib/mimir/") for folder in folders)
    assert len(set(folders)) == len(folders)
    assert tree["activity_tracker"]["filepath"] == ""
    assert tree["usage_stats"]["enabled"] is False
