"""A stack's settings: what the five stacks contain, and how bad input is answered."""

from __future__ import annotations

import pytest
import yaml

from infra import settings as stack_settings
from infra.catalogue import catalogue
from infra.settings import CONFIG_KEY, SettingsError, parse


def names(stack: str) -> list[str]:
    return [component.name for component in stack_settings.read(stack).components]


def test_the_stacks_hold_what_the_design_says():
    assert names("dev") == ["postgresql", "redis"]
    assert names("demo") == ["victorialogs", "alloy", "postgresql", "trader", "api"]
    metrics = ["prometheus", "alertmanager", "node-exporter", "blackbox-exporter", "cadvisor"]
    log_metrics = ["mimir", "loki", "alloy-trader"]
    assert names("base") == ["victorialogs", "vector", "api", "caddy", *log_metrics, *metrics, "grafana"]
    assert set(names("base")) < set(names("prod"))
    assert "trader" in names("prod")
    # A stack has one collector; this one has only what can be built from packages.
    assert set(names("full")) == set(catalogue().components) - {"vector", "cadvisor", "grafana"}


@pytest.mark.parametrize("stack", stack_settings.stack_names())
def test_every_published_address_is_on_loopback_and_unique(stack):
    settings = stack_settings.read(stack)
    assert all("127.0.0.1:" in url or url.startswith("https://localhost") for url in settings.urls.values())
    assert settings.listen == "127.0.0.1"
    assert len(set(settings.urls.values())) == len(settings.urls)


def test_full_runs_beside_any_other_stack():
    full = stack_settings.read("full")
    for other in map(stack_settings.read, set(stack_settings.stack_names()) - {"full"}):
        assert full.name_prefix != other.name_prefix
        assert not set(full.urls.values()) & set(other.urls.values())


LOGS = {"pipelines": {"logs": None}}


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        ({**LOGS, "retnetion": 1}, "x: retnetion: unknown key; remove it or correct its name"),
        ({"pipelines": {"logs": {"retention": {"time": "-14d", "size": "1GiB"}}}}, "'-14d' is not a duration"),
        ({"pipelines": {"logs": {"retention": {"time": "0d", "size": "1GiB"}}}}, "'0d' is not a duration"),
        ({"pipelines": {"logs": {"retention": {"time": "14d", "size": "-1GiB"}}}}, "'-1GiB' is not a size"),
        ({"pipelines": {}}, "choose at least one pipeline of logs, trading, viewer, metrics, gateway, log_metrics"),
        ({"pipelines": {"viewer": None}}, "viewer shows what logs stores; choose the pipeline logs, too"),
        (
            {"pipelines": {"logs": None, "viewer": {"trusted_proxies": ["gateway"]}}},
            "does not appear to be an IPv4 or IPv6 network",
        ),
        (
            {"pipelines": {"metrics": {"receivers": [{"name": "x", "type": "telegram"}]}}},
            "x: a receiver of type telegram needs chat_id",
        ),
        (
            {"pipelines": {"metrics": {"receivers": [{"name": "x", "type": "webhook", "to": "a"}]}}},
            "x: a receiver of type webhook takes no to",
        ),
        ({"pipelines": {"metrics": {"receivers": [{"name": "heartbeat", "type": "slack"}]}}}, "the name heartbeat is taken"),
        (
            {
                "pipelines": {
                    "metrics": {"receivers": [{"name": "x", "type": "email", "to": "a", "sender": "b", "smarthost": "c"}]}
                }
            },
            "smarthost",
        ),
        ({"pipelines": {"metrics": {"quiet_hours": {"begin": "25:00", "end": "07:00"}}}}, "quiet_hours.begin"),
        ({"pipelines": {"metrics": {"scrape_seconds": 0}}}, "scrape_seconds"),
        ({"pipelines": {"metrics": {"targets": [{"job": "a", "address": "http://b:1"}]}}}, "targets.0.address"),
        ({"pipelines": {"log_metrics": {"retention": {"lines": "12h"}}}}, "'12h' is below what this store can keep"),
        ({"pipelines": {"log_metrics": {"retention": {"metrics": "for ever"}}}}, "'for ever' is not a duration"),
        ({"pipelines": {"log_metrics": {"retention": {"size": "1GiB"}}}}, "log_metrics.retention.size: unknown key"),
        ({"pipelines": {"log_metrics": {"scrape_seconds": 0}}}, "scrape_seconds"),
        ({"pipelines": {"lgos": None}}, "x: pipelines.lgos: unknown key"),
        ({**LOGS, "publish": ["redis.resp"]}, "'redis.resp' is not a port of this stack; choose from victorialogs.http"),
        ({**LOGS, "publish": ["victorialogs.http"] * 2}, "is claimed by both victorialogs.http and victorialogs.http"),
        ({**LOGS, "publish": ["victorialogs.http"], "port_offset": 65000}, "beyond 65535"),
        ({**LOGS, "memory_mb": {"redis": 1}}, "'redis' does not run in this stack"),
        ({**LOGS, "supply": "magic"}, "Input should be 'auto', 'upstream' or 'packages'"),
        ({**LOGS, "docker_host": "tcp://10.0.0.1:2375"}, "docker_host"),
        ({**LOGS, "name_prefix": "Crows Nest"}, "name_prefix"),
        ({"pipelines": {"trading": {"trader": {"bars_per_second": -1}}}}, "bars_per_second"),
        ([], "must be a mapping"),
    ],
)
def test_bad_input_gets_one_clear_line(tree, line):
    with pytest.raises(SettingsError) as caught:
        parse("x", tree)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_every_problem_is_named_at_once():
    with pytest.raises(SettingsError) as caught:
        parse("x", {**LOGS, "one": 1, "two": 2})
    assert len(str(caught.value).splitlines()) == 2


