"""Vector's configuration as the role renders it: the conditions in it, run with pyVRL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import pyvrl
import yaml
from ansible.plugins.filter.core import to_json
from ansible.plugins.test.core import version_compare

ROLE = Path(__file__).resolve().parents[2] / "roles/vector"
REQUIRED = {
    "ansible_managed": "Ansible managed",
    "vector_container_config_directory": "/etc/vector",
    "vector_container_data_directory": "/var/lib/vector",
    "vector_version": "0.59",
    "vector_url": "http://store:9400",
    "vector_api_port": 8600,
    "vector_metrics_port": 9500,
}


def configuration(**chosen: object) -> dict[str, Any]:
    values = REQUIRED | yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8")) | chosen
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["to_json"] = to_json
    environment.tests["version"] = version_compare
    template = environment.from_string((ROLE / f"templates/{values['vector_profile']}.yaml.j2").read_text(encoding="utf-8"))
    return yaml.safe_load(template.render(values))


def is_chosen(name: str, **chosen: object) -> bool:
    return bool(
        pyvrl.Transform(configuration(**chosen)["transforms"]["chosen"]["condition"]["source"]).remap({"container_name": name})
    )


def test_every_container_is_chosen_unless_excluded() -> None:
    assert is_chosen("ntd-nginx")
    assert not is_chosen("ntd-vector", vector_containers_excluded=["ntd-vector"])
    assert is_chosen("ntd-vector-2", vector_containers_excluded=["ntd-vector"])


@pytest.mark.parametrize(
    ("name", "chosen"), [("ntd-redis", True), ("ntd-nginx", True), ("other", False), ("ntd-trader", False)]
)
def test_containers_are_chosen_by_prefix(name: str, chosen: bool) -> None:
    prefixes = ["ntd-redis", "ntd-n", "ntd-trader"]

    assert is_chosen(name, vector_containers=prefixes, vector_containers_excluded=["ntd-trader"]) is chosen


@pytest.mark.parametrize(
    "line",
    ["", "  File \"a.py\", line 1", "\tat a.b(C.java:1)", "Traceback (most recent call last):", "ValueError: x",
     "KeyboardInterrupt", "nautilus.core.OrderError: denied", "Caused by: x",
     "During handling of the above exception, another exception occurred:"],
)  # fmt: skip
def test_line_goes_on_with_a_record(line: str) -> None:
    assert pyvrl.Transform(configuration()["transforms"]["whole_records"]["starts_when"]).remap({"message": line}) is False


@pytest.mark.parametrize(
    "line", ["ready", "ERROR: x", "[1] ready", "Errors were found", "2026-11-21 17:02:24 ValueError: x", "-"]
)
def test_line_begins_a_record(line: str) -> None:
    assert pyvrl.Transform(configuration()["transforms"]["whole_records"]["starts_when"]).remap({"message": line}) is True


@pytest.mark.parametrize(("event", "ends"), [({"partial": True}, False), ({"partial": False}, True), ({}, True)])
def test_cut_line_ends_with_its_last_piece(event: dict[str, Any], ends: bool) -> None:
    assert pyvrl.Transform(configuration()["transforms"]["whole_lines"]["ends_when"]).remap(event) is ends


@pytest.mark.parametrize(("event", "wanted"), [({"drop_rule": "health_check"}, False), ({}, True)])
def test_what_a_drop_rule_names_is_not_stored(event: dict[str, Any], wanted: bool) -> None:
    assert pyvrl.Transform(configuration()["transforms"]["wanted"]["condition"]).remap(event) is wanted


@pytest.mark.parametrize("chosen", [{}, {"vector_source": "journald"}, {"vector_profile": "docker_logs"}])
@pytest.mark.parametrize("version", ["0.52", "0.59"])
def test_configuration_is_yaml_for_both_versions(chosen: dict[str, str], version: str) -> None:
    tree = configuration(vector_version=version, **chosen)

    assert ("playground" in tree["api"]) is (version == "0.52")
    assert tree["sinks"]["victorialogs"]["batch"] == {"max_bytes": 1048576, "timeout_secs": 1}
