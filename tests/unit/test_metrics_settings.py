"""The settings of a trading process: file, variables over it, and every mistake named."""

from __future__ import annotations

import pytest

from crowsnest.settings import METRICS_PORTS, SettingsError, load_settings


def test_the_defaults_are_those_of_the_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(env={})
    assert settings.monitoring.prometheus_port == 8001
    assert settings.monitoring.health_check_interval_seconds == 60
    assert dict(METRICS_PORTS) == {"data_plane": 8000, "order_plane": 8001, "strategy_plane": 8002, "trading": 8001}


def test_variables_win_over_the_file_and_the_file_over_defaults(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/settings.yaml").write_text(
        "monitoring:\n  prometheus_port: 9101\n  health_check_interval_seconds: 45\n"
    )
    monkeypatch.chdir(tmp_path)
    settings = load_settings(env={"SA_MONITORING__PROMETHEUS_PORT": "8002", "SA_EXECUTION__X": "the application's"})
    assert settings.monitoring.prometheus_port == 8002
    assert settings.monitoring.health_check_interval_seconds == 45
    both = {"SA_MONITORING__PROMETHEUS_PORT": "8002", "SA_MONITORING__HEALTH_CHECK_INTERVAL_SECONDS": "30"}
    assert load_settings(env=both).monitoring.health_check_interval_seconds == 30
    assert load_settings(env={"SA_MONITORING__PROMETHEUS_PORT": " "}).monitoring.prometheus_port == 9101


def test_json_needs_no_package_and_an_empty_section_is_the_default(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"monitoring": null, "broker": {"name": "ibkr"}}')
    settings = load_settings(path, env={"SA_MONITORING__PROMETHEUS_PORT": "8002"}, other_sections=["broker"])
    assert settings.monitoring.prometheus_port == 8002


@pytest.mark.parametrize(
    ("text", "env", "message"),
    [
        ('{"moon": {}}', {}, "moon: unknown; known are monitoring"),
        ('{"monitoring": {"prot": 1}}', {}, "monitoring.prot: unknown; known are monitoring.health_check"),
        ('{"monitoring": {"prometheus_port": "8001"}}', {}, "monitoring.prometheus_port='8001': must be a whole number"),
        ('{"monitoring": {"prometheus_port": true}}', {}, "must be a whole number"),
        ('{"monitoring": {"prometheus_port": 65536}}', {}, "must be between 0 and 65535"),
        ('{"monitoring": {"prometheus_port": null}}', {}, "must have a value"),
        ('{"monitoring": 3}', {}, "monitoring: must be a section"),
        ("[1]", {}, "must hold sections with keys"),
        ("{", {}, "settings.json: "),
        ("{}", {"SA_MONITORING__PROT": "1"}, "SA_MONITORING__PROT: unknown"),
        ("{}", {"SA_MONITORING__PROMETHEUS_PORT": "x"}, "SA_MONITORING__PROMETHEUS_PORT='x': must be a whole number"),
        ("{}", {"SA_MONITORING__HEALTH_CHECK_INTERVAL_SECONDS": "nan"}, "must be finite"),
        ("{}", {"SA_MONITORING__HEALTH_CHECK_INTERVAL_SECONDS": "0"}, "must be between 1 and 86400"),
        ('{"monitoring": 3}', {"SA_MONITORING__PROMETHEUS_PORT": "1"}, "monitoring is no section"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, env, message):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, env=env)
    assert message in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"moon": 1, "monitoring": {"prometheus_port": -1}}')
    with pytest.raises(SettingsError) as caught:
        load_settings(path, env={})
    assert len(str(caught.value).splitlines()) == 2


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.yaml", env={})
