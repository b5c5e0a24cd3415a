"""Content keys: same inputs, same key; any edit, another key."""

from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import catalogue
from supply import keys, recipe, web
from supply.errors import SupplyError
from supply.recipe import Recipe


@pytest.fixture
def trader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the trader's key depends on, small and editable."""
    (tmp_path / "images" / "rootfs").mkdir(parents=True)
    (tmp_path / "images" / "recipe.yml").write_text("kind: python")
    (tmp_path / "images" / "rootfs" / "run").write_text("#!/bin/sh\n")
    (tmp_path / "images" / "requirements.txt").write_text("a==1")
    inside = [name if name.endswith(".py") else f"{name}/a.py" for name in recipe.read_image("trader").python.sources]
    for name in (*inside, "crowsnest/api/other.py"):
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_text("x = 1\n")
    monkeypatch.setattr(keys, "SOURCES", tmp_path / "src")
    monkeypatch.setattr(keys, "image_folder", lambda name: tmp_path / "images")
    return tmp_path


def key(**changes: Any) -> str:
    return keys.image_key(catalogue()["trader"].model_copy(update=changes), recipe.read_image("trader"))


def test_key_is_stable_and_short(trader: Path) -> None:
    assert key() == key()
    assert len(key()) == 12


@pytest.mark.parametrize(
    "path",
    [
        "images/recipe.yml",
        "images/rootfs/run",
        "images/requirements.txt",
        "src/crowsnest/__init__.py",
        "src/crowsnest/logs/a.py",
    ],
)
def test_any_edit_changes_the_key(trader: Path, path: str) -> None:
    before = key()
    (trader / path).write_text("edited")
    assert key() != before


def test_executable_bit_and_new_file_change_the_key(trader: Path) -> None:
    before = key()
    (trader / "images" / "rootfs" / "run").chmod(0o755)
    executable = key()
    (trader / "src" / "crowsnest" / "engine" / "new.py").write_text("")
    assert len({before, executable, key()}) == 3


def test_what_the_image_does_not_contain_changes_nothing(trader: Path) -> None:
    before = key()
    (trader / "src" / "crowsnest" / "api" / "other.py").write_text("edited")
    (trader / "src" / "crowsnest" / "logs" / "__pycache__").mkdir()
    (trader / "src" / "crowsnest" / "logs" / "__pycache__" / "a.pyc").write_text("")
    assert key() == before


@pytest.mark.parametrize("change", [{"uid": 10999}, {"licence": "MIT"}, {"data": "/elsewhere"}])
def test_catalogue_facts_in_the_image_change_the_key(trader: Path, change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_catalogue_facts_outside_the_image_change_nothing(trader: Path) -> None:
    component = catalogue()["trader"]
    assert key(limits=component.limits.model_copy(update={"memory_mb": 1}), probe=component.probe) == key()


def test_missing_source_is_named(trader: Path) -> None:
    (trader / "src" / "crowsnest" / "__init__.py").unlink()
    with pytest.raises(SupplyError, match=r"crowsnest/__init__\.py is missing"):
        key()


def test_own_sources_do_not_change_the_base(trader: Path) -> None:
    steps: Recipe = recipe.read_image("trader")
    before = keys.base_key(steps, trader / "images")
    (trader / "src" / "crowsnest" / "__init__.py").write_text("edited")
    assert keys.base_key(steps, trader / "images") == before
    (trader / "images" / "requirements.txt").write_text("a==2")
    assert keys.base_key(steps, trader / "images") != before


def test_go_key_follows_sums_and_flags() -> None:
    steps = recipe.read_tool("pulumi")
    folder = recipe.tool_folder("pulumi")
    first = keys.go_key(steps.go, "v1", folder)
    assert keys.go_key(steps.go, "v2", folder) != first
    assert keys.go_key(steps.go.model_copy(update={"tags": ["x"]}), "v1", folder) != first


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recipe.WebPages:
    """The sources of the viewer's pages, small and editable."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.tsx").write_text("render()")
    (tmp_path / "package-lock.json").write_text("{}")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "other.js").write_text("1")
    monkeypatch.setattr(keys, "WEB", tmp_path)
    return recipe.WebPages(sources=["src", "package-lock.json"], target="/opt/web")


def test_pages_are_built_again_for_their_sources_and_their_locked_packages_alone(
    pages: recipe.WebPages, tmp_path: Path
) -> None:
    before = keys.web_key(pages)
    (tmp_path / "node_modules" / "other.js").write_text("2")
    (tmp_path / "dist").mkdir()
    assert keys.web_key(pages) == before
    (tmp_path / "package-lock.json").write_text('{"a": 1}')
    locked = keys.web_key(pages)
    (tmp_path / "src" / "main.tsx").write_text("render(2)")
    assert len({before, locked, keys.web_key(pages)}) == 3


def test_missing_source_of_the_pages_is_named(pages: recipe.WebPages, tmp_path: Path) -> None:
    (tmp_path / "package-lock.json").unlink()
    with pytest.raises(SupplyError, match=r"package-lock\.json is missing: the recipe names it under web\.sources"):
        keys.web_key(pages)


def test_the_recipe_takes_all_that_the_build_reads() -> None:
    """What vite and tsc see of web/ apart from what they make."""
    listed = set(recipe.read_image("api").web.sources)
    made = {"dist", "node_modules", "openapi", "screenshots", "scripts", "biome.json"}
    assert listed == {path.name for path in keys.WEB.iterdir()} - made


def test_npm_gets_this_machines_way_to_its_registry_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", "https://packages.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "x")
    passed = web._environment()
    assert passed["npm_config_registry"] == "https://packages.example"
    assert passed["HTTPS_PROXY"] == "http://proxy.example"
    assert "SECRET_OF_THE_SHELL" not in passed
