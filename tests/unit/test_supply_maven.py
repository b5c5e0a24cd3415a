"""Jars: what is fetched is held against the recipe's sum, and what Maven says is told in one line."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest

from supply import maven
from supply.cache import Cache
from supply.errors import SupplyError
from supply.recipe import JavaProgram

# Stands for Maven: copies the repository's file, as `dependency:copy` does, or fails as Maven does.
FAKE = """#!/bin/sh
[ ! -e pom.xml ] || exit 9
for word in "$@"; do
    case $word in
        -Dartifact=*) artifact=${word#*=} ;;
        -DoutputDirectory=*) target=${word#*=} ;;
    esac
done
name=$(echo "$artifact" | cut -d : -f 2)-$(echo "$artifact" | cut -d : -f 3).jar
echo "$artifact" >>"$FAKE_REPOSITORY/asked"
cp "$FAKE_REPOSITORY/$name" "$target/" || { echo "[ERROR] Could not find artifact $artifact"; echo "[ERROR] [Help 1]"; exit 1; }
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_REPOSITORY", str(folder))
    return folder


def jar(repository: Path, name: str, **files: str) -> str:
    """Put a jar into the repository; its sum."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    (repository / name).write_bytes(stream.getvalue())
    return hashlib.sha256(stream.getvalue()).hexdigest()


def program(sha256: str, **more: object) -> JavaProgram:
    return JavaProgram.model_validate(
        {"folder": "/usr/share/tool", "jars": [{"coordinates": "org.tool:tool:{version}", "sha256": sha256}], **more}
    )


def fetch(tmp_path: Path, what: JavaProgram) -> Path:
    return maven.fetch("tool", what, "1.2.3", Cache(tmp_path / "cache"), print)


def test_a_jar_is_fetched_once_and_its_libraries_stand_beside_it(tmp_path, repository):
    sum_of_it = jar(
        repository, "tool-1.2.3.jar", **{f"bin/linux-{maven._machine()}/tool.so": "elf", "bin/windows/tool.dll": "pe"}
    )
    what = program(sum_of_it, unpacked={"bin/linux-{machine}/*.so": "/usr/lib/tool"})

    first, second = fetch(tmp_path, what), fetch(tmp_path, what)

    assert first == second
    assert {str(path.relative_to(first)) for path in first.rglob("*") if path.is_file()} == {
        "usr/share/tool/tool-1.2.3.jar",
        "usr/lib/tool/tool.so",
    }
    assert (repository / "asked").read_text() == "org.tool:tool:1.2.3\n"


def test_a_jar_with_another_sum_is_refused_and_nothing_is_kept(tmp_path, repository):
    jar(repository, "tool-1.2.3.jar", file="another")

    with pytest.raises(SupplyError, match="the recipe says 0000"):
        fetch(tmp_path, program("0" * 64))
    assert list((tmp_path / "cache").rglob("*.jar")) == []


def test_a_jar_that_is_not_there_is_told_in_mavens_words(tmp_path, repository):
    with pytest.raises(SupplyError, match=r"mvn tool: Could not find artifact org\.tool:tool:1\.2\.3; see ") as told:
        fetch(tmp_path, program("0" * 64))
    assert "\n" not in str(told.value)


def test_a_pattern_that_matches_nothing_is_a_mistake_of_the_recipe(tmp_path, repository):
    sum_of_it = jar(repository, "tool-1.2.3.jar", file="text")

    with pytest.raises(SupplyError, match="nothing that matches"):
        fetch(tmp_path, program(sum_of_it, unpacked={"*.so": "/usr/lib/tool"}))


def test_without_maven_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SupplyError, match="apt-get install maven"):
        fetch(tmp_path, program("0" * 64))
