"""Grafana's configuration as the role renders it: every key is one that Grafana documents, with the value that is wanted."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from crowsnest.api.identity.endpoints import ROLES_ELSEWHERE
from infra import gateway, grafana
from infra import settings as stack_settings
from infra.catalogue import catalogue
from infra.settings import API_ROLE, TICKS_READER, SettingsError, parse
from supply import images
from supply.errors import SupplyError

ROLE = Path(__file__).resolve().parents[2] / "roles/grafana"
EVERYTHING: dict[str, Any] = {
    "pipelines": {
        **dict.fromkeys(("logs", "trading", "viewer", "metrics", "gateway", "log_metrics", "ticks")),
        "dashboards": {"plugins": [{"id": grafana.LOGS_PLUGIN, "version": "0.21.2", "archive": "/p.zip", "sha256": "0" * 64}]},
    }
}
# Grafana documents these sections and keys (setup-grafana/configure-grafana); the value is what it has to be here. A key that
# is not in this table may not be in the file.
WANTED = {
    "paths": {
        "data": "/var/lib/grafana",
        "logs": "/var/lib/grafana/log",
        "plugins": "/etc/grafana/plugins",
        "provisioning": "/etc/grafana/provisioning",
    },
    "server": {
        "http_port": "3111",
        "root_url": "https://crow.lan/grafana/",
        "serve_from_sub_path": "true",
        "enable_gzip": "true",
    },
    "database": {"type": "sqlite3", "wal": "true"},
    "analytics": {
        "enabled": "false",
        "reporting_enabled": "false",
        "check_for_updates": "false",
        "check_for_plugin_updates": "false",
        "feedback_links_enabled": "false",
    },
    "news": {"news_feed_enabled": "false"},
    "plugins": {
        "preinstall_disabled": "true",
        "preinstall_auto_update": "false",
        "plugin_admin_enabled": "false",
        "public_key_retrieval_disabled": "true",
    },
    "security": {
        "admin_user": "admin",
        "admin_password": "$__file{/run/secrets/grafana_admin_password}",
        "secret_key": "$__file{/run/secrets/grafana_secret_key}",
        "disable_gravatar": "true",
        "cookie_secure": "true",
        "cookie_samesite": "strict",
        "allow_embedding": "false",
        "content_security_policy": "true",
        "content_security_policy_template": None,
    },
    "snapshots": {"enabled": "false", "external_enabled": "false"},
    "public_dashboards": {"enabled": "false"},
    "users": {
        "allow_sign_up": "false",
        "allow_org_create": "false",
        "auto_assign_org": "true",
        "auto_assign_org_role": "Viewer",
        "viewers_can_edit": "false",
    },
    "auth": {"disable_login_form": "true", "disable_signout_menu": "true"},
    "auth.anonymous": {"enabled": "false"},
    "auth.basic": {"enabled": "true"},
    "auth.proxy": {
        "enabled": "true",
        "header_name": "X-Webauth-User",
        "header_property": "username",
        "headers": "Role:X-Webauth-Role",
        "auto_sign_up": "true",
        "sync_ttl": "1",
        "whitelist": "10.0.0.0/8, 172.16.0.0/12",
        "enable_login_token": "false",
    },
    "dashboards": {
        "min_refresh_interval": "15s",
        "default_home_dashboard_path": "/etc/grafana/dashboards/crowsnest-trading.json",
    },
    "dataproxy": {"timeout": "30", "row_limit": "100000"},
    "unified_alerting": {"enabled": "true"},
    "log": {"mode": "console", "level": "info"},
    "log.console": {"format": "json"},
    "metrics": {"enabled": "true", "disable_total_stats": "true"},
}
# Fields of a datasource that Grafana's provisioning and the plugins document.
DATASOURCE_FIELDS = {
    "name",
    "uid",
    "type",
    "access",
    "orgId",
    "isDefault",
    "editable",
    "url",
    "user",
    "jsonData",
    "secureJsonData",
}
JSON_DATA = {
    "prometheus": {"httpMethod", "prometheusType", "timeInterval", "queryTimeout", "manageAlerts"},
    "loki": {"maxLines", "timeout", "manageAlerts", "derivedFields"},
    grafana.LOGS_PLUGIN: {"maxLines"},
    "grafana-postgresql-datasource": {
        *("database", "sslmode", "maxOpenConns", "maxIdleConns", "connMaxLifetime", "timescaledb", "timeInterval"),
    },
    "alertmanager": {"implementation", "handleGrafanaManagedAlerts"},
}


def everything() -> stack_settings.Settings:
    return parse("everything", EVERYTHING)


def rendered(template: str, **changes: object) -> str:
    described = grafana.described(everything())
    assert described is not None
    values = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8")) | {
        "ansible_managed": "Ansible managed",
        "grafana_container_config_directory": "/etc/grafana",
        "grafana_container_data_directory": "/var/lib/grafana",
        "grafana_port": 3111,
        "grafana_root_url": "https://crow.lan/grafana/",
        "grafana_behind_gateway": True,
        "grafana_trusted_proxies": ["10.0.0.0/8", "172.16.0.0/12"],
        "grafana_datasources": described["datasources"],
    }
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
    return environment.from_string((ROLE / "templates" / template).read_text(encoding="utf-8")).render(values | changes)


def ini(**changes: object) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(comment_prefixes=(";",), inline_comment_prefixes=None, strict=True)
    parser.read_string(rendered("grafana.ini.j2", **changes))
    return {name: dict(parser[name]) for name in parser.sections()}


def test_every_key_is_documented_and_has_the_value_that_is_wanted() -> None:
    made = ini()
    policy = made["security"].pop("content_security_policy_template")
    wanted = {name: {key: value for key, value in section.items() if value is not None} for name, section in WANTED.items()}
    assert made == wanted
    assert "grafana.com" not in policy
    assert "frame-ancestors 'none'" in policy


def test_without_a_gateway_people_sign_in_and_nobody_is_believed() -> None:
    made = ini(grafana_behind_gateway=False, grafana_root_url="http://127.0.0.1:3000/grafana/")
    assert made["auth.proxy"] == {"enabled": "false"}
    assert made["auth"]["disable_login_form"] == "false"
    assert made["auth.anonymous"]["enabled"] == "false"
    assert made["security"]["cookie_secure"] == "false"


def test_no_secret_stands_in_a_file() -> None:
    for template in ("grafana.ini.j2", "datasources/crowsnest.yml.j2"):
        for line in rendered(template).splitlines():
            if re.search(r"password\b.*[:=]|secret_key\s*=", line):
                assert "$__file{" in line, line


def test_every_field_of_a_datasource_is_documented() -> None:
    made = yaml.safe_load(rendered("datasources/crowsnest.yml.j2"))
    assert set(made) == {"apiVersion", "prune", "datasources"}
    assert [one["uid"] for one in made["datasources"]] == [grafana.uid(name) for name in grafana.DATASOURCES]
    for one in made["datasources"]:
        assert set(one) <= DATASOURCE_FIELDS
        assert set(one.get("jsonData", {})) <= JSON_DATA[one["type"]]
        assert one["editable"] is False
    assert [one["name"] for one in made["datasources"] if one["isDefault"]] == ["Prometheus"]


def test_datasources_are_where_the_catalogue_has_them() -> None:
    made = {one["name"]: one for one in yaml.safe_load(rendered("datasources/crowsnest.yml.j2"))["datasources"]}
    ports = {name: catalogue()[one.component].ports[one.port].container for name, one in grafana.DATASOURCES.items()}
    assert made["Prometheus"]["url"] == f"http://prometheus:{ports['prometheus']}"
    assert made["Mimir"]["url"] == f"http://mimir:{ports['mimir']}/prometheus"
    assert made["PostgreSQL"]["url"] == f"postgresql:{ports['postgresql']}"
    assert made["QuestDB"]["url"] == f"questdb:{ports['questdb']}"
    assert made["QuestDB"]["user"] == TICKS_READER
    assert made["QuestDB"]["jsonData"]["timeInterval"] == "1ms"  # S4-20
    assert made["Mimir"]["jsonData"]["timeInterval"] == "5s"
    assert made["Loki"]["jsonData"]["derivedFields"][0]["url"].endswith("=$${__value.raw}")


def test_dashboards_are_read_only_unless_the_source_s_way_is_chosen() -> None:
    (provider,) = yaml.safe_load(rendered("dashboards/crowsnest.yml.j2"))["providers"]
    # S3-44, but for allowUiUpdates and the folder, which the source fills with what is not a dashboard.
    assert provider == {
        "name": "default",
        "orgId": 1,
        "folder": "",
        "type": "file",
        "disableDeletion": False,
        "updateIntervalSeconds": 10,
        "allowUiUpdates": False,
        "options": {"path": "/etc/grafana/dashboards"},
    }
    (editable,) = yaml.safe_load(rendered("dashboards/crowsnest.yml.j2", grafana_editable=True))["providers"]
    assert editable["allowUiUpdates"] is True
    sources = yaml.safe_load(rendered("datasources/crowsnest.yml.j2", grafana_editable=True))["datasources"]
    assert all(one["editable"] for one in sources)


def test_alerts_made_in_grafana_reach_the_same_people() -> None:
    made = yaml.safe_load(rendered("alerting/crowsnest.yml.j2"))
    (point,) = made["contactPoints"]
    (receiver,) = point["receivers"]
    assert receiver["type"] == "prometheus-alertmanager"
    assert receiver["settings"] == {"url": catalogue()["alertmanager"].url()}
    assert made["policies"][0]["receiver"] == point["name"]
    assert yaml.safe_load(rendered("alerting/crowsnest.yml.j2", grafana_datasources=[])) == {"apiVersion": 1}


def test_the_path_is_the_gateway_s() -> None:
    entry = catalogue()[grafana.NAME]
    path = gateway.TOOLS[grafana.NAME].path
    assert entry.probe.http is not None
    assert entry.probe.http.path == f"{path}/api/health"
    assert entry.metrics["grafana"].path == f"{path}/metrics"
    assert grafana.root_url(everything()) == f"https://localhost{path}/"


def test_roles_of_the_gateway_are_grafana_s() -> None:
    assert set(ROLES_ELSEWHERE.values()) <= {"Viewer", "Editor", "Admin"}


# What a stack gets


def test_a_stack_gets_the_dashboards_whose_stores_it_has() -> None:
    with_all = set(grafana.dashboards(everything()))
    assert with_all == {path.name for path in grafana.DASHBOARDS.glob("*.json")}
    few = parse("few", {"pipelines": {"logs": None, "metrics": None, "dashboards": None}})
    assert set(grafana.datasources(few)) == {"prometheus", "alertmanager"}
    left_out = {"crowsnest-logs.json", "crowsnest-ticks.json", "crowsnest-lifecycle.json"}
    left_out |= {"crowsnest-latency.json", "crowsnest-reconciliation.json"}
    assert with_all - set(grafana.dashboards(few)) == left_out


def test_without_its_plugin_victorialogs_is_left_to_the_viewer() -> None:
    tree = {"pipelines": {**EVERYTHING["pipelines"], "dashboards": None}}
    made = parse("x", tree)
    assert "victorialogs" not in grafana.datasources(made)
    assert "crowsnest-logs.json" not in grafana.dashboards(made)


def test_grafana_reads_the_database_as_a_user_of_its_own() -> None:
    roles = {role["name"]: role for role in everything().database_roles}
    assert roles[grafana.ROLE]["member_of"] == [grafana.READS]
    assert str(roles[grafana.ROLE]["password_file"]).endswith("grafana_database_password")
    assert list(roles).index(grafana.ROLE) < list(roles).index(API_ROLE)


def test_dashboards_without_metrics_are_refused() -> None:
    with pytest.raises(SettingsError, match="choose the pipeline metrics, too"):
        parse("x", {"pipelines": {"logs": None, "dashboards": None}})


@pytest.mark.parametrize(
    "plugin",
    [
        {"id": "x", "version": "1.0.0", "archive": "http://elsewhere/p.zip", "sha256": "0" * 64},
        {"id": "x", "version": "1.0.0", "archive": "/p.zip", "sha256": "0" * 63},
        {"id": "X/../y", "version": "1.0.0", "archive": "/p.zip", "sha256": "0" * 64},
        {"id": "x", "version": "1.0.0", "archive": "/p.zip"},
    ],
)
def test_a_plugin_that_cannot_be_checked_is_refused(plugin: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="plugins"):
        parse("x", {"pipelines": {"metrics": None, "dashboards": {"plugins": [plugin]}}})


def test_the_packages_supply_says_that_it_has_no_grafana() -> None:
    with pytest.raises(SupplyError, match="grafana cannot be built from packages: choose `supply: auto` or `upstream`"):
        images.packages_reference(catalogue()[grafana.NAME])
