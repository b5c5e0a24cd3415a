"""The configuration of Prometheus and Alertmanager as the roles render it, checked and routed by the real programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.plugins.filter.core import combine, fileglob, regex_replace, to_json

from infra import settings as stack_settings
from infra.settings import parse
from scripts import rules
from tests import checkers

ROLES = Path(__file__).resolve().parents[2] / "roles"
RECEIVERS = [
    {"name": "desk", "type": "slack", "severities": ["critical", "warning"], "channel": "#desk"},
    {"name": "phone", "type": "telegram", "severities": ["critical"], "chat_id": -1001234567890},
    {"name": "pager", "type": "pagerduty", "severities": ["critical"]},
    {
        "name": "mail",
        "type": "email",
        "severities": ["warning"],
        "to": "a@example.com",
        "sender": "b@example.com",
        "smarthost": "c:587",
    },
    {"name": "hook", "type": "webhook", "severities": ["critical", "warning"]},
]
QUIET = {"begin": "22:00", "end": "07:00", "location": "America/New_York"}


def rendered(role: str, template: str, **values: Any) -> str:
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters |= {"to_json": to_json, "combine": combine, "regex_replace": regex_replace, "fileglob": fileglob}
    environment.tests["contains"] = lambda members, one: one in members
    environment.globals["lookup"] = lambda _plugin, path, **_options: Path(path).read_text()
    defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    text = (ROLES / role / "templates" / template).read_text()
    return environment.from_string(text).render({"ansible_managed": "Ansible managed", **defaults, **values})


def alertmanager(folder: Path, **values: Any) -> Path:
    (folder / "messages.tmpl").write_text(rendered("alertmanager", "messages.tmpl.j2"))
    (folder / "receivers").mkdir(exist_ok=True)
    file = folder / "alertmanager.yml"
    chosen = {"alertmanager_receivers": RECEIVERS, "alertmanager_heartbeat": True, "alertmanager_quiet_hours": QUIET, **values}
    file.write_text(
        rendered("alertmanager", "alertmanager.yml.j2", alertmanager_container_config_directory=str(folder), **chosen)
    )
    return file


def prometheus(folder: Path, stack: str = "full") -> Path:
    described = stack_settings.read(stack).describe()["metrics"]
    assert isinstance(described, dict)
    (folder / "rules").mkdir()
    for path in (rules.RULES / "prometheus").glob("*.rules.yml"):
        if path.name != "market_us_equities.rules.yml":
            (folder / "rules" / path.name).write_text(path.read_text())
    file = folder / "prometheus.yml"
    file.write_text(
        rendered(
            "prometheus",
            "prometheus.yml.j2",
            prometheus_stack=stack,
            prometheus_targets=described["targets"],
            prometheus_probes=described["probes"],
            prometheus_prober="prober:9900",
            prometheus_alertmanager="alertmanager:9901",
        )
    )
    return file


# Prometheus


@pytest.mark.parametrize("stack", ["full", "base", "prod"])
def test_promtool_accepts_the_configuration_of_each_stack_with_its_rules(tmp_path, stack):
    checked = checkers.run("promtool", "check", "config", prometheus(tmp_path, stack))

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(list((tmp_path / 'rules').iterdir()))} rule files found" in checked.stdout


def test_intervals_are_those_of_the_source(tmp_path):
    tree = yaml.safe_load(prometheus(tmp_path).read_text())["global"]

    assert (tree["scrape_interval"], tree["evaluation_interval"]) == ("15s", "15s")


def test_every_target_and_probe_of_the_stack_is_there(tmp_path):
    tree = yaml.safe_load(prometheus(tmp_path).read_text())
    described = stack_settings.read("full").describe()["metrics"]
    found = {
        target
        for job in tree["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }  # fmt: skip

    assert found == {one["address"] for one in described["targets"]} | {one["target"] for one in described["probes"]}


def test_a_rehearsal_shortens_waits_and_nothing_else():
    folder = rules.RULES / "prometheus"
    values = {"prometheus_rules_directory": str(folder), "item": "trading_alerts.rules.yml"}
    written = rendered("prometheus", "rules.yml.j2", **values)
    short = yaml.safe_load(rendered("prometheus", "rules.yml.j2", prometheus_longest_wait_seconds=2, **values))
    before = yaml.safe_load(written)

    assert written.strip() == (folder / "trading_alerts.rules.yml").read_text().strip()
    assert {rule["for"] for rule in short["groups"][0]["rules"]} == {"0s", "2s"}
    assert short["groups"][0]["interval"] == "1s"
    for old, new in zip(before["groups"][0]["rules"], short["groups"][0]["rules"], strict=True):
        assert {**old, "for": ""} == {**new, "for": ""}


# Alertmanager


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"alertmanager_receivers": [], "alertmanager_heartbeat": False, "alertmanager_quiet_hours": {}},
        {"alertmanager_quiet_hours": {"begin": "12:00", "end": "13:00", "location": "UTC"}},
        {"alertmanager_quiet_hours": {"begin": "22:00", "end": "00:00", "location": "UTC"}},
    ],
)
def test_amtool_accepts_the_configuration(tmp_path, chosen):
    checked = checkers.run("amtool", "check-config", alertmanager(tmp_path, **chosen))

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "SUCCESS" in checked.stdout


@pytest.mark.parametrize(
    ("receiver", "labels"),
    [
        ("critical", {"alertname": "KillSwitchActive", "severity": "critical", "topic": "kill_switch"}),
        ("critical", {"alertname": "DrawdownBreaker", "severity": "critical", "topic": "drawdown", "level": "breaker"}),
        ("warning", {"alertname": "DrawdownWarning", "severity": "warning", "topic": "drawdown"}),
        ("heartbeat", {"alertname": "Watchdog", "severity": "none", "topic": "watchdog"}),
        ("nobody", {"alertname": "SomethingElse"}),
    ],
)
def test_an_alert_goes_to_whom_it_concerns(tmp_path, receiver, labels):
    words = [f"{name}={value}" for name, value in labels.items()]
    file = alertmanager(tmp_path)
    routed = checkers.run(
        "amtool", "config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receiver}", *words
    )

    assert routed.returncode == 0, routed.stdout + routed.stderr


@pytest.mark.parametrize("alert", rules.alerts(), ids=lambda alert: alert.name)
def test_every_alert_has_somebody_who_hears_of_it(tmp_path, alert):
    words = [f"{name}={value}" for name, value in {"alertname": alert.name, **alert.labels}.items()]
    routed = checkers.run("amtool", "config", "routes", "test", f"--config.file={alertmanager(tmp_path)}", *words)

    expected = {"critical": "critical", "warning": "warning", "none": "heartbeat"}[alert.row["severity"]]
    assert routed.stdout.strip() == expected


def test_without_a_heartbeat_watchdog_goes_to_nobody(tmp_path):
    file = alertmanager(tmp_path, alertmanager_heartbeat=False)
    routed = checkers.run("amtool", "config", "routes", "test", f"--config.file={file}", "alertname=Watchdog", "severity=none")

    assert routed.stdout.strip() == "nobody"


def test_quiet_hours_hold_warnings_and_never_critical_alerts(tmp_path):
    tree = yaml.safe_load(alertmanager(tmp_path).read_text())
    muted = {route["receiver"]: route.get("mute_time_intervals", []) for route in tree["route"]["routes"]}

    assert muted == {"heartbeat": [], "critical": [], "warning": ["quiet_hours"]}
    times = [one["times"][0] for one in tree["time_intervals"][0]["time_intervals"]]
    assert times == [{"start_time": "22:00", "end_time": "24:00"}, {"start_time": "00:00", "end_time": "07:00"}]


def test_each_receiver_hears_of_its_severities_only(tmp_path):
    tree = yaml.safe_load(alertmanager(tmp_path).read_text())
    kinds = {
        receiver["name"]: {key.removesuffix("_configs") for key in receiver if key != "name"} for receiver in tree["receivers"]
    }

    assert kinds["critical"] == {"slack", "telegram", "pagerduty", "webhook"}
    assert kinds["warning"] == {"slack", "email", "webhook"}


def test_the_heartbeat_comes_every_five_minutes_and_is_never_resolved(tmp_path):
    tree = yaml.safe_load(alertmanager(tmp_path).read_text())
    route = tree["route"]["routes"][0]
    (heartbeat,) = (receiver for receiver in tree["receivers"] if receiver["name"] == "heartbeat")

    # The first look after the repetition is due is the tenth of the group's, at 300 s.
    assert (route["group_interval"], route["repeat_interval"]) == ("30s", "270s")
    assert heartbeat["webhook_configs"][0]["send_resolved"] is False


def test_no_secret_stands_in_the_configuration(tmp_path):
    text = alertmanager(tmp_path).read_text()

    for receiver in RECEIVERS:
        assert f"receivers/{receiver['name']}" in text
    for word in ("api_url:", "bot_token:", "routing_key:", "auth_password:", " url:"):
        assert word not in text


def test_a_message_says_what_is_the_case_and_where_to_read_on(tmp_path):
    template, data = tmp_path / "messages.tmpl", tmp_path / "data.json"
    bases = {"alertmanager_runbook_base": "https://docs/", "alertmanager_dashboard_base": "https://grafana"}
    template.write_text(rendered("alertmanager", "messages.tmpl.j2", **bases))
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": name, "stack": "prod"},
            "annotations": {
                "summary": f"{name} is <b>bad</b>",
                "description": "Of 5 %.",
                "runbook_url": f"docs/runbooks/{name}.md",
                "dashboard_url": "/d/crowsnest-risk",
            },
        }
        for name in ("DrawdownWarning", "PDTWarning")
    ]
    data.write_text(json.dumps({"status": "firing", "commonLabels": {"severity": "warning"}, "alerts": alerts}))
    text = '{{ template "crowsnest.title" . }}\n{{ template "crowsnest.text" . }}'
    words = [f"--template.glob={template}", f"--template.data={data}", f"--template.text={text}", "--template.type=text"]
    done = checkers.run("amtool", "template", "render", *words)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("WARNING: DrawdownWarning is <b>bad</b> and more")
    assert "PDTWarning on prod: PDTWarning is <b>bad</b>\nOf 5 %." in done.stdout
    assert "runbook: https://docs/docs/runbooks/PDTWarning.md" in done.stdout
    assert "dashboard: https://grafana/d/crowsnest-risk" in done.stdout


def test_settings_and_role_agree_on_receivers():
    described = parse("x", {"pipelines": {"metrics": {"receivers": RECEIVERS, "quiet_hours": QUIET}}}).describe()["metrics"]

    assert described["receivers"] == RECEIVERS
    assert described["quiet_hours"] == QUIET


def test_password_document_holds_the_secret_under_each_key_and_shows_it_to_nobody(tmp_path):
    secret, path = tmp_path / "secret", tmp_path / "passwords.json"
    secret.write_text("canary\n")
    arguments = {"source": str(secret), "path": str(path), "keys": ["a", "b"], "mode": "0440"}

    def run(**more: object) -> tuple[dict[str, Any], str]:
        done = subprocess.run(
            [sys.executable, ROLES / "redis_exporter/library/password_document.py"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, **more}}),
            capture_output=True, text=True, check=False, timeout=60, env={**os.environ},
        )  # fmt: skip
        return json.loads(done.stdout), done.stdout + done.stderr

    checked, _ = run(_ansible_check_mode=True)
    assert checked["changed"]
    assert not path.exists()
    first, said = run()
    second, _ = run()
    assert (first["changed"], second["changed"]) == (True, False)
    assert json.loads(path.read_text()) == {"a": "canary", "b": "canary"}
    assert path.stat().st_mode & 0o7777 == 0o440
    assert "canary" not in said
    secret.write_text("")
    empty, _ = run()
    assert empty["failed"]
    assert "run the secrets role first" in empty["msg"]
