"""The table that ties every input to its place in the Docker API: what Create sends, Read fetches and Diff compares.

A field's value has three forms. *Declared*: as the Pulumi program writes it. *API*: as the daemon takes and shows it.
*Canonical*: the API form with everything removed that means nothing (order of a set, default spellings), for comparing.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from supply.docker_provider import units

Json = dict[str, Any]
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  (compared with, not listened on)


@dataclass(frozen=True)
class Facts:
    """What a daemon showed about one resource, and what was declared about it.

    `image` is the inspect document of the container's own image, or None when it is not known. `swap_limit` tells
    whether the host can limit swap at all (`SwapLimit` of `docker info`).
    """

    inspect: Json
    image: Json | None = None
    declared: Json = field(default_factory=dict)
    swap_limit: bool = True


def _same_value(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Field:
    """One input and its place in the API.

    `encode` turns declared into API form, `decode` the reverse; `canonical` prepares API form for comparing. `unset`
    says whether an API value is what the daemon shows when nothing was declared. `same` and `show` are given where
    comparing or decoding needs more than the value itself. A `from_image` field that is not declared takes the image's
    value; one that `merges` takes the image's entry for every entry that is not declared.
    """

    name: str
    path: tuple[str, ...]
    encode: Callable[[Any], Any] = _same_value
    decode: Callable[[Any], Any] = _same_value
    canonical: Callable[[Any], Any] = _same_value
    unset: Callable[[Any, Facts], bool] = lambda value, _facts: not value
    from_image: bool = False
    merges: bool = False
    same: Callable[[Any, Any, Facts], bool] | None = None
    show: Callable[[Any, Facts], Any] | None = None
    sent: bool = True

    def fetch(self, document: Mapping[str, Any]) -> Any:
        """The API value in an inspect document; None when it is absent."""
        value: Any = document
        for key in self.path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def place(self, declared: Any, document: Json) -> None:
        """Write the declared value into an inspect-shaped document."""
        for key in self.path[:-1]:
            document = document.setdefault(key, {})
        encoded = self.encode(declared)
        last = self.path[-1]
        if isinstance(encoded, dict) and isinstance(document.get(last), dict):
            document[last].update(encoded)
        else:
            document[last] = encoded

    def comparable(self, declared: Any) -> Any:
        """The canonical form of a declared value; None for one that declares nothing."""
        return None if declared is None else (self.canonical(self.encode(declared)) or None)

    def matches(self, declared: Any, facts: Facts) -> bool:
        """Whether the daemon shows what was declared."""
        actual = self.fetch(facts.inspect)
        if self.same is not None:
            return self.same(declared, actual, facts)
        wanted, found = self.canonical(self.encode(declared)), self.canonical(actual)
        if self.merges and facts.image is None:
            return all(found.get(name) == value for name, value in wanted.items())
        if self.merges:
            wanted = {**self.canonical(self.fetch(facts.image or {})), **wanted}
        return (wanted or None) == (found or None)

    def is_default(self, facts: Facts) -> bool:
        """Whether the daemon shows what it shows when nothing is declared."""
        actual = self.fetch(facts.inspect)
        if self.unset(actual, facts):
            return True
        if not self.from_image:
            return False
        return facts.image is None or self.canonical(actual) == self.canonical(self.fetch(facts.image))

    def reading(self, facts: Facts) -> Any:
        """What the daemon shows, in declared form."""
        actual = self.fetch(facts.inspect)
        return self.decode(actual) if self.show is None else self.show(actual, facts)


# --- forms that several fields share -------------------------------------------------------------------------------


def _whatever(_value: Any, _facts: Facts) -> bool:
    """`unset` for values that the daemon chooses itself and that cannot change while the container exists."""
    return True


def _one_of(*values: Any) -> Callable[[Any, Facts], bool]:
    return lambda value, _facts: value in values


def _as_set(values: Iterable[Any] | None) -> list[str]:
    return sorted({value if isinstance(value, str) else json.dumps(value, sort_keys=True) for value in values or []})


def _strings(value: Iterable[str] | None) -> list[str]:
    return list(value or [])


def _mapping(value: Mapping[str, str] | None) -> dict[str, str]:
    return dict(value or {})


def _pruned(value: Mapping[str, Any]) -> Json:
    """Without members that mean nothing: null, empty, zero and false."""
    return {key: kept for key, item in value.items() if (kept := _pruned_item(item))}


def _pruned_item(value: Any) -> Any:
    if isinstance(value, list):
        return [_pruned_item(item) for item in value]
    return _pruned(value) if isinstance(value, Mapping) else value


def _mebibytes(name: str, key: str, **options: Any) -> Field:
    return Field(
        name,
        ("HostConfig", key),
        encode=lambda value: value * units.MEBIBYTE if value > 0 else value,
        decode=lambda value: value // units.MEBIBYTE if value and value > 0 else value or 0,
        **options,
    )


def _host(name: str, key: str, **options: Any) -> Field:
    return Field(name, ("HostConfig", key), **options)


def _config(name: str, key: str, **options: Any) -> Field:
    return Field(name, ("Config", key), **options)


def _string_set(name: str, key: str, canonical: Callable[[Any], Any] = _as_set, **options: Any) -> Field:
    return _host(name, key, canonical=canonical, decode=lambda value: sorted(value or []), **options)


def _records(
    name: str, path: tuple[str, ...], keys: Mapping[str, str], defaults: Mapping[str, Any] | None = None, **options: Any
) -> Field:
    """A set of objects whose members only have other names in the API."""

    def encode(items: list[Json]) -> list[Json]:
        return [{api: ({**(defaults or {}), **item}).get(wire) for wire, api in keys.items()} for item in items]

    def decode(items: list[Json] | None) -> list[Json]:
        return [{wire: item[api] for wire, api in keys.items() if item.get(api)} for item in items or []]

    def canonical(items: list[Json] | None) -> list[str]:
        return _as_set(map(_pruned, items or []))

    return Field(name, path, encode=encode, decode=decode, canonical=canonical, **options)


# --- labels, environment, health -----------------------------------------------------------------------------------


def _labels(items: list[dict[str, str]]) -> dict[str, str]:
    return {item["label"]: item["value"] for item in items}


def _label_list(labels: Mapping[str, str], declared: Iterable[str]) -> list[dict[str, str]]:
    first = [name for name in declared if name in labels]
    return [{"label": name, "value": labels[name]} for name in [*first, *sorted(labels.keys() - set(first))]]


def _env_map(lines: Iterable[str] | None) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in lines or [])}


def _own(actual: Mapping[str, str], declared: Mapping[str, str], image: Mapping[str, str] | None) -> dict[str, str]:
    """The entries that do not come from the image; when the image is unknown, those that were declared."""
    if image is None:
        return {name: value for name, value in actual.items() if name in declared}
    return {name: value for name, value in actual.items() if name in declared or image.get(name) != value}


def _image_entries(facts: Facts, key: str) -> Any:
    return None if facts.image is None else (facts.image.get("Config") or {}).get(key)


def _show_envs(actual: list[str] | None, facts: Facts) -> list[str]:
    declared = _env_map(facts.declared.get("envs"))
    image = None if facts.image is None else _env_map(_image_entries(facts, "Env"))
    own = _own(_env_map(actual), declared, image)
    first = [name for name in declared if name in own]
    return [f"{name}={own[name]}" for name in [*first, *sorted(own.keys() - set(first))]]


def _show_container_labels(actual: dict[str, str] | None, facts: Facts) -> list[dict[str, str]]:
    declared = _labels(facts.declared.get("labels") or [])
    image = None if facts.image is None else _mapping(_image_entries(facts, "Labels"))
    return _label_list(_own(_mapping(actual), declared, image), declared)


def _show_labels(actual: dict[str, str] | None, facts: Facts) -> list[dict[str, str]]:
    return _label_list(_mapping(actual), _labels(facts.declared.get("labels") or []))


_HEALTH_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "startPeriod": "StartPeriod",
    "startInterval": "StartInterval",
}


def _encode_health(check: Json) -> Json:
    times = {api: units.nanoseconds(check[wire]) for wire, api in _HEALTH_TIMES.items() if check.get(wire)}
    return {"Test": check.get("tests") or [], "Retries": check.get("retries") or 0, **times}


def _decode_health(check: Json | None) -> Json:
    check = check or {}
    times = {wire: units.duration(check[api]) for wire, api in _HEALTH_TIMES.items() if check.get(api)}
    rest = {"tests": check.get("Test"), "retries": check.get("Retries")}
    return {**{name: value for name, value in rest.items() if value}, **times}


# --- security, limits -----------------------------------------------------------------------------------------------


def _security_options(values: Iterable[str] | None) -> list[str]:
    plain = {"no-new-privileges:true": "no-new-privileges", "no-new-privileges=true": "no-new-privileges"}
    return _as_set(plain.get(value, value) for value in values or [])


def _chosen_security_options(actual: Iterable[str] | None, facts: Facts) -> list[str]:
    """Without the option that the daemon adds to a container that shares the host's privileges or processes."""
    host = facts.inspect.get("HostConfig") or {}
    shares = host.get("Privileged") or "host" in (host.get("PidMode"), host.get("IpcMode"))
    added = {"label=disable"} - set(facts.declared.get("securityOpts") or []) if shares else set()
    return sorted(set(actual or []) - added)


