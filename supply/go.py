"""Go programs from the module proxy that this machine is configured for; go.sum in the project decides what is accepted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from infra.catalogue import catalogue
from supply import cache as caches
from supply import commands, keys
from supply.architecture import architecture
from supply.cache import Cache
from supply.errors import Say, SupplyError
from supply.recipe import GoProgram, tool_folder

TOOLCHAIN_MODULE = "golang.org/toolchain"
# Variables that would weaken the verification of sums or change what is built.
_OWN_VARIABLES = ("GOFLAGS", "GONOSUMDB", "GONOSUMCHECK", "GOINSECURE", "GOROOT", "GOWORK", "GOEXPERIMENT", "GOOS", "GOARCH")


def build(name: str, program: GoProgram, version: str, folder: Path, cache: Cache, say: Say, disk_mb: int) -> Path:
    """A folder that holds the program at its path ``program.binary``; built unless it is in the cache.

    Raises:
        SupplyError: when go.mod asks for another version, Go is missing, or the build fails.
    """
    built = location(name, program, version, folder, cache)
    if built.exists():
        caches.use(built)
        return built
    _check_version(program, version, folder)
    cache.require_space(name, disk_mb)
    go = toolchain(cache, say)
    with cache.writing(built) as scratch:
        modules = scratch.with_suffix(".modules")
        shutil.copytree(folder, modules)
        flags = " ".join(["-s", "-w", *program.ldflags]).format(version=version, number=version.removeprefix("v"))
        command: list[str | Path] = [go, "build", "-o", scratch / program.binary.lstrip("/"), "-ldflags", flags]
        command += ["-tags", ",".join(program.tags), program.import_path]
        commands.run(
            command,
            what=f"{name}: go build",
            log=cache.log(f"{name}-go"),
            say=say,
            environment=_environment(cache),
            folder=modules,
        )
    cache.prune(name, "go-")
    return built


def location(name: str, program: GoProgram, version: str, folder: Path, cache: Cache) -> Path:
    """Where `build` puts, or has put, the program."""
    return cache.artifact(name, f"go-{keys.go_key(program, version, folder)}")


def toolchain(cache: Cache, say: Say) -> Path:
    """A Go command that is new enough: the one on PATH, or the catalogue's version, fetched by any older Go.

    Raises:
        SupplyError: when there is no Go at all, or the toolchain does not match its committed sum.
    """
    wanted = catalogue().tools.go
    found = installed()
    if found is None:
        raise SupplyError("Go is needed to build from packages: run `apt-get install golang-go` (any version will do)")
    if _minor(_version_of(found)) >= _minor(wanted):
        return found
    return _fetch_toolchain(found, wanted, cache, say)


def installed() -> Path | None:
    """The ``go`` on PATH, of any version."""
    found = shutil.which("go")
    return Path(found) if found else None


def _fetch_toolchain(go: Path, version: str, cache: Cache, say: Say) -> Path:
    """Download the toolchain as a module, which verifies it against our go.sum. Old Go drops the executable bits."""
    release = f"v0.0.1-go{version}.linux-{architecture()}"
    root = cache.root / "go" / "mod" / f"{TOOLCHAIN_MODULE}@{release}"
    command = root / "bin" / "go"
    if os.access(command, os.X_OK):
        return command
    modules = cache.folder("tmp", "toolchain")
    shutil.copy(tool_folder("go") / "go.sum", modules / "go.sum")
    (modules / "go.mod").write_text(
        f"module crowsnest.local/go\n\ngo 1.19\n\nrequire {TOOLCHAIN_MODULE} {release}\n", encoding="utf-8"
    )
    say(f"go {version}: fetching the toolchain (about 70 MB)")
    environment = {**_environment(cache), "GOFLAGS": "-mod=readonly"}
    commands.run(
        [go, "mod", "download", TOOLCHAIN_MODULE],
        what=f"go {version}", log=cache.log("go-toolchain"), say=say, environment=environment, folder=modules,
    )  # fmt: skip
    # The command itself comes last: its executable bit says that all is ready.
    for program in (*root.glob("pkg/tool/*/*"), *root.glob("bin/*")):
        program.chmod(0o755)
    return command


def _environment(cache: Cache) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
    return environment | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        # -modcacherw: the cache stays deletable by its owner.
        "GOFLAGS": "-buildvcs=false -trimpath -mod=readonly -modcacherw",
        "GOPATH": str(cache.folder("go")),
        "GOMODCACHE": str(cache.folder("go", "mod")),
        "GOCACHE": str(cache.folder("go", "build")),
        "GOTMPDIR": str(cache.folder("tmp")),
    }


def _check_version(program: GoProgram, version: str, folder: Path) -> None:
    required = required_version(program.module, folder)
    if required != version:
        raise SupplyError(
            f"{folder / 'go.mod'} requires {program.module} {required}, the catalogue says {version}: make them equal"
        )


def required_version(module: str, folder: Path) -> str | None:
    """The version of a module that ``go.mod`` in this folder requires directly."""
    text = (folder / "go.mod").read_text(encoding="utf-8")
    match = re.search(rf"^(?:require\s+|\s+){re.escape(module)}\s+(\S+)", text, re.MULTILINE)
    return match.group(1) if match else None


def _version_of(go: Path) -> str:
    answer = subprocess.run(
        [go, "version"], capture_output=True, text=True, check=False, env={**os.environ, "GOTOOLCHAIN": "local"}
    )
    match = re.search(r"\bgo(\d+\.\d+)", answer.stdout)
    if match is None:
        raise SupplyError(f"{go} does not tell its version: {(answer.stderr or answer.stdout).strip()}")
    return match.group(1)


def _minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)
