"""Typed view of a recipe: how the packages supply builds one image or tool.

A recipe is a folder: ``recipe.yml``, ``rootfs/`` with files copied as they are, go.mod with go.sum for Go programs, and
requirements.txt for Python programs.
User, ports, folders and stop signal are not in it: they are the catalogue's.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, PositiveInt, ValidationError, model_validator

from infra.catalogue import PROJECT_ROOT, AbsolutePath, Model
from supply.errors import SupplyError

IMAGES = PROJECT_ROOT / "supply" / "images"
TOOLS = PROJECT_ROOT / "supply" / "tools"


class GoProgram(Model):
    """A command of a Go module. In ``ldflags``, ``{version}`` is the version that is built, ``{number}`` that without its v."""

    module: str
    package: str = ""
    binary: str
    ldflags: list[str] = []
    tags: list[str] = []

    @property
    def import_path(self) -> str:
        """What ``go build`` is given."""
        return f"{self.module}/{self.package}".rstrip("/")


class PythonProgram(Model):
    """Wheels from ``requirements.txt`` beside the recipe, and our own sources.

    ``version`` must be the Python of the Debian suite; ``glibc_minor`` is the newest manylinux its glibc 2.x can load.
    """

    version: Annotated[str, Field(pattern=r"^3\.\d+$")]
    glibc_minor: Annotated[int, Field(ge=17)]
    # Below src/: only these end up in the image, and only they change its content key.
    sources: Annotated[list[str], Field(min_length=1)]


class WebPages(Model):
    """Pages that npm builds from the project's ``web`` folder, and where they stand in the image."""

    # Below web/: only these change the pages.
    sources: Annotated[list[str], Field(min_length=1)]
    target: AbsolutePath


class MavenArtifact(Model):
    """A jar of a Maven repository and the sum that is accepted. ``{version}`` in ``coordinates`` is the catalogue's version."""

    coordinates: Annotated[str, Field(pattern=r"^[\w.-]+:[\w.-]+:([\w.-]+|\{version\})$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class JavaProgram(Model):
    """Jars in one folder of the image, and what is unpacked from the first of them.

    A native library has to be unpacked: Java would do it at run time, into a folder from which nothing may be run.
    ``{machine}`` in a pattern stands for this machine as the jar calls it.
    """

    folder: AbsolutePath
    jars: Annotated[list[MavenArtifact], Field(min_length=1)]
    # Folder of the image, by a shell pattern of paths in the first jar.
    unpacked: dict[str, AbsolutePath] = {}


class Cost(Model):
    """What a first build takes on two cores, for messages and for the disk check."""

    seconds: PositiveInt
    disk_mb: PositiveInt


class ToolRecipe(Model):
    """How a command-line tool is built."""

    go: GoProgram
    cost: Cost


class Recipe(Model):
    """How an image is built.

    Raises:
        pydantic.ValidationError: on unknown keys, or when ``kind`` and its section do not agree.
    """

    kind: Literal["go", "debian", "python", "java"]
    suite: str
    # Packages come as they are on the build day; a new date here is a new content key, hence a rebuild with today's fixes.
    refreshed: dt.date
    packages: Annotated[list[str], Field(min_length=1)]
    # Shell patterns of paths below / that packages bring and the component never uses.
    drop: list[str] = []
    links: dict[AbsolutePath, str] = {}
    entrypoint: Annotated[list[str], Field(min_length=1)]
    env: dict[str, str] = {}
    go: GoProgram | None = None
    python: PythonProgram | None = None
    web: WebPages | None = None
    java: JavaProgram | None = None
    cost: Cost

    @model_validator(mode="after")
    def _section_of_kind(self) -> Self:
        sections = {"go": self.go, "python": self.python, "java": self.java}
        if {kind for kind, section in sections.items() if section} != {self.kind} - {"debian"}:
            raise ValueError(f"kind {self.kind} needs its own section and no other")
        return self


def image_folder(component: str) -> Path:
    """Folder of a component's recipe."""
    return IMAGES / component


def tool_folder(tool: str) -> Path:
    """Folder of a tool's recipe."""
    return TOOLS / tool


def read_image(component: str) -> Recipe:
    """Recipe of a component.

    Raises:
        SupplyError: when there is none, or it cannot be used.
    """
    return Recipe.model_validate(_document(image_folder(component), Recipe))


def read_tool(tool: str) -> ToolRecipe:
    """Recipe of a tool.

    Raises:
        SupplyError: when there is none, or it cannot be used.
    """
    return ToolRecipe.model_validate(_document(tool_folder(tool), ToolRecipe))


def _document(folder: Path, shape: type[Model]) -> object:
    path = folder / "recipe.yml"
    try:
        document: object = yaml.safe_load(path.read_text(encoding="utf-8"))
        shape.model_validate(document)
    except FileNotFoundError as error:
        raise SupplyError(f"{folder.name}: there is no recipe; write {path}") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise SupplyError(f"{folder.name}: correct {path}: {' '.join(str(error).split())}") from error
    return document
