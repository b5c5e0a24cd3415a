"""The virtual machine's disks: a plain Debian with every package of the roles, the project's Python and the stack's images.

Everything is made at this machine's speed, because the emulated one is ten times slower. Two disks, each kept by the content
that went into it: the system, and Docker's data (the stack's images change with every change of the library, Debian's packages
do not). ``python -m tests.vm.image [SUITE]`` builds what is missing and says where it is.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import yaml

from infra import settings
from infra.catalogue import PROJECT_ROOT
from supply import cache as caches
from supply import debian, images, tools

HERE = Path(__file__).parent
SUITES = ("bookworm", "trixie")
STACK = "demo"
ADMIN = "operator"
ADDRESS, ADDRESS6 = "10.77.0.2", "fd77::2"
SYSTEM_MB, DOCKER_MB = 8192, 6144
# What a Debian machine has before any role: the kernel of cloud images, a boot, a network, ssh, sudo, and Python for Ansible.
BASE = [
    "linux-image-cloud-amd64", "initramfs-tools", "systemd-sysv", "libpam-systemd", "dbus", "apparmor", "openssh-server",
    "sudo", "python3", "python3-apt", "python3-venv", "ca-certificates", "iproute2", "procps",
]  # fmt: skip
# What the tests themselves need.
EXTRA = ["lynis"]

TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs",
    "ip": "iproute2", "ssh": "openssh-client",
}  # fmt: skip

PRIVATE_MOUNTS = ("unshare", "--mount", "--propagation", "private")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Disks:
    """Files of one machine. The disks are never written: a run puts a layer of its own over them."""

    suite: str
    folder: Path
    docker: Path

    @property
    def system(self) -> Path:
        return self.folder / "system.raw"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def key(self) -> Path:
        """The administrator's private key."""
        return self.folder / "id_ed25519"

    @property
    def host_key(self) -> str:
        """The machine's public ed25519 key, without a name."""
        return (self.folder / "host_key.pub").read_text(encoding="ascii").strip()


def role_packages() -> list[str]:
    """Debian packages of all roles: the lists named ``<role>_packages`` in their vars."""
    found: set[str] = set()
    for path in sorted((PROJECT_ROOT / "roles").glob("*/vars/main.yml")):
        role = path.parents[1].name
        names = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get(f"{role}_packages")
        found |= set(names if isinstance(names, list) else [])  # the engine's depend on the machine, see packages()
    return sorted(found)


def packages(suite: str) -> list[str]:
    """Everything that is installed in the image."""
    engine = ["docker.io", "iptables", *(["docker-cli"] if suite == "trixie" else [])]
    return sorted({*BASE, *EXTRA, *engine, *role_packages()})


def require_tools(say: Say) -> None:
    """Install what this computer needs for a virtual machine and lacks."""
    if platform.machine() != "x86_64":
        raise SystemExit("the virtual machine is built for x86_64 only")
    missing = [package for program, package in TOOLS.items() if shutil.which(program) is None]
    if missing:
        say(f"image: installing {', '.join(missing)}")
        _run("apt-get", "update", "-qq")
        _run(
            "apt-get",
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            *missing,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )


def build(suite: str, say: Say) -> Disks:
    """The disks for this suite, built when their content changed. Needs root: machines have users and devices."""
    if os.geteuid() != 0:
        raise SystemExit("the virtual machine is built, and has its network, as root")
    require_tools(say)
    # These hold the cache themselves while they build, so they come before it is held here.
    engine, references = tools.engine("packages", say), _images(say)
    cache = caches.default()
    with cache.locked(say):
        system = _kept(cache, f"vm-{suite}", _system_key(suite), lambda target: _build_system(suite, engine, target, say))
        key = _hash(*references, _recipe(_build_docker))
        images_folder = _kept(cache, "vm-docker", key, lambda target: _build_docker(references, target, say))
    return Disks(suite, system, images_folder / "docker.raw")


