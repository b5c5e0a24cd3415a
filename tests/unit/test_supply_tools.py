"""Pulumi and its Docker plugin: which one is taken, and that a failed download is not repeated all day."""

import os
import stat
import time
from pathlib import Path

import pytest

from infra.catalogue import catalogue
from supply import go, prerequisites, recipe, tools
from supply.cache import Cache
from supply.errors import SupplyError

WANTED = catalogue().tools.pulumi


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    cache = Cache(tmp_path / "cache")
    monkeypatch.setattr("supply.cache.default", lambda: cache)
    return cache


def program(path: Path, prints: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {prints}\n")
    path.chmod(0o755)
    return path


def built(cache: Cache) -> Path:
    steps = recipe.read_tool("pulumi")
    return go.location("pulumi", steps.go, WANTED, recipe.tool_folder("pulumi"), cache) / "bin" / "pulumi"


@pytest.mark.parametrize(
    ("version", "usable"), [(WANTED, True), ("v3.999.0", True), ("v3.1.0", False), ("v4.0.0", False), ("?", False)]
)
def test_pulumi_on_path_is_taken_when_new_enough(cache: Cache, tmp_path: Path, version: str, usable: bool) -> None:
    found = program(tmp_path / "bin" / "pulumi", version)
    assert tools.present_engine("auto") == (found if usable else None)


def test_each_supply_takes_its_own_engine(cache: Cache) -> None:
    own = program(built(cache), WANTED)
    assert tools.present_engine("auto") == tools.present_engine("packages") == own
    assert tools.present_engine("upstream") is None
    release = program(cache.root / "tools" / f"pulumi-{WANTED}" / "bin" / "pulumi", WANTED)
    assert tools.present_engine("upstream") == tools.present_engine("auto") == release
    assert tools.present_engine("packages") == own


def test_failed_engine_download_is_remembered_for_a_day(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[str] = []

    def fail(cache: Cache, version: str, supply: str, say: object) -> Path:
        attempts.append(supply)
        raise SupplyError("no way out")

    monkeypatch.setattr(tools, "_download_engine", fail)
    monkeypatch.setattr(tools, "_build_engine", lambda cache, version, say: Path("/built"))
    assert tools.engine("auto", print) == tools.engine("auto", print) == Path("/built")
    assert attempts == ["auto"]
    note = next((cache.root / "tools").glob("pulumi-*.failed"))
    os.utime(note, (0, time.time() - tools.RETRY_SECONDS - 1))
    tools.engine("auto", print)
    with pytest.raises(SupplyError, match="choose `supply: auto`"):
        tools.engine("upstream", print)
    assert tools.engine("packages", print) == Path("/built")
    assert attempts == ["auto", "auto", "upstream"]


def test_official_plugin_counts_only_when_complete(cache: Cache, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "plugins" / "resource-docker-v5.2.0"
    assert not tools._official_plugin("5.2.0")
    program(folder / tools.PLUGIN, "")
    assert tools._official_plugin("5.2.0")
    assert not tools._official_plugin("5.2.1")
    folder.with_name(f"{folder.name}.partial").touch()
    assert not tools._official_plugin("5.2.0")


def test_own_provider_when_the_plugin_cannot_be_downloaded(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "5.2.0")
    calls: list[str] = []

    def fail(*arguments: object) -> None:
        calls.append("download")
        raise SupplyError("no way out")

    monkeypatch.setattr(tools, "_download_plugin", fail)
    folder = tools.docker_provider("auto", print)
    assert folder == tools.docker_provider("auto", print) == tools.docker_provider("packages", print)
    assert folder is not None
    wrapper = folder / tools.PLUGIN
    assert wrapper.stat().st_mode & stat.S_IXUSR
    assert "-m supply.docker_provider" in wrapper.read_text()
    assert calls == ["download"]
    with pytest.raises(SupplyError, match="Crowsnest's own provider"):
        tools.docker_provider("upstream", print)


def test_none_when_the_official_plugin_is_there(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "5.2.0")
    program(tmp_path / "home" / "plugins" / "resource-docker-v5.2.0" / tools.PLUGIN, "")
    assert tools.docker_provider("auto", print) is None
    assert tools.docker_provider("upstream", print) is None
    assert tools.docker_provider("packages", print) is not None


@pytest.mark.parametrize(("version", "minor"), [("go1.26.8", True), ("go1.27rc1", True), ("go1.19.8", False)])
def test_go_on_path_or_its_toolchain(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, minor: bool
) -> None:
    found = program(tmp_path / "bin" / "go", f"go version {version} linux/amd64")
    monkeypatch.setattr(go, "_fetch_toolchain", lambda *arguments: Path("/fetched"))
    assert go.toolchain(cache, print) == (found if minor else Path("/fetched"))


def test_missing_prerequisites_are_debian_packages(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    components = list(catalogue().components.values())
    names = prerequisites.missing(components, "packages", None)
    assert "mmdebstrap" in names
    assert {"golang-go", "maven"} <= set(names)
    program(built(cache), WANTED)
    without_go = [component for component in components if component.name == "redis"]
    assert not {"golang-go", "maven"} & set(prerequisites.missing(without_go, "packages", None))
    assert prerequisites.missing(without_go, "upstream", None) == []
