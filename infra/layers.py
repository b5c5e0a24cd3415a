"""Layers of drift: each compares one kind of thing that was declared with what is there. `LAYERS` is the whole table.

`infra.drift` is the first of them. Nothing here changes anything.
"""

from __future__ import annotations

import ipaddress
import json
import os
import pwd
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound, NotFound

from infra.catalogue import PROJECT_ROOT, catalogue
from infra.drift import ABSENT, PRESENT, Finding
from infra.errors import Failed
from infra.settings import Settings
from infra.supplies import SupplyRecord
from supply import images
from supply.images import SupplyError

ANSIBLE_SECONDS = 1800
LISTENING = "0A"
# Shells that let nobody in.
NO_SHELLS = {"", "/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false", "/bin/sync"}
FIRST_PERSON = 1000
NOBODY = 65534
# Whoever is in one of these has, or can get, the rights of root.
POWERFUL_GROUPS = ("sudo", "docker", "disk", "shadow", "lxd")


@dataclass(frozen=True)
class Machine:
    """What a layer may look at.

    Args:
        settings: the stack.
        client: gives the stack's daemon; asked only by layers that need it.
        inventory: of the run of Ansible in check mode.
        root: where the machine's own files begin; another folder in tests.
    """

    settings: Settings
    client: Callable[[], docker.DockerClient]
    inventory: Path
    root: Path = Path("/")


@dataclass(frozen=True)
class Result:
    """What one layer has found, or why it could not look."""

    layer: str
    seconds: float = 0.0
    findings: Sequence[Finding] = ()
    error: str = ""
    skipped: str = ""


def from_json(document: Mapping[str, Any]) -> list[Result]:
    """Results that were found elsewhere, by another user or on another machine.

    Raises:
        Failed: the document holds none.
    """
    if "layers" not in document:
        raise Failed(str(document.get("message") or "it gave no report"))
    return [
        Result(**{**layer, "findings": [Finding(**finding) for finding in layer["findings"]]}) for layer in document["layers"]
    ]


# --- image digests -------------------------------------------------------------------------------------------------------


def image_findings(machine: Machine) -> Iterator[Finding]:
    """Containers that run another image than would be chosen today: another version or digest, or other content built here."""
    client, record = machine.client(), SupplyRecord(machine.settings)
    for component in machine.settings.components:
        wanted = images.plan(component, record.choose(component), client).reference
        try:
            running = client.api.inspect_container(machine.settings.container_name(component))["Image"]
        except NotFound:
            continue  # the first layer says so
        try:
            declared = client.api.inspect_image(wanted)["Id"]
        except ImageNotFound:
            declared = None
        if declared != running:
            yield Finding(f"image {component.name}", "digest", wanted, _names_of(client, running))


def _names_of(client: docker.DockerClient, image_id: str) -> str:
    try:
        image = client.api.inspect_image(image_id)
    except ImageNotFound:
        return image_id
    names = [*(image.get("RepoDigests") or []), *(image.get("RepoTags") or [])]
    return str(names[-1]) if names else image_id


# --- files ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """Owner and rights that a file or folder was placed with."""

    path: Path
    owner: int
    group: int
    mode: int


def file_findings(machine: Machine) -> Iterator[Finding]:
    """Owner and rights of configuration, secrets and data; secrets that are missing, empty, or nobody's."""
    settings = machine.settings
    for expected in _placed(settings):
        yield from _compare(expected)
    yield from _secrets(settings)


def _placed(settings: Settings) -> Iterator[Expected]:
    folders = settings.folders
    yield Expected(folders.config, 0, 0, 0o711)
    yield Expected(folders.config / "secrets", 0, 0, 0o711)
    for component in settings.components:
        for name in component.secrets:
            yield Expected(settings.secret_file(name), component.uid, component.uid, 0o400)
        if component.data:
            yield Expected(folders.data / component.name, component.owner, component.owner, 0o700)
        if component.config:
            top = folders.config / component.name
            for path in [top, *sorted(top.rglob("*"))]:
                yield Expected(path, 0, component.uid, 0o750 if path.is_dir() else 0o440)
    if settings.backup:
        yield Expected(settings.backup_folder / "password", 0, 0, 0o400)


def _compare(expected: Expected) -> Iterator[Finding]:
    try:
        actual = expected.path.lstat()
    except FileNotFoundError:
        yield Finding(f"file {expected.path}", "existence", PRESENT, ABSENT)
        return
    owner = f"{actual.st_uid}:{actual.st_gid}"
    if owner != f"{expected.owner}:{expected.group}":
        yield Finding(f"file {expected.path}", "owner", f"{expected.owner}:{expected.group}", owner)
    if (mode := stat.S_IMODE(actual.st_mode)) != expected.mode:
        yield Finding(f"file {expected.path}", "mode", f"{expected.mode:04o}", f"{mode:04o}")


def _secrets(settings: Settings) -> Iterator[Finding]:
    folder = settings.folders.config / "secrets"
    # Another stack of the same prefix may have made some.
    known = {name for component in catalogue().components.values() for name in component.secrets}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name not in known:
            yield Finding(f"file {path}", "existence", ABSENT, PRESENT)
        elif path.stat().st_size == 0:
            yield Finding(f"file {path}", "content", "a secret", "empty")


