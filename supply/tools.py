"""The Pulumi command-line tool and its Docker plugin: the official ones where they can be had, else our own."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from infra.catalogue import PROJECT_ROOT, catalogue
from infra.settings import Supply
from supply import cache as caches
from supply import commands, go, recipe
from supply.cache import Cache
from supply.errors import Say, SupplyError

PLUGIN = "pulumi-resource-docker"
RETRY_SECONDS = 24 * 3600
# `auto` has another way and must not keep people waiting; `upstream` has only this one.
ENGINE_DOWNLOAD_SECONDS = {"auto": 180, "upstream": 600}
PLUGIN_DOWNLOAD_SECONDS = {"auto": 30, "upstream": 300}
# The Automation API's own installer has no time limit: an address that swallows packets would hold it for minutes.
_INSTALL = """
import socket, sys
socket.setdefaulttimeout(10)
from pulumi.automation import PulumiCommand
from semver import VersionInfo
PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))
"""


def engine(supply: Supply, say: Say) -> Path:
    """A ``pulumi`` executable: on PATH and new enough, else the official release, else built from its Go module.

    Raises:
        SupplyError: when there is none and ``supply`` allows no way that works here.
    """
    present = present_engine(supply)
    if present:
        return present
    cache, version = caches.default(), catalogue().tools.pulumi
    if supply != "packages" and _worth_trying(cache, f"pulumi-{version}", supply):
        try:
            return _download_engine(cache, version, supply, say)
        except SupplyError as error:
            if supply == "upstream":
                raise SupplyError(
                    f"{error}; install Pulumi {version} or later on PATH, or choose `supply: auto` or `packages` to build it"
                ) from error
            say(f"pulumi: the release {version} cannot be downloaded; building it instead ({error})")
            _remember_failure(cache, f"pulumi-{version}")
    return _build_engine(cache, version, say)


def present_engine(supply: Supply) -> Path | None:
    """The ``pulumi`` that `engine` would return without downloading or building, if any."""
    found = shutil.which("pulumi")
    if found and _usable(found):
        return Path(found)
    cache, version = caches.default(), catalogue().tools.pulumi
    candidates = [] if supply == "packages" else [_release(cache, version) / "bin" / "pulumi"]
    if supply != "upstream":
        steps = recipe.read_tool("pulumi")
        built = go.location("pulumi", steps.go, version, recipe.tool_folder("pulumi"), cache)
        candidates.append(built / steps.go.binary.lstrip("/"))
    return next((path for path in candidates if path.exists()), None)


def docker_provider(supply: Supply, say: Say) -> Path | None:
    """Folder to put first on PATH for our own Docker provider, or None when Pulumi has the official plugin.

    Raises:
        SupplyError: when ``supply`` is ``upstream`` and the official plugin can neither be found nor downloaded.
    """
    if supply == "packages":
        return _own_provider(caches.default())
    version = importlib.metadata.version("pulumi-docker")
    if _official_plugin(version):
        return None
    cache = caches.default()
    if _worth_trying(cache, f"docker-plugin-{version}", supply):
        try:
            _download_plugin(cache, version, supply, say)
        except SupplyError as error:
            if supply == "upstream":
                raise SupplyError(f"{error}; or choose `supply: auto` or `packages` to use Crowsnest's own provider") from error
            say(f"docker plugin: version {version} cannot be downloaded; using Crowsnest's own provider ({error})")
            _remember_failure(cache, f"docker-plugin-{version}")
        else:
            return None
    return _own_provider(cache)


def _download_engine(cache: Cache, version: str, supply: Supply, say: Say) -> Path:
    limit = ENGINE_DOWNLOAD_SECONDS[supply]
    say(f"pulumi: downloading the release {version} (up to {limit} s)")
    with cache.locked(say):
        commands.run(
            [sys.executable, "-c", _INSTALL, _release(cache, version), version.removeprefix("v")],
            what="pulumi: download", log=cache.log("pulumi-download"), say=say, timeout_seconds=limit,
        )  # fmt: skip
    return _release(cache, version) / "bin" / "pulumi"


def _build_engine(cache: Cache, version: str, say: Say) -> Path:
    steps = recipe.read_tool("pulumi")
    with cache.locked(say):
        started = time.monotonic()
        say(f"pulumi: building {version} from its Go module (first time about {steps.cost.seconds} s)")
        folder = go.build("pulumi", steps.go, version, recipe.tool_folder("pulumi"), cache, say, steps.cost.disk_mb)
        binary = folder / steps.go.binary.lstrip("/")
        say(f"pulumi: built in {time.monotonic() - started:.0f} s, {binary.stat().st_size // 10**6} MB")
    return binary


def _release(cache: Cache, version: str) -> Path:
    return cache.root / "tools" / f"pulumi-{version}"


def _usable(command: str) -> bool:
    """Whether this ``pulumi`` has the catalogue's major version and at least its minor one."""
    try:
        answer = subprocess.run(
            [command, "version"], capture_output=True, text=True, check=False, timeout=30,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    found, wanted = _major_minor(answer.stdout), _major_minor(catalogue().tools.pulumi)
    return found is not None and wanted is not None and found[0] == wanted[0] and found >= wanted


def _major_minor(version: str) -> tuple[int, int] | None:
    match = re.match(r"v?(\d+)\.(\d+)\.", version.strip())
    return (int(match.group(1)), int(match.group(2))) if match else None


def _official_plugin(version: str) -> bool:
    """Whether Pulumi's plugin folder has exactly this version, completely unpacked."""
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    folder = home / "plugins" / f"resource-docker-v{version}"
    return os.access(folder / PLUGIN, os.X_OK) and not folder.with_name(f"{folder.name}.partial").exists()


def _download_plugin(cache: Cache, version: str, supply: Supply, say: Say) -> None:
    command: list[str | Path] = [engine(supply, say), "plugin", "install", "resource", "docker", version]
    limit = PLUGIN_DOWNLOAD_SECONDS[supply]
    say(f"docker plugin: downloading version {version} (up to {limit} s)")
    commands.run(
        command, what="docker plugin: download", log=cache.log("docker-plugin"), say=say, timeout_seconds=limit,
        environment={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
    )  # fmt: skip


def _own_provider(cache: Cache) -> Path:
    """Folder with a ``pulumi-resource-docker`` that starts our provider with this Python and this checkout."""
    script = f'#!/bin/sh\nPYTHONPATH="{PROJECT_ROOT}" exec "{sys.executable}" -m supply.docker_provider "$@"\n'
    folder = cache.root / "tools" / f"docker-provider-{hashlib.sha256(script.encode()).hexdigest()[:12]}"
    wrapper = cache.folder("tools", folder.name) / PLUGIN
    if not wrapper.exists():
        scratch = wrapper.with_suffix(f".{os.getpid()}")
        scratch.write_text(script, encoding="utf-8")
        scratch.chmod(0o755)
        scratch.replace(wrapper)
    return folder


def _worth_trying(cache: Cache, what: str, supply: Supply) -> bool:
    """Whether a download should be tried: not within a day of a failure, unless there is no other way."""
    note = cache.root / "tools" / f"{what}.failed"
    return supply == "upstream" or not note.exists() or time.time() - note.stat().st_mtime > RETRY_SECONDS


def _remember_failure(cache: Cache, what: str) -> None:
    (cache.folder("tools") / f"{what}.failed").touch()