def _same_security_options(declared: list[str], actual: Iterable[str] | None, facts: Facts) -> bool:
    return _security_options(declared) == _security_options(_chosen_security_options(actual, facts))


def _capability(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _encode_capabilities(value: Json) -> Json:
    return {"CapAdd": value.get("adds") or [], "CapDrop": value.get("drops") or []}


def _canonical_capabilities(host: Json | None) -> Json:
    return _pruned({key: _as_set(map(_capability, (host or {}).get(key) or [])) for key in ("CapAdd", "CapDrop")})


def _decode_capabilities(host: Json | None) -> Json:
    host = host or {}
    return _pruned({"adds": sorted(host.get("CapAdd") or []), "drops": sorted(host.get("CapDrop") or [])})


def _swap_is_default(actual: int | None, facts: Facts) -> bool:
    """Undeclared swap is twice the memory as created, or unlimited where nothing limits it."""
    memory = facts.inspect.get("HostConfig", {}).get("Memory") or 0
    declared = (facts.declared.get("memory") or 0) * units.MEBIBYTE
    return not actual or actual in (2 * memory, 2 * declared) or (actual == -1 and not (facts.swap_limit and memory))


def _same_swap(declared: int, actual: int | None, facts: Facts) -> bool:
    if actual == -1 and not facts.swap_limit:
        return True
    return (declared * units.MEBIBYTE if declared > 0 else declared) == (actual or 0)


def _tmpfs(value: Mapping[str, str] | None) -> dict[str, list[str]]:
    return {posixpath.normpath(path): _as_set(filter(None, options.split(","))) for path, options in (value or {}).items()}


# --- storage ---------------------------------------------------------------------------------------------------------


def _encode_mount(mount: Json) -> Json:
    volume, bind, tmpfs = (mount.get(name) or {} for name in ("volumeOptions", "bindOptions", "tmpfsOptions"))
    encoded: Json = {
        "Type": mount["type"],
        "Target": mount["target"],
        "Source": mount.get("source") or "",
        "ReadOnly": bool(mount.get("readOnly")),
    }
    options = {
        "VolumeOptions": {
            "NoCopy": bool(volume.get("noCopy")),
            "Labels": _labels(volume.get("labels") or []),
            "DriverConfig": {"Name": volume.get("driverName"), "Options": volume.get("driverOptions")},
            "Subpath": volume.get("subpath"),
        },
        "BindOptions": {"Propagation": bind.get("propagation")},
        "TmpfsOptions": {"SizeBytes": tmpfs.get("sizeBytes"), "Mode": tmpfs.get("mode")},
    }
    return {**encoded, **_pruned(options)}


_MOUNT_KEYS = ("Type", "Target", "Source", "ReadOnly", "VolumeOptions", "BindOptions", "TmpfsOptions")


def _canonical_mount(mount: Json) -> Json:
    known: Json = _pruned({key: mount.get(key) for key in _MOUNT_KEYS})
    bind = {key: value for key, value in known.pop("BindOptions", {}).items() if (key, value) != ("Propagation", "rprivate")}
    bind = {key: value for key, value in bind.items() if key in ("Propagation", "NonRecursive")}
    known["Target"] = posixpath.normpath(known["Target"])
    if known["Type"] == "bind":
        known["Source"] = posixpath.normpath(known["Source"])
    return {**known, **({"BindOptions": bind} if bind else {})}


def _decode_mount(mount: Json) -> Json:
    volume, bind, tmpfs = (mount.get(name) or {} for name in ("VolumeOptions", "BindOptions", "TmpfsOptions"))
    driver = volume.get("DriverConfig") or {}
    decoded: Json = _pruned(
        {
            "type": mount.get("Type"),
            "target": mount.get("Target"),
            "source": mount.get("Source"),
            "readOnly": mount.get("ReadOnly"),
            "volumeOptions": {
                "noCopy": volume.get("NoCopy"),
                "labels": _label_list(volume.get("Labels") or {}, ()),
                "driverName": driver.get("Name"),
                "driverOptions": driver.get("Options"),
                "subpath": volume.get("Subpath"),
            },
            "bindOptions": {"propagation": bind.get("Propagation")},
            "tmpfsOptions": {"sizeBytes": tmpfs.get("SizeBytes"), "mode": tmpfs.get("Mode")},
        }
    )
    return decoded


def _encode_bind(volume: Json) -> str:
    options = [*(["ro"] if volume.get("readOnly") else []), *filter(None, [volume.get("selinuxRelabel")])]
    source = volume.get("hostPath") or volume.get("volumeName")
    return ":".join(filter(None, [source, volume["containerPath"], ",".join(options)]))


def _canonical_bind(bind: str) -> str:
    source, target, options = (*bind.split(":"), "", "")[:3]
    kept = sorted(option for option in options.split(",") if option not in ("", "rw", "rprivate"))
    return ":".join([source, posixpath.normpath(target), ",".join(kept)])


def _decode_bind(bind: str) -> Json:
    source, target, options = (*bind.split(":"), "", "")[:3]
    where = {"hostPath": source} if source.startswith("/") else {"volumeName": source}
    return {**where, "containerPath": target, **({"readOnly": True} if "ro" in options.split(",") else {})}


# --- network ---------------------------------------------------------------------------------------------------------


def _encode_ports(ports: list[Json]) -> Json:
    bindings: dict[str, list[Json]] = {}
    for port in ports:
        external = port.get("external")
        binding = {"HostIp": port.get("ip") or "", "HostPort": str(external) if external else ""}
        bindings.setdefault(f"{port['internal']}/{port.get('protocol') or 'tcp'}", []).append(binding)
    return bindings


def _canonical_ports(bindings: Mapping[str, list[Json] | None] | None) -> list[str]:
    def binding(entry: Json) -> str:
        address = entry.get("HostIp") or ""
        port = entry.get("HostPort") or ""
        return f"{'' if address == EVERY_ADDRESS else address}:{'' if port == '0' else port}"

    return sorted(f"{binding(entry)}->{inside}" for inside, entries in (bindings or {}).items() for entry in entries or [{}])


def _decode_ports(bindings: Mapping[str, list[Json] | None] | None) -> list[Json]:
    ports: list[Json] = []
    for inside, entries in sorted((bindings or {}).items()):
        internal, _, protocol = inside.partition("/")
        for entry in entries or [{}]:
            port: Json = {"internal": int(internal), "protocol": protocol or "tcp"}
            if str(entry.get("HostPort") or "").isdigit() and entry["HostPort"] != "0":
                port["external"] = int(entry["HostPort"])
            if entry.get("HostIp"):
                port["ip"] = entry["HostIp"]
            ports.append(port)
    return ports


def _encode_networks(networks: list[Json]) -> dict[str, Json]:
    """The endpoints by network, as `EndpointsConfig` takes them."""
    return {
        network["name"]: _pruned(
            {
                "Aliases": network.get("aliases"),
                "IPAMConfig": {"IPv4Address": network.get("ipv4Address"), "IPv6Address": network.get("ipv6Address")},
            }
        )
        for network in networks
    }


def _canonical_endpoint(endpoint: Json | None, implied: frozenset[str] = frozenset()) -> Json:
    endpoint = endpoint or {}
    ipam = endpoint.get("IPAMConfig") or {}
    return _pruned(
        {
            "aliases": sorted(set(endpoint.get("Aliases") or []) - implied),
            "ipv4Address": ipam.get("IPv4Address"),
            "ipv6Address": ipam.get("IPv6Address"),
        }
    )


def _implied_aliases(facts: Facts) -> frozenset[str]:
    """Names that the daemon gives an endpoint by itself: its short id, its name and its hostname."""
    hostname = (facts.inspect.get("Config") or {}).get("Hostname") or ""
    return frozenset({(facts.inspect.get("Id") or "")[:12], (facts.inspect.get("Name") or "").lstrip("/"), hostname})


def _network_key(name: str, actual: Mapping[str, Json]) -> str | None:
    """The key of the attached network that `name`, a name or an id, means."""
    if name in actual:
        return name
    return next((key for key, endpoint in actual.items() if (endpoint or {}).get("NetworkID") == name), None)


def _same_networks(declared: list[Json], actual: Mapping[str, Json] | None, facts: Facts) -> bool:
    actual, implied = actual or {}, _implied_aliases(facts)
    wanted = {_network_key(name, actual): endpoint for name, endpoint in _encode_networks(declared).items()}
    if not declared:
        return _networks_are_default(actual, facts)
    return {key: _canonical_endpoint(endpoint, implied) for key, endpoint in wanted.items()} == {
        key: _canonical_endpoint(endpoint, implied) for key, endpoint in actual.items()
    }


def _networks_are_default(actual: Mapping[str, Json] | None, facts: Facts) -> bool:
    mode = (facts.inspect.get("HostConfig") or {}).get("NetworkMode") or "default"
    usual = "bridge" if mode == "default" else _network_key(mode, actual or {})
    return set(actual or {}) <= {usual} or mode.startswith("container:")


def _show_networks(actual: Mapping[str, Json] | None, facts: Facts) -> list[Json]:
    actual, implied = actual or {}, _implied_aliases(facts)
    declared = {_network_key(item["name"], actual): item["name"] for item in facts.declared.get("networksAdvanced") or []}
    first = [key for key in declared if key is not None]
    return [
        {"name": declared.get(key, key), **_canonical_endpoint(actual[key], implied)}
        for key in [*first, *sorted(set(actual) - set(first))]
    ]


def _mode_is_default(actual: str | None, facts: Facts) -> bool:
    """Undeclared, a container is on the default network or on the first one it was given."""
    named = {item["name"] for item in facts.declared.get("networksAdvanced") or []}
    attached = set((facts.inspect.get("NetworkSettings") or {}).get("Networks") or {})
    return not actual or actual in {"default", "bridge"} | named | (attached if named else set())


def _same_mode(declared: str, actual: str | None, _facts: Facts) -> bool:
    return (declared or "default").replace("bridge", "default") == (actual or "default").replace("bridge", "default")


# --- identity --------------------------------------------------------------------------------------------------------


def _hostname_is_default(actual: str | None, facts: Facts) -> bool:
    mode = (facts.inspect.get("HostConfig") or {}).get("NetworkMode") or ""
    return not actual or (facts.inspect.get("Id") or "").startswith(actual) or mode == "host" or mode.startswith("container:")


def _same_image(declared: str, actual: str | None, facts: Facts) -> bool:
    """An id or digest never changes its meaning; a tag is only the same while it still names the container's image."""
    created_from = (facts.inspect.get("Config") or {}).get("Image") or ""
    if declared in (actual, (facts.image or {}).get("Id")):
        return True
    if declared.startswith("sha256:") or "@" in declared:
        return units.image_reference(declared) == units.image_reference(created_from) or declared in (
            (facts.image or {}).get("RepoDigests") or []
        )
    if facts.image is None:
        return units.image_reference(declared) == units.image_reference(created_from)
    return units.image_reference(declared) in {units.image_reference(tag) for tag in facts.image.get("RepoTags") or []}


def _same_log_options(declared: Mapping[str, str], actual: Mapping[str, str] | None, _facts: Facts) -> bool:
    """The daemon may add its own defaults to the declared options."""
    return declared.items() <= (actual or {}).items()


CONTAINER: tuple[Field, ...] = (
    Field(
        "name",
        ("Name",),
        decode=lambda value: (value or "").lstrip("/"),
        canonical=lambda v: (v or "").lstrip("/"),
        sent=False,
    ),
    Field("image", ("Image",), same=_same_image, decode=lambda value: value or "", unset=_one_of(), sent=False),
    _config("command", "Cmd", canonical=_strings, decode=_strings, from_image=True),
    _config("entrypoints", "Entrypoint", canonical=_strings, decode=_strings, from_image=True),
    _config("envs", "Env", canonical=_env_map, show=_show_envs, from_image=True, merges=True),
    _config(
        "labels",
        "Labels",
        encode=_labels,
        canonical=_mapping,
        show=_show_container_labels,
        from_image=True,
        merges=True,
    ),
    _config("hostname", "Hostname", unset=_hostname_is_default),
    _config("domainname", "Domainname"),
    _config("user", "User", from_image=True),
    _config("workingDir", "WorkingDir", from_image=True),
    _config("tty", "Tty"),
    _config("stdinOpen", "OpenStdin"),
    _config("stopSignal", "StopSignal", unset=_one_of(None, "", "SIGTERM", "15"), from_image=True),
    _config("stopTimeout", "StopTimeout", unset=_one_of(None), canonical=lambda v: None if v is None else str(v)),
    _config(
        "healthcheck",
        "Healthcheck",
        encode=_encode_health,
        decode=_decode_health,
        canonical=lambda check: _pruned(check or {}),
        from_image=True,
        merges=True,
    ),
    _mebibytes("memory", "Memory"),
    _mebibytes("memoryReservation", "MemoryReservation"),
    _mebibytes("memorySwap", "MemorySwap", unset=_swap_is_default, same=_same_swap),
    _mebibytes("shmSize", "ShmSize", unset=_one_of(None, 0, 64 * units.MEBIBYTE)),
    _host("cpus", "NanoCpus", encode=units.nano_cpus, decode=lambda value: units.cpus(value or 0)),
    _host("cpuShares", "CpuShares"),
    _host("cpuSet", "CpusetCpus"),
    _host("cpuPeriod", "CpuPeriod"),
    _host("cpuQuota", "CpuQuota"),
    Field("restart", ("HostConfig", "RestartPolicy", "Name"), unset=_one_of(None, "", "no"), decode=lambda v: v or "no"),
    Field("maxRetryCount", ("HostConfig", "RestartPolicy", "MaximumRetryCount")),
    Field("logDriver", ("HostConfig", "LogConfig", "Type"), unset=_whatever),
    Field("logOpts", ("HostConfig", "LogConfig", "Config"), decode=_mapping, unset=_whatever, same=_same_log_options),
    _host("privileged", "Privileged"),
    _host("publishAllPorts", "PublishAllPorts"),
    _host("readOnly", "ReadonlyRootfs"),
    _host("init", "Init"),
    _host("ipcMode", "IpcMode", unset=_whatever),
    _host("pidMode", "PidMode"),
    _host("usernsMode", "UsernsMode"),
    _host("cgroupnsMode", "CgroupnsMode", unset=_whatever),
    _host("cgroupParent", "CgroupParent"),
    _host("runtime", "Runtime", unset=_whatever),
    _host(
        "networkMode",
        "NetworkMode",
        unset=_mode_is_default,
        same=_same_mode,
        canonical=lambda v: (v or "").replace("bridge", "default"),
    ),
    Field(
        "networksAdvanced",
        ("NetworkSettings", "Networks"),
        encode=_encode_networks,
        unset=_networks_are_default,
        same=_same_networks,
        show=_show_networks,
        sent=False,
        canonical=lambda endpoints: {name: _canonical_endpoint(endpoint) for name, endpoint in (endpoints or {}).items()},
    ),
    _host("ports", "PortBindings", encode=_encode_ports, decode=_decode_ports, canonical=_canonical_ports),
    _host(
        "mounts",
        "Mounts",
        encode=lambda mounts: [_encode_mount(mount) for mount in mounts],
        decode=lambda mounts: [_decode_mount(mount) for mount in mounts or []],
        canonical=lambda mounts: _as_set(_canonical_mount(mount) for mount in mounts or []),
    ),
    _host(
        "volumes",
        "Binds",
        encode=lambda volumes: [_encode_bind(volume) for volume in volumes],
        decode=lambda binds: [_decode_bind(bind) for bind in binds or []],
        canonical=lambda binds: _as_set(map(_canonical_bind, binds or [])),
    ),
    _host("tmpfs", "Tmpfs", decode=_mapping, canonical=_tmpfs),
    _host("storageOpts", "StorageOpt", decode=_mapping, canonical=_mapping),
    _host("sysctls", "Sysctls", decode=_mapping, canonical=_mapping),
    Field(
        "capabilities",
        ("HostConfig",),
        encode=_encode_capabilities,
        decode=_decode_capabilities,
        canonical=_canonical_capabilities,
        unset=lambda host, _facts: not _canonical_capabilities(host),
    ),
    _string_set(
        "securityOpts",
        "SecurityOpt",
        canonical=_security_options,
        same=_same_security_options,
        unset=lambda value, facts: not _chosen_security_options(value, facts),
        show=_chosen_security_options,
    ),
    _string_set("groupAdds", "GroupAdd"),
    _string_set("dns", "Dns"),
    _string_set("dnsOpts", "DnsOptions"),
    _string_set("dnsSearches", "DnsSearch"),
    _string_set("deviceCgroupRules", "DeviceCgroupRules"),
    _host(
        "hosts",
        "ExtraHosts",
        canonical=_as_set,
        encode=lambda hosts: [f"{host['host']}:{host['ip']}" for host in hosts],
        decode=lambda lines: [dict(zip(("host", "ip"), line.split(":", 1), strict=True)) for line in lines or []],
    ),
    # Without any, a container has the engine's.
    _records("ulimits", ("HostConfig", "Ulimits"), {"name": "Name", "soft": "Soft", "hard": "Hard"}, unset=_whatever),
    _host(
        "devices",
        "Devices",
        canonical=_as_set,
        encode=lambda devices: [
            {
                "PathOnHost": device["hostPath"],
                "PathInContainer": device.get("containerPath") or device["hostPath"],
                "CgroupPermissions": device.get("permissions") or "rwm",
            }
            for device in devices
        ],
        decode=lambda devices: [
            {"hostPath": d["PathOnHost"], "containerPath": d["PathInContainer"], "permissions": d["CgroupPermissions"]}
            for d in devices or []
        ],
    ),
    *(
        _records(name, ("HostConfig", key), {"path": "Path", "rate": "Rate"})
        for name, key in (
            ("deviceReadBps", "BlkioDeviceReadBps"),
            ("deviceReadIops", "BlkioDeviceReadIOps"),
            ("deviceWriteBps", "BlkioDeviceWriteBps"),
            ("deviceWriteIops", "BlkioDeviceWriteIOps"),
        )
    ),
)


# --- networks and volumes ---------------------------------------------------------------------------------------------

_IPAM_KEYS = {"subnet": "Subnet", "gateway": "Gateway", "ipRange": "IPRange", "auxAddress": "AuxiliaryAddresses"}


def _encode_ipam(configs: list[Json]) -> list[Json]:
    return [{api: config[wire] for wire, api in _IPAM_KEYS.items() if config.get(wire)} for config in configs]


def _decode_ipam(configs: list[Json] | None) -> list[Json]:
    return [{wire: config[api] for wire, api in _IPAM_KEYS.items() if config.get(api)} for config in configs or []]


def _same_ipam(declared: list[Json], actual: list[Json] | None, _facts: Facts) -> bool:
    """The daemon completes what is declared, for instance with a gateway."""
    found = actual or []
    return all(any(wanted.items() <= config.items() for config in found) for wanted in _encode_ipam(declared))


def _same_options(declared: Mapping[str, str], actual: Mapping[str, str] | None, _facts: Facts) -> bool:
    """Drivers may add options of their own."""
    return declared.items() <= (actual or {}).items()


_LABELS = Field("labels", ("Labels",), encode=_labels, canonical=_mapping, show=_show_labels)

NETWORK: tuple[Field, ...] = (
    Field("name", ("Name",)),
    Field("driver", ("Driver",), unset=_one_of(None, "", "bridge")),
    Field("internal", ("Internal",)),
    Field("attachable", ("Attachable",)),
    Field("ingress", ("Ingress",)),
    Field("ipv6", ("EnableIPv6",)),
    Field("ipamDriver", ("IPAM", "Driver"), unset=_one_of(None, "", "default")),
    Field("ipamOptions", ("IPAM", "Options"), decode=_mapping, canonical=_mapping),
    Field(
        "ipamConfigs",
        ("IPAM", "Config"),
        encode=_encode_ipam,
        decode=_decode_ipam,
        same=_same_ipam,
        unset=_whatever,
        canonical=_as_set,
    ),
    Field("options", ("Options",), decode=_mapping, same=_same_options, unset=_whatever),
    _LABELS,
)

VOLUME: tuple[Field, ...] = (
    Field("name", ("Name",)),
    Field("driver", ("Driver",), unset=_one_of(None, "", "local")),
    Field("driverOpts", ("Options",), decode=_mapping, canonical=_mapping),
    _LABELS,
)
