"""The files say what was asked for; a real Telegraf reads them in tests/contract and tests/e2e."""

import tomllib

import pytest

FOLDER = "/etc/crowsnest/telegraf"
UID = 10220


def read(host, folder=FOLDER):
    return tomllib.loads(host.file(f"{folder}/telegraf.conf").content_string)


def test_file_is_readable_for_the_component_only(host):
    file = host.file(f"{FOLDER}/telegraf.conf")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o440)


def test_durable_reads_from_the_beginning_and_keeps_no_state(host):
    tree = read(host)
    (tail,) = tree["inputs"]["tail"]

    assert "statefile" not in tree["agent"]
    assert tail["initial_read_offset"] == "beginning"
    assert tail["files"] == ["/var/log/trader/trader.logs.*Z"]
    assert tree["agent"]["metric_buffer_limit"] > tail["max_undelivered_lines"] >= tree["agent"]["metric_batch_size"]


def test_durable_sends_over_http(host):
    (output,) = read(host)["outputs"]["influxdb_v2"]

    assert output["urls"] == ["http://relay:9999"]
    assert "socket_writer" not in read(host)["outputs"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("files", ["/var/log/trader/trader.logs"]),
        ("from_beginning", True),
        ("json_string_fields", ["level"]),
        ("data_format", "json"),
        ("json_strict", True),
        ("json_name_key", "event"),
        ("json_time_key", "timestamp"),
        ("json_time_format", "2006-01-02T15:04:05.999999Z"),
    ],
)
def test_the_sources_profile_has_the_sources_values(host, key, value):
    (tail,) = read(host, "/etc/crowsnest/telegraf_source")["inputs"]["tail"]

    assert tail[key] == value


def test_the_sources_profile_writes_to_a_socket(host):
    tree = read(host, "/etc/crowsnest/telegraf_source")

    assert (tree["agent"]["interval"], tree["agent"]["flush_interval"]) == ("1s", "1s")
    assert [(one["address"], one["data_format"]) for one in tree["outputs"]["socket_writer"]] == [
        ("tcp://questdb:9997", "influx")
    ]
