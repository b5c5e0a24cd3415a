"""The files are placed and hold what each profile needs. Vector itself is in no package and was not run here."""

import pytest
import yaml

UID = 10050
PROGRAMS = ["container.vrl", "read_json_file.vrl", "read_journald.vrl"]
FOLDERS = ["/etc/vector", "/etc/vector-journald", "/etc/vector-docker-logs"]


def configuration(host, folder):
    return yaml.safe_load(host.file(f"{folder}/vector.yaml").content_string)


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", ["vector.yaml", *PROGRAMS])
def test_files_are_readable_for_the_component_only(host, folder, name):
    file = host.file(f"{folder}/{name}")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o440)


def test_configuration_was_validated(host):
    assert host.file("/run/vector-was-called").content_string == "validate --no-environment /etc/vector/vector.yaml"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_input_exists(host, folder):
    tree = configuration(host, folder)
    outputs = {*tree["sources"], *tree["transforms"], "shape.json", "shape._unmatched"}

    for component in [*tree["transforms"].values(), *tree["sinks"].values()]:
        assert set(component["inputs"]) <= outputs


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_version_replaces_a_variable(host, folder):
    assert "$" not in host.file(f"{folder}/vector.yaml").content_string


@pytest.mark.parametrize(("folder", "source"), [("/etc/vector", "file"), ("/etc/vector-journald", "journald")])
def test_durable_profile_reads_from_a_checkpoint_and_acknowledges(host, folder, source):
    tree = configuration(host, folder)
    sink = tree["sinks"]["victorialogs"]

    assert [one["type"] for one in tree["sources"].values()] == [source, "internal_metrics"]
    assert sink["acknowledgements"] == {"enabled": True}
    assert (sink["buffer"]["type"], sink["buffer"]["when_full"]) == ("disk", "block")
    assert sink["query"] == {"_msg_field": "_msg", "_time_field": "_time", "_stream_fields": "source,container_name,level"}
    assert "docker.sock" not in host.file(f"{folder}/vector.yaml").content_string


@pytest.mark.parametrize(("folder", "playground"), [("/etc/vector", None), ("/etc/vector-journald", False)])
def test_versions_differ_in_the_key_that_one_refuses(host, folder, playground):
    assert configuration(host, folder)["api"].get("playground") is playground
