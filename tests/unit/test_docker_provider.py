"""The pure parts of the Docker provider: tables, checks, differences, and reading back what was declared. No daemon."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from supply.docker_provider import differ, mapping, schema, units, wire
from supply.docker_provider.container import Container, creation, limit_update
from supply.docker_provider.daemon import APIError, NotFound
from supply.docker_provider.image import RemoteImage
from supply.docker_provider.inspect import Difference, differences, read_container, read_network, read_volume
from supply.docker_provider.network import Network
from supply.docker_provider.resource import Resource
from supply.docker_provider.schema import Change
from supply.docker_provider.volume import Volume

MEBIBYTE = 1024 * 1024
ID = "ab" * 32
IMAGE_ID = "sha256:" + "1" * 64
IMAGE: dict[str, Any] = {
    "Id": IMAGE_ID,
    "RepoTags": ["app:1"],
    "RepoDigests": ["app@sha256:" + "2" * 64],
    "Config": {
        "Env": ["PATH=/bin", "MODE=image"],
        "Labels": {"made.by": "test"},
        "Cmd": ["/bin/app"],
        "Entrypoint": None,
        "User": "app",
        "WorkingDir": "/srv",
        "Healthcheck": {"Test": ["CMD", "/bin/check"], "Interval": 5 * 10**9},
    },
}
MINIMAL = {"name": "one", "image": "app:1"}
DECLARED: dict[str, Any] = {
    **MINIMAL,
    "command": ["serve"],
    "envs": ["B=2", "MODE=own", "EMPTY="],
    "labels": [{"label": "z", "value": "1"}, {"label": "a", "value": "2"}],
    "hostname": "box",
    "user": "0:0",
    "capabilities": {"adds": ["CAP_CHOWN", "setuid"], "drops": ["ALL"]},
    "securityOpts": ["no-new-privileges:true"],
    "memory": 64,
    "cpus": "0.50",
    "restart": "on-failure",
    "maxRetryCount": 3,
    "logDriver": "json-file",
    "logOpts": {"max-size": "1m"},
    "readOnly": True,
    "healthcheck": {"tests": ["CMD", "/x"], "interval": "1m0s", "retries": 3},
    "networksAdvanced": [{"name": "outer", "aliases": ["b", "a"]}, {"name": "inner", "ipv4Address": "10.0.0.2"}],
    "ports": [{"internal": 80, "external": 8080, "ip": "127.0.0.1"}, {"internal": 53, "external": 5353, "protocol": "udp"}],
    "mounts": [
        {"type": "volume", "source": "data", "target": "/data/", "volumeOptions": {"noCopy": True}},
        {"type": "tmpfs", "target": "/scratch", "tmpfsOptions": {"sizeBytes": 1048576}},
    ],
    "volumes": [{"hostPath": "/etc", "containerPath": "/host", "readOnly": True}],
    "tmpfs": {"/run": "size=1m,noexec"},
    "ulimits": [{"name": "nofile", "soft": 1, "hard": 2}],
    "hosts": [{"host": "db", "ip": "10.0.0.3"}],
    "devices": [{"hostPath": "/dev/null"}],
    "stopTimeout": 7,
    "wait": True,
    "destroyGraceSeconds": 60,
}

# Has a value also where nothing was declared.
ENGINE_CHOOSES = {"logDriver", "logOpts", "ulimits"}


def shown(inputs: dict[str, Any]) -> dict[str, Any]:
    """What `docker inspect` shows of a container made with these inputs: a small daemon."""
    body, later = creation(inputs)
    host = copy.deepcopy(body.pop("HostConfig"))
    endpoints = {**body.pop("NetworkingConfig", {}).get("EndpointsConfig", {}), **later}
    config: dict[str, Any] = {**IMAGE["Config"], **body, "Image": inputs["image"], "Hostname": body.get("Hostname") or ID[:12]}
    given_env = {line.partition("=")[0] for line in body.get("Env") or []}
    inherited = [line for line in IMAGE["Config"]["Env"] if line.partition("=")[0] not in given_env]
    config["Env"] = [*(body.get("Env") or []), *inherited]
    config["Labels"] = {**IMAGE["Config"]["Labels"], **(body.get("Labels") or {})}
    own_check = {key: value for key, value in (body.get("Healthcheck") or {}).items() if value}
    config["Healthcheck"] = {**IMAGE["Config"]["Healthcheck"], **own_check}
    host.setdefault("NetworkMode", "default")
    host.setdefault("RestartPolicy", {"Name": "no", "MaximumRetryCount": 0})
    host.setdefault("LogConfig", {"Type": "json-file", "Config": {}})
    host["LogConfig"].setdefault("Config", {})["added-by"] = "daemon"
    host.update(ShmSize=64 * MEBIBYTE, IpcMode="private", Runtime="runc", CgroupnsMode="host")
    host.setdefault("Ulimits", [{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 65536, "Hard": 65536}])
    host.setdefault("MemorySwap", 2 * host.get("Memory", 0))
    for endpoint in endpoints.values():
        endpoint["Aliases"] = [*endpoint.get("Aliases", []), ID[:12]]
    networks = {name: {**endpoint, "NetworkID": f"id-of-{name}"} for name, endpoint in endpoints.items()}
    return {
        "Id": ID,
        "Name": f"/{inputs['name']}",
        "Image": IMAGE_ID,
        "Config": config,
        "HostConfig": host,
        "NetworkSettings": {"Networks": networks or {host["NetworkMode"].replace("default", "bridge"): {"NetworkID": "b"}}},
        "State": {"Running": True, "Status": "running"},
    }


# --- units -------------------------------------------------------------------------------------------------------


@given(st.integers(min_value=0, max_value=10**16))
def test_a_duration_keeps_its_length(nanos: int) -> None:
    assert units.nanoseconds(units.duration(nanos)) == nanos


@given(st.integers(min_value=0, max_value=10**13))
def test_cpus_keep_their_number(nano: int) -> None:
    assert units.nano_cpus(units.cpus(nano)) == nano


@pytest.mark.parametrize(("text", "nanos"), [("10s", 10**10), ("1m30s", 9 * 10**10), ("1.5s", 15 * 10**8), ("", 0), ("0", 0)])
def test_durations(text: str, nanos: int) -> None:
    assert units.nanoseconds(text) == nanos


@pytest.mark.parametrize("text", ["10", "ten", "10 s", "-1s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        units.nanoseconds(text)


@pytest.mark.parametrize(
    ("given_name", "listed"),
    [
        ("redis", "redis:latest"),
        ("docker.io/library/redis:8", "redis:8"),
        ("host:5000/a/b", "host:5000/a/b:latest"),
        ("a/b:1@sha256:cd", "a/b@sha256:cd"),
    ],
)
def test_image_references(given_name: str, listed: str) -> None:
    assert units.image_reference(given_name) == listed


# --- wire --------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: not key.startswith("__")), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(min_size=1).filter(lambda key: not key.startswith("__")), VALUES))
def test_properties_survive_the_wire(properties: dict[str, Any]) -> None:
    assert wire.to_python(wire.to_struct(properties)) == properties


def test_secrets_are_unwrapped_and_unknowns_are_seen() -> None:
    struct = struct_pb2.Struct()
    signature = "4dabf18193072939515e22adb298388d"
    struct.update(
        {
            "secret": {signature: "1b47061264138c4ac30d75fd1eb44270", "value": ["x"]},
            "output": {signature: "d0e6a833031e9bbcd3f4e8bde6ca49a4"},
            "__defaults": [],
        }
    )
    properties = wire.to_python(struct)
    assert properties == {"secret": ["x"], "output": wire.UNKNOWN}
    assert wire.has_unknown(properties)
    assert not wire.has_unknown(properties["secret"])
    struct.update({"asset": {signature: "c44067f5952c0a294b673a41bacd8c17"}})
    with pytest.raises(ValueError, match="assets"):
        wire.to_python(struct)


# --- tables ------------------------------------------------------------------------------------------------------

NOT_SHOWN = {
    "start", "mustRun", "rm", "wait", "waitTimeout", "removeVolumes", "destroyGraceSeconds", "platform",
    "containerReadRefreshTimeoutMilliseconds",
}  # fmt: skip
UPDATED = {
    "restart", "maxRetryCount", "cpuShares", "cpuSet", "memory", "memoryReservation", "memorySwap", "mustRun",
    "deviceReadBps", "deviceReadIops", "deviceWriteBps", "deviceWriteIops",
}  # fmt: skip


def test_every_input_is_sent_and_read_or_known_to_be_neither() -> None:
    assert set(schema.CONTAINER.inputs) - set(schema.CONTAINER.fields) == NOT_SHOWN
    assert set(schema.NETWORK.inputs) == set(schema.NETWORK.fields)
    assert set(schema.VOLUME.inputs) == set(schema.VOLUME.fields)
    assert len(mapping.CONTAINER) == len(schema.CONTAINER.fields), "no field stands twice"


def test_what_a_change_does() -> None:
    by_change = {change: {n for n, i in schema.CONTAINER.inputs.items() if i.change is change} for change in Change}
    assert by_change[Change.UPDATE] == UPDATED
    assert by_change[Change.RECORD] == NOT_SHOWN - {"mustRun", "platform"}
    assert {"healthcheck", "tmpfs", "init", "cpuPeriod", "cpuQuota"} <= by_change[Change.REPLACE]
    assert {i.change for i in (*schema.NETWORK.inputs.values(), *schema.VOLUME.inputs.values())} == {Change.REPLACE}


@pytest.mark.parametrize(
    ("cls", "known"),
    [
        ("Container", schema.CONTAINER),
        ("Network", schema.NETWORK),
        ("Volume", schema.VOLUME),
        ("RemoteImage", schema.REMOTE_IMAGE),
    ],
)
def test_the_official_inputs_are_taken_or_refused_by_name(cls: str, known: schema.Schema) -> None:
    pulumi_docker = pytest.importorskip("pulumi_docker")
    arguments = getattr(pulumi_docker, f"{cls}Args")
    names = {
        getattr(member.fget, "_pulumi_name", name) for name, member in vars(arguments).items() if isinstance(member, property)
    }
    assert names == set(known.inputs) | set(known.refused)


# --- check -------------------------------------------------------------------------------------------------------


def test_right_inputs_pass() -> None:
    assert schema.CONTAINER.check(DECLARED) == []


@pytest.mark.parametrize(
    ("change", "prop", "reason"),
    [
        ({"nmae": "x"}, "nmae", "there is no input nmae"),
        ({"attach": True}, "attach", "not supported"),
        ({"memory": "64"}, "memory", "must be a whole number"),
        ({"memory": True}, "memory", "must be a whole number"),
        ({"memory": 1.5}, "memory", "must be a whole number"),
        ({"envs": ["A"]}, "envs", "NAME=VALUE"),
        ({"envs": ["A=1", "A=2"]}, "envs", "more than once: A"),
        ({"envs": "A=1"}, "envs", "must be a list"),
        ({"cpus": "half"}, "cpus", "number of CPUs"),
        ({"restart": "sometimes"}, "restart", "must be one of"),
        ({"healthcheck": {"tests": ["true"]}}, "healthcheck", "must begin with CMD"),
        ({"healthcheck": {"interval": "5"}}, "healthcheck", "not a duration"),
        ({"healthcheck": {"test": ["CMD"]}}, "healthcheck", "has no member test"),
        ({"mounts": [{"target": "/x"}]}, "mounts[0]", "needs type"),
        ({"mounts": [{"type": "bind", "target": "/x"}]}, "mounts", "needs a source"),
        ({"ports": [{"internal": 70000}]}, "ports", "is not a port"),
        ({"networkMode": "host", "networksAdvanced": [{"name": "n"}]}, "networkMode", "exclude each other"),
        ({"rm": True, "restart": "always"}, "rm", "exclude each other"),
    ],
)
def test_wrong_inputs_are_refused_by_name(change: dict[str, Any], prop: str, reason: str) -> None:
    failures = schema.CONTAINER.check({**MINIMAL, **change})
    assert [failure.property for failure in failures] == [prop]
    assert reason in failures[0].reason


def test_a_missing_name_is_refused_and_an_unknown_value_is_not() -> None:
    assert [failure.property for failure in schema.CONTAINER.check({"image": "x"})] == ["name"]
    unknown = wire.UNKNOWN
    assert (
        schema.CONTAINER.check({"name": "x", "image": unknown, "envs": [unknown], "networksAdvanced": [{"name": unknown}]})
        == []
    )


# --- diff --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, {}),
        ({"envs": ["A=1", "B=2"]}, {"envs": ["B=2", "A=1"]}, {}),
        ({"command": ["a", "b"]}, {"command": ["b", "a"]}, {"command": Change.REPLACE}),
        ({"cpus": "0.5"}, {"cpus": "0.50"}, {}),
        ({}, {"restart": "no", "mustRun": True, "privileged": False, "envs": [], "shmSize": 64}, {}),
        ({"mustRun": False}, {}, {"mustRun": Change.UPDATE}),
        ({"memory": 64}, {"memory": 96}, {"memory": Change.UPDATE}),
        ({"memory": 64}, {}, {"memory": Change.REPLACE}),
        ({"healthcheck": {"interval": "60s"}}, {"healthcheck": {"interval": "1m"}}, {}),
        ({"healthcheck": {"retries": 1}}, {"healthcheck": {"retries": 2}}, {"healthcheck": Change.REPLACE}),
        (
            {"wait": True},
            {"wait": False, "destroyGraceSeconds": 9},
            {"wait": Change.RECORD, "destroyGraceSeconds": Change.RECORD},
        ),
        ({"image": "a"}, {"image": wire.UNKNOWN}, {"image": Change.REPLACE}),
        ({"__defaults": [], "bridge": ""}, {}, {}),
        ({"ports": [{"internal": 1}]}, {"ports": [{"internal": 1, "protocol": "tcp", "ip": "0.0.0.0"}]}, {}),
        ({"stopTimeout": 0}, {}, {"stopTimeout": Change.REPLACE}),
        ({"capabilities": {"adds": ["CHOWN"]}}, {"capabilities": {"adds": ["CAP_CHOWN"]}}, {}),
    ],
)
def test_what_changed(old: dict[str, Any], new: dict[str, Any], expected: dict[str, Change]) -> None:
    assert differ.changes(schema.CONTAINER, old, new) == expected


def test_memory_and_swap_are_updated_together() -> None:
    assert limit_update(["memory"], {**MINIMAL, "memory": 96}, {"MemorySwap": 128 * MEBIBYTE}) == {
        "Memory": 96 * MEBIBYTE,
        "MemorySwap": 192 * MEBIBYTE,
    }
    assert limit_update(["memory"], {**MINIMAL, "memory": 96}, {"MemorySwap": -1})["MemorySwap"] == -1
    assert limit_update(["maxRetryCount"], {**MINIMAL, "restart": "on-failure", "maxRetryCount": 2}, {}) == {
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}
    }


# --- reading back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [MINIMAL, DECLARED, {**MINIMAL, "networkMode": "host"}, {**MINIMAL, "image": IMAGE_ID}])
def test_a_new_container_reads_back_as_declared(declared: dict[str, Any]) -> None:
    inspect = shown(declared)
    assert read_container(inspect, IMAGE, declared) == declared
    assert read_container(inspect, None, declared) == declared
    assert differences(declared, read_container(inspect, IMAGE, declared)) == []


@given(st.sets(st.sampled_from(sorted(set(DECLARED) - set(MINIMAL)))))
def test_any_part_of_it_reads_back_as_declared(names: set[str]) -> None:
    declared = {**MINIMAL, **{name: DECLARED[name] for name in names}}
    assert read_container(shown(declared), IMAGE, declared) == declared


@given(st.sampled_from(sorted(set(DECLARED) & set(schema.CONTAINER.fields) - set(MINIMAL) - ENGINE_CHOOSES)))
def test_what_was_not_declared_is_reported(name: str) -> None:
    inspect = shown({**MINIMAL, name: DECLARED[name]})
    seen = {item.property for item in differences(MINIMAL, read_container(inspect, IMAGE, MINIMAL))}
    # A network that was not declared shows as the mode; one that was attached besides shows by itself.
    expected = {"networkMode", "networksAdvanced"} if name == "networksAdvanced" else {name}
    assert seen == expected


def test_an_import_gives_inputs_that_make_the_same_container() -> None:
    imported = read_container(shown(DECLARED), IMAGE, {})
    changed = differ.changes(schema.CONTAINER, imported, {**DECLARED, "image": IMAGE_ID, "networkMode": "outer"})
    assert {name for name, change in changed.items() if change is not Change.RECORD} == ENGINE_CHOOSES


def test_a_stopped_or_paused_container_does_not_run() -> None:
    for state in ({"Running": False}, {"Running": True, "Paused": True}):
        inspect = {**shown(MINIMAL), "State": state}
        assert differences(MINIMAL, read_container(inspect, IMAGE, MINIMAL)) == [
            Difference("mustRun", declared=True, actual=False)
        ]
    never_started = {**MINIMAL, "start": False}
    assert read_container({**shown(MINIMAL), "State": {"Running": False}}, IMAGE, never_started) == never_started


def test_swap_that_the_host_cannot_limit_is_no_drift() -> None:
    declared = {**MINIMAL, "memory": 64, "memorySwap": 64}
    inspect = shown(declared)
    inspect["HostConfig"]["MemorySwap"] = -1
    assert read_container(inspect, IMAGE, declared, swap_limit=False) == declared
    assert read_container(inspect, IMAGE, declared)["memorySwap"] == -1


def test_a_tag_that_moved_on_is_another_image() -> None:
    untagged = {**IMAGE, "RepoTags": []}
    assert read_container(shown(MINIMAL), untagged, MINIMAL)["image"] == IMAGE_ID


def test_networks_and_volumes_read_back_as_declared() -> None:
    network = {
        "Name": "n", "Driver": "bridge", "Labels": {"a": "1"}, "Internal": True, "Options": {"added": "1"},
        "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.1"}]},
    }  # fmt: skip
    declared = {
        "name": "n", "labels": [{"label": "a", "value": "1"}], "internal": True, "ipamConfigs": [{"subnet": "10.1.0.0/24"}],
    }  # fmt: skip
    assert read_network(network, declared) == declared
    assert read_network({**network, "Internal": False}, declared)["internal"] is False
    volume = {"Name": "v", "Driver": "local", "Labels": None, "Options": None}
    assert read_volume(volume, {"name": "v"}) == {"name": "v"}
    labelled = read_volume({**volume, "Labels": {"a": "1"}}, {"name": "v"})
    assert differences({"name": "v"}, labelled) == [Difference("labels", None, [{"label": "a", "value": "1"}])]


# --- gone, or only out of reach ----------------------------------------------------------------------------------


class Broken:
    """A daemon whose every answer is one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _name: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise self._error

        return fail


def resources(daemon: Any) -> list[Resource]:
    return [Container(daemon, threading.Event()), Network(daemon), Volume(daemon), RemoteImage(daemon)]


def test_only_not_found_is_gone() -> None:
    assert [resource.read("x", {"name": "x"}) for resource in resources(Broken(NotFound("no such thing")))] == [None] * 4
    for error in (APIError("server error"), ConnectionError("refused")):
        for resource in resources(Broken(error)):
            with pytest.raises(type(error)):
                resource.read("x", {"name": "x"})