def _kept(cache: caches.Cache, name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The artifact with this key, a folder; made when missing. What else is written beside it goes when the cache is let go."""
    final = cache.artifact(name, key)
    if not final.exists():
        with cache.writing(final) as scratch:
            scratch.mkdir()
            make(scratch)
        cache.prune(name, "")
    caches.use(final)
    return final


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _recipe(*makers: Callable[..., None]) -> str:
    """What is done, as text."""
    return "".join(map(inspect.getsource, (*makers, _make_disk))) + repr((ADMIN, ADDRESS, ADDRESS6, SYSTEM_MB, DOCKER_MB))


def _system_key(suite: str) -> str:
    files = [HERE / "customize.sh", PROJECT_ROOT / "requirements.txt", PROJECT_ROOT / "scripts/bootstrap.sh"]
    return _hash(
        _recipe(_build_system, _place_engine),
        *(path.read_text(encoding="utf-8") for path in files),
        *debian.sources(suite),
        *packages(suite),
    )


def _run(*command: str | Path, **options: object) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr, **options)  # type: ignore[call-overload]


@contextmanager
def _timed(what: str, say: Say) -> Iterator[None]:
    say(f"image: {what}")
    begun = time.monotonic()
    yield
    say(f"image: {what}: {time.monotonic() - begun:.0f} s")


def _build_system(suite: str, engine: Path, target: Path, say: Say) -> None:
    tree = target.parent / "tree"
    with _timed(f"{len(packages(suite))} Debian packages of {suite}", say):
        options = target.parent / "apt.conf"
        options.write_text(
            "\n".join([*debian.transport_options(), 'Acquire::Languages "none";', 'APT::Install-Recommends "false";'])
        )
        # A mount namespace of its own: what the build mounts is gone when it ends, also when it is killed, so that nothing
        # which tidies the folder later can reach into this machine's /proc, /sys and /dev.
        _run(
            *PRIVATE_MOUNTS, "mmdebstrap", "--quiet", "--variant=important", f"--include={','.join(packages(suite))}",
            f"--aptopt={options}", "--dpkgopt=force-unsafe-io", f"--keyring={debian.KEYRING}",
            suite, tree, *debian.sources(suite),
        )  # fmt: skip
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", target / "id_ed25519")
    with _timed("accounts, network and the project's Python", say):
        project = tree / "opt/crowsnest"
        (project / "scripts").mkdir(parents=True)
        shutil.copy(PROJECT_ROOT / "requirements.txt", project)
        shutil.copy(PROJECT_ROOT / "scripts/bootstrap.sh", project / "scripts")
        key = (target / "id_ed25519.pub").read_text(encoding="ascii").strip()
        values = {"ADMIN": ADMIN, "ADMIN_KEY": key, "ADDRESS": ADDRESS, "ADDRESS6": ADDRESS6}
        _run(*PRIVATE_MOUNTS, "sh", HERE / "customize.sh", tree, env={**os.environ, **values})
    _place_engine(tree, engine)
    for name, kept in (
        ("boot/vmlinuz-*", "vmlinuz"),
        ("boot/initrd.img-*", "initrd"),
        ("etc/ssh/ssh_host_ed25519_key.pub", "host_key.pub"),
    ):
        shutil.copy(next(tree.glob(name)), target / kept)
    with _timed("the system's disk", say):
        _make_disk(tree, target / "system.raw", SYSTEM_MB)


def _place_engine(tree: Path, command: Path) -> None:
    """The Pulumi engine, where the machine's own supply looks for it."""
    cache = caches.default().root
    inside = (
        Path("/var/cache/crowsnest") / command.relative_to(cache)
        if command.is_relative_to(cache)
        else Path("/usr/local/bin/pulumi")
    )
    (tree / inside.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(command, tree / inside.relative_to("/"))


def _make_disk(tree: Path, disk: Path, megabytes: int) -> None:
    with disk.open("wb") as handle:
        handle.truncate(megabytes * 2**20)
    _run("mke2fs", "-q", "-t", "ext4", "-m", "1", "-d", tree, disk)


def _images(say: Say) -> list[str]:
    """Names of the stack's images; built when this machine does not have them."""
    client = docker.from_env()
    try:
        return [images.ensure(component, "packages", client, say).reference for component in settings.read(STACK).components]
    finally:
        client.close()


def _build_docker(references: list[str], target: Path, say: Say) -> None:
    """Docker's data folder with the images in it, written by an engine of its own that has no network and starts nothing."""
    with _timed(f"a disk with {len(references)} images of stack {STACK}", say):
        scratch = target.parent
        data, socket = scratch / "docker", f"unix://{scratch}/docker.sock"
        with (target / "engine.log").open("w") as log:
            engine = subprocess.Popen(
                ["unshare", "--net", "dockerd", f"--data-root={data}", f"--exec-root={scratch}/run", f"--pidfile={scratch}/pid",
                 f"--host={socket}", "--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=overlay2"],
                stdout=log, stderr=log,
            )  # fmt: skip
            try:
                for _ in range(60):
                    if subprocess.run(["docker", "-H", socket, "version"], capture_output=True, check=False).returncode == 0:
                        break
                    time.sleep(0.5)
                saved = subprocess.Popen(["docker", "save", *references], stdout=subprocess.PIPE)
                _run("docker", "-H", socket, "load", "--quiet", stdin=saved.stdout)
                if saved.wait() != 0:
                    raise RuntimeError("docker save failed")
            finally:
                engine.terminate()
                engine.wait(60)
        _make_disk(data, target / "docker.raw", DOCKER_MB)


if __name__ == "__main__":
    disks = build(sys.argv[1] if len(sys.argv) > 1 else SUITES[0], lambda line: print(line, flush=True))
    print(disks.folder, disks.docker, sep="\n")
