"""The files are placed and hold what they must. Alloy itself is in no package; tests/e2e/test_log_metrics.py runs it."""

import pytest

UID = 10160
FOLDERS = ["/etc/alloy", "/etc/alloy-containers"]


def config(host, folder="/etc/alloy"):
    return host.file(f"{folder}/config.alloy").content_string


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", ["config.alloy", "lines.alloy"])
def test_files_are_readable_for_the_component_only(host, folder, name):
    file = host.file(f"{folder}/{name}")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o440)


def test_both_files_were_checked(host):
    assert host.file("/run/alloy-was-called").content_string.count("checked") >= 2


def test_lines_and_metrics_have_a_reader_each(host):
    text = config(host)

    assert '"/var/log/trader/*.json"' in text
    assert text.count("loki.source.file ") == 2
    assert "loki.process.lines.receiver" in text
    assert "loki.process.metrics.receiver" in text


def test_loki_is_tried_for_ever_and_mimir_for_eight_hours(host):
    text = config(host)

    assert '"http://lines:9400/loki/api/v1/push"' in text
    assert "max_backoff_retries = 0" in text
    assert '"http://metrics:9401/api/v1/push"' in text
    assert 'max_keepalive_time = "8h"' in text


@pytest.mark.parametrize(
    ("folder", "interval", "timeout"), [("/etc/alloy", "5s", "4500ms"), ("/etc/alloy-containers", "30s", "10000ms")]
)
def test_it_reads_its_own_metrics_within_the_interval(host, folder, interval, timeout):
    text = config(host, folder)

    assert '__address__ = "127.0.0.1:9402"' in text
    assert f'scrape_interval = "{interval}"' in text
    assert f'scrape_timeout  = "{timeout}"' in text


def test_metrics_of_containers_are_read_where_there_are_any(host):
    assert 'prometheus.scrape "containers"' not in config(host)
    assert '__address__ = "containers:9403", instance = "containers:9403", component = "exporter"' in config(
        host, "/etc/alloy-containers"
    )


def test_nothing_of_a_metric_is_forgotten_within_a_day_or_becomes_a_label_in_loki(host):
    text = host.file("/etc/alloy/lines.alloy").content_string

    assert text.count('max_idle_duration = "72h"') == text.count("max_idle_duration =") == 3
    assert 'values = ["component", "source", "strategy_id", "level", "dead_letter"]' in text
    for selector in ('{metric_type="gauge"}', '{metric_type="counter"}'):
        assert f"selector = `{selector}`" in text
