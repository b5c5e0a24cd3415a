"""Content keys: the same inputs give the same key, any edit gives another. A key that exists is never built again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from infra.catalogue import PROJECT_ROOT, Component, catalogue
from supply.architecture import architecture
from supply.errors import SupplyError
from supply.recipe import GoProgram, JavaProgram, Recipe, WebPages, image_folder

LENGTH = 12
SOURCES = PROJECT_ROOT / "src"
WEB = PROJECT_ROOT / "web"
# What these modules do ends up in the image, so their text is an input like any recipe.
IMAGE_BUILDERS = ("build.py", "maven.py", "rootfs.py")
BASE_BUILDERS = ("debian.py", "wheels.py")
WEB_BUILDERS = ("web.py",)


def image_key(component: Component, recipe: Recipe) -> str:
    """Key of a component's image: recipe folder, the catalogue's facts that are baked in, builders and own sources.

    Raises:
        SupplyError: when a source that the recipe names is missing.
    """
    facts = component.model_dump(
        mode="json", include={"name", "licence", "packages", "uid", "ports", "data", "config", "tmpfs", "summary"}
    )
    files = {**_recipe(image_folder(component.name)), **_builders(*IMAGE_BUILDERS, *BASE_BUILDERS), **source_files(recipe)}
    if recipe.web:
        files |= {f"web/{name}": path for name, path in web_files(recipe.web).items()} | _builders(*WEB_BUILDERS)
    return _digest([facts, catalogue().tools.go if recipe.go else None, architecture()], files)


def base_key(recipe: Recipe, folder: Path) -> str:
    """Key of the root file system before the component's own files: Debian packages and locked wheels."""
    facts: list[object] = [recipe.suite, recipe.packages, recipe.refreshed.isoformat(), architecture()]
    files = _builders(*BASE_BUILDERS)
    if recipe.python:
        facts.append(recipe.python.model_dump(exclude={"sources"}))
        files["requirements.txt"] = folder / "requirements.txt"
    return _digest(facts, files)


def go_key(program: GoProgram, version: str, folder: Path) -> str:
    """Key of a Go binary: its module files, flags, version and toolchain."""
    facts = [program.model_dump(), version, catalogue().tools.go, architecture()]
    return _digest(facts, {name: folder / name for name in ("go.mod", "go.sum")})


def maven_key(program: JavaProgram, version: str) -> str:
    """Key of the jars: their coordinates and sums, and what is unpacked for this machine."""
    return _digest([program.model_dump(), version, architecture()], {})


def source_files(recipe: Recipe) -> dict[str, Path]:
    """Our own Python files that the image contains, by their path below ``src``.

    Raises:
        SupplyError: when one that the recipe names is missing.
    """
    found: dict[str, Path] = {}
    for name in recipe.python.sources if recipe.python else []:
        path = SOURCES / name
        if not path.exists():
            raise SupplyError(f"{path} is missing: the recipe names it under python.sources")
        for file in [path] if path.is_file() else _files(path):
            found[str(file.relative_to(SOURCES))] = file
    return found


def web_files(pages: WebPages) -> dict[str, Path]:
    """The sources of the pages, by their path below the project's ``web``.

    Raises:
        SupplyError: when one that the recipe names is missing.
    """
    found: dict[str, Path] = {}
    for name in pages.sources:
        path = WEB / name
        if not path.exists():
            raise SupplyError(f"{path} is missing: the recipe names it under web.sources")
        for file in [path] if path.is_file() else _files(path):
            found[str(file.relative_to(WEB))] = file
    return found


def web_key(pages: WebPages) -> str:
    """Key of the built pages: their sources, the locked packages among them, and how they are built."""
    return _digest(["web"], {**web_files(pages), **_builders(*WEB_BUILDERS)})


def packages_key(suite: str, packages: Sequence[str], refreshed: str) -> str:
    """Key of Debian packages as they come."""
    return _digest([suite, list(packages), refreshed, architecture()], _builders("debian.py"))


def _recipe(folder: Path) -> dict[str, Path]:
    return {f"recipe/{path.relative_to(folder)}": path for path in _files(folder)}


def _builders(*names: str) -> dict[str, Path]:
    return {f"supply/{name}": Path(__file__).with_name(name) for name in names}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _digest(facts: object, files: Mapping[str, Path]) -> str:
    """Hash of facts and files; names, contents and executable bits count, places and times do not."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, path in sorted(files.items()):
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise SupplyError(f"{path} is missing: the build needs it") from error
        executable = bool(path.stat().st_mode & 0o100)
        digest.update(f"\0{name}\0{executable}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:LENGTH]
