"""Recipes are complete, agree with the catalogue, and name no registry."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.catalogue import PROJECT_ROOT, catalogue
from supply import go, recipe
from supply.errors import SupplyError
from supply.recipe import Recipe

COMPONENTS = [name for name, component in catalogue().components.items() if component.packages]


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_has_a_complete_recipe(name: str) -> None:
    steps = recipe.read_image(name)
    folder = recipe.image_folder(name)
    command = steps.entrypoint[0]
    own = folder / "rootfs" / command.lstrip("/")
    if steps.java:
        assert command in steps.links
    elif steps.go:
        assert command == steps.go.binary
        assert (folder / "go.sum").stat().st_size > 0
    elif steps.kind == "debian" and not {name, f"prometheus-{name}", Path(command).name} & set(steps.packages):
        assert own.stat().st_mode & 0o111 == 0o111, f"{own} must be executable"
    if steps.python:
        assert "--hash=sha256:" in (folder / "requirements.txt").read_text()


@pytest.mark.parametrize("name", [name for name in COMPONENTS if recipe.read_image(name).go])
def test_go_module_has_the_catalogues_version(name: str) -> None:
    steps = recipe.read_image(name)
    assert steps.go is not None
    assert go.required_version(steps.go.module, recipe.image_folder(name)) == catalogue()[name].packages.version


def test_pulumi_module_has_the_catalogues_version() -> None:
    version = go.required_version(recipe.read_tool("pulumi").go.module, recipe.tool_folder("pulumi"))
    assert version == catalogue().tools.pulumi


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_toolchain_sum_is_committed(architecture: str) -> None:
    sums = (recipe.tool_folder("go") / "go.sum").read_text()
    assert f"{go.TOOLCHAIN_MODULE} v0.0.1-go{catalogue().tools.go}.linux-{architecture} h1:" in sums


def test_debian_major_version_is_the_catalogues() -> None:
    assert f"postgresql-{catalogue()['postgresql'].packages.version}" in recipe.read_image("postgresql").packages


def test_kind_and_section_must_agree() -> None:
    tree = recipe.read_image("redis").model_dump()
    with pytest.raises(ValidationError, match="its own section"):
        Recipe.model_validate({**tree, "kind": "go"})


def test_a_jar_without_a_sum_or_with_another_shape_of_name_is_refused() -> None:
    tree = recipe.read_image("questdb").model_dump()
    (first, *_) = tree["java"]["jars"]
    for bad in (
        {**first, "sha256": "abc"},
        {**first, "coordinates": "org.questdb:questdb"},
        {"coordinates": first["coordinates"]},
    ):
        with pytest.raises(ValidationError):
            Recipe.model_validate({**tree, "java": {**tree["java"], "jars": [bad]}})


def test_missing_and_damaged_recipes_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "IMAGES", tmp_path)
    with pytest.raises(SupplyError, match=r"there is no recipe; write .*recipe\.yml"):
        recipe.read_image("nothing")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "recipe.yml").write_text("kind: other\nunknown: 1\n")
    with pytest.raises(SupplyError, match="bad: correct") as caught:
        recipe.read_image("bad")
    assert "\n" not in str(caught.value)


def test_no_file_of_the_supply_names_a_registry_host() -> None:
    hosts = re.compile(r"deb\.debian\.org|proxy\.golang\.org|pypi\.org|pythonhosted|registry-1\.|docker\.io|get\.pulumi\.com")
    suffixes = (".py", ".yml", ".txt", ".mod")
    # The Docker provider compares image names as Docker does, for which it must know the default registry's name.
    files = [
        path for path in (PROJECT_ROOT / "supply").rglob("*") if path.suffix in suffixes and "docker_provider" not in path.parts
    ]
    assert files
    assert [str(path) for path in files if hosts.search(path.read_text())] == []