def test_an_unknown_stack_names_the_known_ones():
    with pytest.raises(SettingsError, match="there is no stack 'nope'; choose from base, demo, dev, full, prod"):
        stack_settings.read("nope")


@pytest.mark.parametrize("text", ["a: [", "[]", "config: {other: 1}", ""])
def test_an_unusable_file_is_refused(tmp_path, text):
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"Pulumi\.x\.yaml"):
        stack_settings.read("x", path)


def test_a_file_of_ones_own_is_read(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"config": {CONFIG_KEY: LOGS}}))
    assert [one.name for one in stack_settings.read("own", path).components] == ["victorialogs", "vector"]


def test_description_tells_ansible_every_place(monkeypatch):
    facts = stack_settings.read("prod").describe()
    by_name = {component["name"]: component for component in facts["components"]}
    assert by_name["redis"]["config_dir"] == f"{facts['config_dir']}/redis"
    assert by_name["postgresql"]["secrets"]["postgresql_password"].startswith(facts["secrets_dir"])
    assert by_name["blackbox-exporter"]["data_dir"] is None


@pytest.mark.parametrize(("writer", "reader"), [("trader", "alloy-trader"), ("ticker", "telegraf")])
def test_a_folder_that_another_component_reads_has_that_ones_group(writer, reader):
    facts = stack_settings.read("full").describe()
    folder = stack_settings.read("full").folders.data / writer / "logs"

    expected = {"path": str(folder), "owner": catalogue()[writer].uid, "group": catalogue()[reader].uid}
    assert [shared for shared in facts["shared_folders"] if shared["group"] == expected["group"]] == [expected]
    assert len(facts["shared_folders"]) == 2
    assert stack_settings.read("dev").describe()["shared_folders"] == []


def test_what_else_goes_to_mimir_is_told_to_who_reads_the_traders_logs():
    facts = stack_settings.read("full").describe()

    assert [target["job"] for target in facts["log_metrics"]["targets"]] == ["containers"]
    alone = parse("x", {"pipelines": {"log_metrics": {"scrape_seconds": 3}}}).describe()
    assert alone["log_metrics"] == {"retention": {"lines": "14d", "metrics": "30d"}, "scrape_seconds": 3, "targets": []}
    assert stack_settings.read("dev").describe()["log_metrics"] is None
