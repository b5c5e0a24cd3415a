"""What each resource accepts, and what a change of each input does. Check and Diff read these tables, nothing else does.

The replace and update columns are those of the official provider, except that it silently ignores a change of
`healthcheck`, `tmpfs`, `init`, `cpuPeriod` and `cpuQuota`, which here replaces the container.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from supply.docker_provider import mapping, units
from supply.docker_provider.wire import UNKNOWN, has_unknown


class Change(Enum):
    """What a changed input does to the existing resource."""

    REPLACE = auto()
    UPDATE = auto()
    """Applied to the running resource. Taking the input away replaces, for the daemon cannot unset a limit."""
    RECORD = auto()
    """Only remembered: it is about how this provider acts, or only about creation."""


@dataclass(frozen=True)
class Type:
    """The shape of a value: a scalar, or a list, map or object of other shapes."""

    name: str
    python: type
    item: Type | None = None
    fields: Mapping[str, Type] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


STRING = Type("a string", str)
INTEGER = Type("a whole number", int)
BOOLEAN = Type("true or false", bool)


def list_of(item: Type) -> Type:
    """A list whose items all have this shape."""
    return Type("a list", list, item=item)


def map_of(item: Type) -> Type:
    """A map from strings to values of this shape."""
    return Type("a map", dict, item=item)


def record(*required: str, **fields: Type) -> Type:
    """An object with these members, of which `required` must be there."""
    return Type("an object", dict, fields=fields, required=frozenset(required))


@dataclass(frozen=True)
class Input:
    """One input: its shape, what changing it does, what leaving it out means, and a check of its value.

    `valid` returns or raises; a ValueError's text is the reason shown to the user.
    """

    type: Type
    change: Change = Change.REPLACE
    default: Any = None
    required: bool = False
    valid: Callable[[Any], object] | None = None


@dataclass(frozen=True)
class Failure:
    """A refused input."""

    property: str
    reason: str


@dataclass(frozen=True)
class Schema:
    """The inputs of one resource type. `refused` names official inputs that would be ignored here, with what to do."""

    inputs: Mapping[str, Input]
    outputs: tuple[str, ...] = ()
    fields: Mapping[str, mapping.Field] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    delete_before_replace: bool = True
    together: Callable[[Mapping[str, Any]], Iterator[Failure]] = lambda _inputs: iter(())

    def check(self, inputs: Mapping[str, Any]) -> list[Failure]:
        """Everything that is wrong with the inputs; values that are not known yet are taken as right."""
        failures = [
            Failure(name, f"{name} is required") for name, i in self.inputs.items() if i.required and name not in inputs
        ]
        for name, value in inputs.items():
            if name in self.refused:
                failures.append(Failure(name, f"{name} is not supported by this provider: {self.refused[name]}"))
            elif name not in self.inputs:
                failures.append(Failure(name, f"there is no input {name}"))
            else:
                failures.extend(_check_input(name, self.inputs[name], value))
        return failures or list(self.together(inputs))


def _check_input(name: str, declared: Input, value: Any) -> Iterator[Failure]:
    shape = list(_check_type(name, declared.type, value))
    yield from shape
    if shape or declared.valid is None or has_unknown(value):
        return
    try:
        declared.valid(value)
    except ValueError as error:
        yield Failure(name, f"{name}: {error}")


def _check_type(path: str, wanted: Type, value: Any) -> Iterator[Failure]:
    if value == UNKNOWN:
        return
    fits = isinstance(value, wanted.python) and not (isinstance(value, bool) and wanted.python is int)
    if not fits:
        yield Failure(path, f"{path} must be {wanted.name}, not {value!r}"[:300])
        return
    if wanted.fields:
        yield from (Failure(path, f"{path} needs {name}") for name in sorted(wanted.required - value.keys()))
        for name, item in value.items():
            if name in wanted.fields:
                yield from _check_type(f"{path}.{name}", wanted.fields[name], item)
            else:
                yield Failure(path, f"{path} has no member {name} in this provider")
    elif wanted.item is not None:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _check_type(f"{path}[{key}]", wanted.item, item)


# --- checks of values -------------------------------------------------------------------------------------------------


def _choice(*allowed: str) -> Callable[[str], None]:
    def valid(value: str) -> None:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {value!r}")

    return valid


def _at_least(least: int) -> Callable[[int], None]:
    def valid(value: int) -> None:
        if value < least:
            raise ValueError(f"must be at least {least}, not {value}")

    return valid


def _envs(lines: list[str]) -> None:
    names = [line.partition("=")[0] for line in lines]
    if wrong := [name for name, line in zip(names, lines, strict=True) if "=" not in line or not name]:
        raise ValueError(f"must be NAME=VALUE; {', '.join(wrong)} is not")
    _unique("names", names)


def _unique(what: str, names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{what} must differ; given more than once: {', '.join(twice)}")


def _labels(labels: list[dict[str, str]]) -> None:
    _unique("names", [item["label"] for item in labels])


def _networks(networks: list[dict[str, Any]]) -> None:
    _unique("names", [item["name"] for item in networks])


def _mounts(mounts: list[dict[str, Any]]) -> None:
    for mount in mounts:
        _choice("bind", "volume", "tmpfs")(mount["type"])
        if mount["type"] == "bind" and not mount.get("source"):
            raise ValueError(f"the bind mount on {mount['target']} needs a source")
    _unique("targets", [mount["target"] for mount in mounts])


def _volumes(volumes: list[dict[str, Any]]) -> None:
    for volume in volumes:
        if bool(volume.get("hostPath")) == bool(volume.get("volumeName")):
            raise ValueError(f"{volume['containerPath']} needs either hostPath or volumeName")


def _ports(ports: list[dict[str, Any]]) -> None:
    for port in ports:
        for name in ("internal", "external"):
            if not 0 <= port.get(name, 1) <= 65535:
                raise ValueError(f"{name} {port[name]} is not a port")
        _choice("tcp", "udp", "sctp")(port.get("protocol") or "tcp")


def _healthcheck(check: dict[str, Any]) -> None:
    for name in ("interval", "timeout", "startPeriod", "startInterval"):
        units.nanoseconds(check.get(name) or "")
    tests = check.get("tests")
    if tests and tests[0] not in ("CMD", "CMD-SHELL", "NONE"):
        raise ValueError(f"tests must begin with CMD, CMD-SHELL or NONE, not {tests[0]!r}")


def _container_together(inputs: Mapping[str, Any]) -> Iterator[Failure]:
    names = [item["name"] for item in inputs.get("networksAdvanced") or [] if isinstance(item, dict) and "name" in item]
    mode = inputs.get("networkMode")
    if mode and names and UNKNOWN not in (mode, *names) and mode not in names:
        reason = f"networkMode {mode} and networksAdvanced {', '.join(names)} exclude each other; declare one of them"
        yield Failure("networkMode", reason)
    if inputs.get("rm") and inputs.get("restart") not in (None, "no", UNKNOWN):
        yield Failure("rm", "rm and a restart policy exclude each other")


# --- the tables -------------------------------------------------------------------------------------------------------

_LABELS = Input(list_of(record("label", "value", label=STRING, value=STRING)), valid=_labels)
_NAME = Input(STRING, required=True)
_STRINGS = Input(list_of(STRING))
_STRING_MAP = Input(map_of(STRING))
_STRING = Input(STRING)
_SWITCH = Input(BOOLEAN)
_RATES = Input(list_of(record("path", "rate", path=STRING, rate=INTEGER)), Change.UPDATE)

_MOUNT = record(
    "type",
    "target",
    type=STRING,
    target=STRING,
    source=STRING,
    readOnly=BOOLEAN,
    bindOptions=record(propagation=STRING),
    tmpfsOptions=record(mode=INTEGER, sizeBytes=INTEGER),
    volumeOptions=record(
        noCopy=BOOLEAN,
        driverName=STRING,
        driverOptions=map_of(STRING),
        labels=list_of(record("label", "value", label=STRING, value=STRING)),
        subpath=STRING,
    ),
)
_NETWORK = record("name", name=STRING, aliases=list_of(STRING), ipv4Address=STRING, ipv6Address=STRING)
_HEALTHCHECK = record(
    tests=list_of(STRING),
    interval=STRING,
    timeout=STRING,
    startPeriod=STRING,
    startInterval=STRING,
    retries=INTEGER,
)

CONTAINER = Schema(
    inputs={
        "name": _NAME,
        "image": Input(STRING, required=True),
        "command": _STRINGS,
        "entrypoints": _STRINGS,
        "envs": Input(list_of(STRING), valid=_envs),
        "labels": _LABELS,
        "hostname": _STRING,
        "domainname": _STRING,
        "user": _STRING,
        "workingDir": _STRING,
        "tty": _SWITCH,
        "stdinOpen": _SWITCH,
        "stopSignal": Input(STRING, default="SIGTERM"),
        "stopTimeout": Input(INTEGER, valid=_at_least(0)),
        "platform": _STRING,
        "healthcheck": Input(_HEALTHCHECK, valid=_healthcheck),
        "shmSize": Input(INTEGER, default=64, valid=_at_least(0)),
        "cpus": Input(STRING, valid=units.nano_cpus),
        "cpuPeriod": Input(INTEGER),
        "cpuQuota": Input(INTEGER),
        "logDriver": _STRING,
        "logOpts": _STRING_MAP,
        "privileged": _SWITCH,
        "publishAllPorts": _SWITCH,
        "readOnly": _SWITCH,
        "init": _SWITCH,
        "ipcMode": _STRING,
        "pidMode": _STRING,
        "usernsMode": _STRING,
        "cgroupnsMode": Input(STRING, valid=_choice("private", "host")),
        "cgroupParent": _STRING,
        "runtime": _STRING,
        "networkMode": Input(STRING, default="bridge"),
        "networksAdvanced": Input(list_of(_NETWORK), valid=_networks),
        "ports": Input(
            list_of(record("internal", internal=INTEGER, external=INTEGER, ip=STRING, protocol=STRING)), valid=_ports
        ),
        "mounts": Input(list_of(_MOUNT), valid=_mounts),
        "volumes": Input(
            list_of(
                record(
                    "containerPath",
                    containerPath=STRING,
                    hostPath=STRING,
                    volumeName=STRING,
                    readOnly=BOOLEAN,
                    selinuxRelabel=STRING,
                )
            ),
            valid=_volumes,
        ),
        "tmpfs": _STRING_MAP,
        "storageOpts": _STRING_MAP,
        "sysctls": _STRING_MAP,
        "capabilities": Input(record(adds=list_of(STRING), drops=list_of(STRING))),
        "securityOpts": _STRINGS,
        "groupAdds": _STRINGS,
        "dns": _STRINGS,
        "dnsOpts": _STRINGS,
        "dnsSearches": _STRINGS,
        "deviceCgroupRules": _STRINGS,
        "hosts": Input(list_of(record("host", "ip", host=STRING, ip=STRING))),
        "ulimits": Input(list_of(record("name", "soft", "hard", name=STRING, soft=INTEGER, hard=INTEGER))),
        "devices": Input(list_of(record("hostPath", hostPath=STRING, containerPath=STRING, permissions=STRING))),
        "restart": Input(STRING, Change.UPDATE, default="no", valid=_choice("no", "on-failure", "always", "unless-stopped")),
        "maxRetryCount": Input(INTEGER, Change.UPDATE, default=0, valid=_at_least(0)),
        "cpuShares": Input(INTEGER, Change.UPDATE),
        "cpuSet": Input(STRING, Change.UPDATE),
        "memory": Input(INTEGER, Change.UPDATE, valid=_at_least(0)),
        "memoryReservation": Input(INTEGER, Change.UPDATE, valid=_at_least(0)),
        "memorySwap": Input(INTEGER, Change.UPDATE, valid=_at_least(-1)),
        "deviceReadBps": _RATES,
        "deviceReadIops": _RATES,
        "deviceWriteBps": _RATES,
        "deviceWriteIops": _RATES,
        "mustRun": Input(BOOLEAN, Change.UPDATE, default=True),
        "start": Input(BOOLEAN, Change.RECORD, default=True),
        "rm": Input(BOOLEAN, Change.RECORD),
        "wait": Input(BOOLEAN, Change.RECORD),
        "waitTimeout": Input(INTEGER, Change.RECORD, default=60, valid=_at_least(1)),
        "removeVolumes": Input(BOOLEAN, Change.RECORD, default=True),
        "destroyGraceSeconds": Input(INTEGER, Change.RECORD, valid=_at_least(0)),
        "containerReadRefreshTimeoutMilliseconds": Input(INTEGER, Change.RECORD),
    },
    fields={item.name: item for item in mapping.CONTAINER},
    refused={
        "attach": "run the command outside Pulumi",
        "logs": "read them with docker logs",
        "uploads": "mount a file instead",
        "gpus": "declare devices",
        "deviceRequests": "declare devices",
    },
    together=_container_together,
)

_IPAM = record(subnet=STRING, gateway=STRING, ipRange=STRING, auxAddress=map_of(STRING))

NETWORK = Schema(
    inputs={
        "name": _NAME,
        "driver": Input(STRING, default="bridge"),
        "internal": _SWITCH,
        "attachable": _SWITCH,
        "ingress": _SWITCH,
        "ipv6": _SWITCH,
        "ipamDriver": Input(STRING, default="default"),
        "ipamOptions": _STRING_MAP,
        "ipamConfigs": Input(list_of(_IPAM)),
        "options": _STRING_MAP,
        "labels": _LABELS,
    },
    outputs=("scope",),
    fields={item.name: item for item in mapping.NETWORK},
)

VOLUME = Schema(
    inputs={
        "name": _NAME,
        "driver": Input(STRING, default="local"),
        "driverOpts": _STRING_MAP,
        "labels": _LABELS,
    },
    outputs=("mountpoint",),
    fields={item.name: item for item in mapping.VOLUME},
    refused={"cluster": "it only concerns swarm"},
)

REMOTE_IMAGE = Schema(
    inputs={
        "name": _NAME,
        "platform": _STRING,
        "pullTriggers": _STRINGS,
        "triggers": _STRING_MAP,
        "keepLocally": Input(BOOLEAN, Change.RECORD),
        "forceRemove": Input(BOOLEAN, Change.RECORD),
    },
    outputs=("imageId", "repoDigest"),
    refused={"build": "build the image before, and give its name"},
    delete_before_replace=False,
)
