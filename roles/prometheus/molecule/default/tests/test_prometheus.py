"""What promtool says of the placed files, and what they hold."""

import pytest
import yaml

FOLDER = "/etc/crowsnest/prometheus"
REHEARSAL = "/etc/crowsnest/rehearsal"


def tree(host, path):
    return yaml.safe_load(host.file(path).content_string)


def rules(host, folder):
    files = host.check_output(f"ls {folder}/rules").split()
    return [rule for name in files for group in tree(host, f"{folder}/rules/{name}")["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("folder", [FOLDER, REHEARSAL])
def test_promtool_accepts_everything_together(host, folder):
    assert "SUCCESS" in host.check_output(f"promtool check config {folder}/prometheus.yml 2>&1")


def test_files_are_readable_for_the_component_only(host):
    for path in (f"{FOLDER}/prometheus.yml", f"{FOLDER}/rules/recording.rules.yml"):
        file = host.file(path)
        assert (file.uid, file.gid, file.mode) == (0, 10070, 0o440)


def test_one_calendar_is_placed_and_what_is_no_more_is_removed(host):
    assert [name for name in host.check_output(f"ls {FOLDER}/rules").split() if "market" in name] == [
        "market_us_equities.rules.yml"
    ]
    assert [name for name in host.check_output(f"ls {REHEARSAL}/rules").split() if "market" in name] == [
        "market_always.rules.yml"
    ]
    assert not host.file(f"{FOLDER}/rules/old.rules.yml").exists


def test_targets_of_one_job_keep_their_own_paths(host):
    jobs = {job["job_name"]: job for job in tree(host, f"{FOLDER}/prometheus.yml")["scrape_configs"]}
    paths = [group["labels"]["__metrics_path__"] for group in jobs["strategies"]["static_configs"]]

    assert paths == ["/metrics", "/other"]
    assert jobs["probe_tcp"]["params"] == {"module": ["tcp"]}


def test_a_rehearsal_waits_for_nothing_longer_and_the_rest_as_written(host):
    waits = {rule["for"] for rule in rules(host, REHEARSAL) if "alert" in rule}
    assert waits == {"0s", "2s"}
    by_name = {rule["alert"]: rule["for"] for rule in rules(host, FOLDER) if "alert" in rule}
    assert by_name["HighErrorRate"] == "5m"


def test_a_bad_rule_is_refused_before_it_is_placed(host):
    before = host.file(f"{FOLDER}/rules/recording.rules.yml").sha256sum
    host.check_output("printf 'groups: [{name: x, rules: [{record: a, expr: \"sum(\"}]}]' > /tmp/bad.yml")
    assert host.run("promtool check rules /tmp/bad.yml").rc != 0
    assert host.file(f"{FOLDER}/rules/recording.rules.yml").sha256sum == before
