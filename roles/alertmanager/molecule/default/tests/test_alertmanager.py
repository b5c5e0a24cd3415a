"""What is placed, who may read it, and where secrets stand."""

import pytest
import yaml

FOLDER = "/etc/crowsnest/alertmanager"
UID = 10080


@pytest.mark.parametrize(
    "name", ["alertmanager.yml", "messages.tmpl", "receivers/desk", "receivers/phone", "receivers/heartbeat"]
)
def test_file_is_readable_for_the_component_only(host, name):
    file = host.file(f"{FOLDER}/{name}")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o440)


def test_secrets_stand_in_their_own_files_only(host):
    assert host.check_output(f"grep -rl canary {FOLDER} | sort").split() == [
        f"{FOLDER}/receivers/{name}" for name in ("desk", "heartbeat", "phone")
    ]


def test_receivers_name_the_files_as_the_container_sees_them(host):
    tree = yaml.safe_load(host.file(f"{FOLDER}/alertmanager.yml").content_string)
    (critical,) = (one for one in tree["receivers"] if one["name"] == "critical")

    assert critical["telegram_configs"][0]["bot_token_file"] == "/etc/alertmanager/receivers/phone"
    assert critical["telegram_configs"][0]["chat_id"] == -100123
    assert critical["webhook_configs"][0]["url_file"] == "/etc/alertmanager/receivers/desk"


def test_links_of_a_message_have_the_address_of_the_dashboards(host):
    assert (
        "dashboard: https://grafana.example.com{{ $alert.Annotations.dashboard_url }}"
        in host.file(f"{FOLDER}/messages.tmpl").content_string
    )