# --- listening ports -----------------------------------------------------------------------------------------------------


def port_findings(machine: Machine) -> Iterator[Finding]:
    """TCP ports that other machines could reach and that nobody declared, of programs and of containers."""
    assert machine.settings.drift is not None  # noqa: S101 - else it is not asked
    declared = {*machine.settings.drift.ports, *machine.settings.open_ports}
    seen: set[tuple[str, int]] = set()
    for address, port, inode in listeners(machine.root):
        if port not in declared and not address.is_loopback and (str(address), port) not in seen:
            seen.add((str(address), port))
            yield Finding(f"port {_at(address, port)}", "existence", ABSENT, f"{PRESENT}, {_holder(machine.root, inode)}")
    for name, address, port in published(machine.client()):
        if port not in declared and not address.is_loopback and (str(address), port) not in seen:
            seen.add((str(address), port))
            yield Finding(f"port {_at(address, port)}", "existence", ABSENT, f"{PRESENT}, container {name}")


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _at(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def listeners(root: Path) -> Iterator[tuple[Address, int, str]]:
    """Address, port and inode of every listening TCP socket of the machine."""
    for file in (root / "proc/net/tcp", root / "proc/net/tcp6"):
        if not file.exists():
            continue
        for line in file.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING:
                address, port = fields[1].split(":")
                yield _address(address), int(port, 16), fields[9]


def _address(text: str) -> Address:
    """The kernel writes words of four bytes, each as the processor keeps it."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _holder(root: Path, inode: str) -> str:
    """Which program holds a socket, as far as this user may see."""
    for process in sorted(root.glob("proc/[0-9]*")):
        try:
            if any(os.readlink(link) == f"socket:[{inode}]" for link in (process / "fd").iterdir()):  # noqa: PTH115
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return "of a program that cannot be seen"


def published(client: docker.DockerClient) -> Iterator[tuple[str, Address, int]]:
    """Ports that containers have on this machine: without a listening program, where Docker forwards by rule."""
    for container in client.api.containers():
        for port in container["Ports"]:
            if port.get("PublicPort") and port.get("Type") == "tcp":
                yield container["Names"][0].lstrip("/"), ipaddress.ip_address(port["IP"]), port["PublicPort"]


# --- users ---------------------------------------------------------------------------------------------------------------


def user_findings(machine: Machine) -> Iterator[Finding]:
    """Who can log in or has rights of root without being declared, declared people who are missing, empty passwords."""
    assert machine.settings.drift is not None  # noqa: S101 - else it is not asked
    declared: Mapping[str, list[str]] = machine.settings.drift.users
    accounts = [line.split(":") for line in _lines(machine.root / "etc/passwd") if line.count(":") == 6]
    names = {fields[0] for fields in accounts}
    for name, _, uid, _, _, home, shell in accounts:
        if name != "root" and name not in declared and (reason := _may_enter(machine.root, int(uid), home, shell)):
            yield Finding(f"user {name}", "existence", ABSENT, f"{PRESENT}, {reason}")
    for name in sorted(set(declared) - names):
        yield Finding(f"user {name}", "existence", PRESENT, ABSENT)
    yield from _members(machine.root, declared)
    for fields in (line.split(":") for line in _lines(machine.root / "etc/shadow")):
        if len(fields) > 1 and not fields[1]:
            yield Finding(f"user {fields[0]}", "password", "one, or none that is accepted", "empty")


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines()


def _may_enter(root: Path, uid: int, home: str, shell: str) -> str:
    """How an account can be used by somebody, or nothing."""
    if uid == 0:
        return "with root's number"
    if shell not in NO_SHELLS and FIRST_PERSON <= uid != NOBODY:
        return f"with the shell {shell}"
    keys = root / home.lstrip("/") / ".ssh/authorized_keys"
    return "with keys for ssh" if keys.is_file() and keys.stat().st_size else ""


def _members(root: Path, declared: Mapping[str, list[str]]) -> Iterator[Finding]:
    for name, _, _, members in (line.split(":") for line in _lines(root / "etc/group") if line.count(":") == 3):
        if name in POWERFUL_GROUPS:
            actual = {member for member in members.split(",") if member} - {"root"}
            wanted = {user for user, groups in declared.items() if name in groups}
            for user in sorted(actual - wanted):
                yield Finding(f"user {user}", f"group {name}", ABSENT, PRESENT)
            for user in sorted(wanted - actual):
                yield Finding(f"user {user}", f"group {name}", PRESENT, ABSENT)


# --- Ansible -------------------------------------------------------------------------------------------------------------

# Phases that place something on the machine. The deployment is the first layer's, and the proof changes nothing.
PHASES = ("docker", "harden", "configure", "database", "operations")


def ansible_findings(machine: Machine) -> Iterator[Finding]:
    """Tasks that would change something, if everything was placed anew.

    Raises:
        Failed: a task could not be checked, or the machine did not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "drift.json"
        done = _run_ansible(machine, file)
        if not file.exists():
            raise Failed(f"ansible-playbook gave no result: {(done.stderr or done.stdout).strip()[-600:]}")
        document = json.loads(file.read_text(encoding="utf-8"))
    if document["broken"]:
        raise Failed(*(f"{one['host']}: {one['task']}: {one['reason']}" for one in document["broken"]))
    if done.returncode != 0:
        raise Failed(f"ansible-playbook ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    for one in document["changed"]:
        item = f" ({one['item']})" if one.get("item") else ""
        yield Finding(f"task {one['task']}{item}", "change", "none", f"due on {one['host']}")


def _run_ansible(machine: Machine, file: Path) -> subprocess.CompletedProcess[str]:
    return _play(machine, ["site.yml", "--check", "--tags", ",".join(PHASES)], {"CROWSNEST_DRIFT_FILE": str(file)})


def _play(machine: Machine, arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, *arguments, "-i", str(machine.inventory), "-e", f"stack={machine.settings.stack}"]
    try:
        return subprocess.run(
            command, cwd=PROJECT_ROOT, env={**os.environ, **environment},
            capture_output=True, text=True, timeout=ANSIBLE_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"ansible-playbook did not end within {ANSIBLE_SECONDS} s") from None


# --- by others -----------------------------------------------------------------------------------------------------------


def as_user(settings: Settings, name: str, uid: int, gid: int) -> Result:
    """Have another user look: what he has to write stays his."""
    command = [sys.executable, "-m", "infra.cli", "drift", "--stack", settings.stack, "--layer", name, "--json"]
    account = pwd.getpwuid(uid)
    begun = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=PROJECT_ROOT, env={**os.environ, "HOME": account.pw_dir, "USER": account.pw_name},
            user=uid, group=gid, extra_groups=os.getgrouplist(account.pw_name, gid),
            capture_output=True, text=True, timeout=ANSIBLE_SECONDS, check=False,
        )  # fmt: skip
        (result,) = from_json(json.loads(done.stdout.splitlines()[-1]))
    except (Failed, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return Result(name, time.monotonic() - begun, error=str(error) or type(error).__name__)
    return result


def elsewhere(machine: Machine, names: Sequence[str]) -> list[Result]:
    """Have the machines of another inventory look at themselves; what Ansible would place is compared from here."""
    theirs = [name for name in names if name != ANSIBLE]
    results = _reports(machine, theirs) if theirs else []
    return [*results, *(look(machine, name) for name in names if name == ANSIBLE)]


def _reports(machine: Machine, names: Sequence[str]) -> list[Result]:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        chosen = {"crowsnest_drift_folder": folder, "crowsnest_drift_layers": list(names)}
        try:
            done = _play(machine, ["playbooks/drift.yml", "-e", json.dumps(chosen)], {})
            files = sorted(Path(folder).glob("*.json"))
            if not files:
                raise Failed(f"no machine gave a report: {(done.stdout + done.stderr).strip()[-600:]}")
            return [
                replace(result, layer=f"{result.layer} of {file.stem}" if len(files) > 1 else result.layer)
                for file in files
                for result in from_json(json.loads(file.read_text(encoding="utf-8")))
            ]
        except (Failed, ValueError) as error:
            return [Result("machines", time.monotonic() - begun, error=str(error))]


# --- the table -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """One kind of thing that is compared.

    Args:
        summary: what is compared, for people.
        findings: what differs.
        needs: whether the stack declares what is compared; None: always.
    """

    summary: str
    findings: Callable[[Machine], Iterator[Finding]]
    needs: Callable[[Settings], bool] | None = None
    because: str = field(default="", kw_only=True)


UNDECLARED = "nothing is declared of the machine; add `drift:` to the stack's settings (docs/drift.md)"
CONTAINERS = "containers"
ANSIBLE = "ansible"
LAYERS: dict[str, Layer] = {
    "images": Layer("image that runs against the one that would be chosen", image_findings),
    "files": Layer("owner and rights of configuration, secrets and data", file_findings),
    "ports": Layer(
        "TCP ports that other machines reach", port_findings, lambda settings: settings.drift is not None, because=UNDECLARED
    ),
    "users": Layer(
        "who can log in, and who has rights of root", user_findings, lambda settings: settings.drift is not None,
        because=UNDECLARED,
    ),
    ANSIBLE: Layer("what Ansible would place anew, in check mode", ansible_findings),
}  # fmt: skip
NAMES = (CONTAINERS, *LAYERS)


def look(machine: Machine, name: str) -> Result:
    """Ask one layer. What keeps it from looking is part of its result."""
    layer, begun = LAYERS[name], time.monotonic()
    if layer.needs is not None and not layer.needs(machine.settings):
        return Result(name, skipped=layer.because)
    try:
        findings = list(layer.findings(machine))
    except (Failed, SupplyError, DockerException, OSError, ValueError) as error:
        return Result(name, time.monotonic() - begun, error=str(error) or type(error).__name__)
    return Result(name, time.monotonic() - begun, findings)
