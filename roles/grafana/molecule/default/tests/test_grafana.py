"""What Grafana would read: who may read it, that no secret is in it, and that what was there before is gone."""

import json

import pytest
import yaml

FOLDER = "/etc/crowsnest/grafana"
ALONE = "/etc/crowsnest/grafana-alone"
UID = 10250
FILES = [
    "grafana.ini",
    "provisioning/datasources/crowsnest.yml",
    "provisioning/dashboards/crowsnest.yml",
    "provisioning/alerting/crowsnest.yml",
    "dashboards/crowsnest-trading.json",
    "ticks_password",
]


@pytest.mark.parametrize("name", FILES)
def test_files_are_readable_for_the_component_only(host, name):
    file = host.file(f"{FOLDER}/{name}")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o440)


def test_the_component_reaches_everything_and_writes_nothing(host):
    as_component = f"setpriv --reuid={UID} --regid={UID} --clear-groups"
    host.check_output(f"{as_component} find {FOLDER} -type f -exec cat {{}} +")
    assert host.run(f"{as_component} touch {FOLDER}/dashboards/mine.json").rc != 0


def test_the_only_password_is_the_copy_that_grafana_reads(host):
    assert host.check_output(f"grep -rl canary {FOLDER}") == f"{FOLDER}/ticks_password"


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith((".yml", ".json"))])
def test_files_can_be_read(host, name):
    text = host.file(f"{FOLDER}/{name}").content_string
    assert json.loads(text) if name.endswith("json") else yaml.safe_load(text)["apiVersion"] == 1


def test_a_dashboard_of_earlier_days_is_gone(host):
    assert sorted(host.file(f"{FOLDER}/dashboards").listdir()) == ["crowsnest-risk.json", "crowsnest-trading.json"]


def test_the_plugin_is_unpacked_and_belongs_to_root(host):
    file = host.file(f"{FOLDER}/plugins/a-datasource/plugin.json")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o640)


def test_an_archive_with_another_sum_is_refused(host):
    """As the role fetches it."""
    wrong = "url=file:///root/a-datasource.tar.gz dest=/root/again.tar.gz checksum=sha256:" + "0" * 64
    answer = host.ansible("get_url", wrong, check=False)

    assert "checksum" in answer["msg"]
    assert not host.file("/root/again.tar.gz").exists


def test_alone_it_is_editable_and_believes_nobody(host):
    (provider,) = yaml.safe_load(host.file(f"{ALONE}/provisioning/dashboards/crowsnest.yml").content_string)["providers"]
    ini = host.file(f"{ALONE}/grafana.ini").content_string

    assert provider["allowUiUpdates"] is True
    assert "header_name" not in ini
    assert "disable_login_form = false" in ini
