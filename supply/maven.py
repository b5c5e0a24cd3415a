"""Jars from the repository that this machine's Maven is configured for; the sums in the recipe decide what is accepted."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from supply import cache as caches
from supply import commands, keys
from supply.architecture import WHEEL_NAMES, architecture
from supply.cache import Cache
from supply.errors import Say, SupplyError
from supply.recipe import JavaProgram, MavenArtifact

# The plugin that copies an artifact. What it brings is held against our own sums, whatever the plugin is.
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
TIMEOUT_SECONDS = 600


def fetch(name: str, program: JavaProgram, version: str, cache: Cache, say: Say) -> Path:
    """A folder that holds the jars, and what is unpacked from the first, at their paths in the image.

    Raises:
        SupplyError: when Maven is missing, cannot bring a jar, or the jar does not have its sum.
    """
    built = cache.artifact(name, f"maven-{keys.maven_key(program, version)}")
    if built.exists():
        caches.use(built)
        return built
    if not installed():
        raise SupplyError(f"{name}: Maven is needed to fetch jars: run `apt-get install maven`")
    with cache.writing(built) as scratch:
        folder = scratch / program.folder.lstrip("/")
        folder.mkdir(parents=True)
        jars = [_fetch_one(name, jar, version, folder, cache, say) for jar in program.jars]
        for pattern, target in program.unpacked.items():
            _unpack(jars[0], pattern.format(machine=_machine()), scratch / target.lstrip("/"))
    cache.prune(name, "maven-")
    return built


def installed() -> bool:
    """Whether there is a ``mvn`` on PATH."""
    return shutil.which("mvn") is not None


def _fetch_one(name: str, jar: MavenArtifact, version: str, folder: Path, cache: Cache, say: Say) -> Path:
    coordinates = jar.coordinates.format(version=version)
    _, artifact, number = coordinates.split(":")
    command: list[str | Path] = ["mvn", "--batch-mode", "--no-transfer-progress", f"-Dmaven.repo.local={cache.folder('maven')}"]
    command += [PLUGIN, f"-Dartifact={coordinates}", f"-DoutputDirectory={folder}"]
    log = cache.log(f"{name}-maven")
    try:
        commands.run(
            command,
            what=f"{name}: mvn {artifact}",
            log=log,
            say=say,
            # A folder without a pom.xml: none of it may decide what is fetched.
            folder=folder,
            environment={key: value for key, value in os.environ.items() if key != "MAVEN_BASEDIR"},
            timeout_seconds=TIMEOUT_SECONDS,
        )
    except SupplyError as error:
        # What went wrong comes first, and advice after it.
        words = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("[ERROR] ")]
        raise SupplyError(
            f"{name}: mvn {artifact}: {words[0].removeprefix('[ERROR] ')}; see {log}" if words else str(error)
        ) from error
    path = folder / f"{artifact}-{number}.jar"
    _check(name, coordinates, path, jar.sha256)
    return path


def _check(name: str, coordinates: str, path: Path, expected: str) -> None:
    if not path.is_file():
        raise SupplyError(f"{name}: Maven did not bring {path.name} for {coordinates}")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise SupplyError(
            f"{name}: {coordinates} has the sum {found}, the recipe says {expected}: "
            "it is not the file that was reviewed; find out why before you change the recipe"
        )


def _unpack(jar: Path, pattern: str, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(jar) as archive:
        found = [name for name in archive.namelist() if fnmatch.fnmatch(name, pattern) and not name.endswith("/")]
        if not found:
            raise SupplyError(f"{jar.name} has nothing that matches {pattern}: correct the recipe")
        for name in found:
            (target / PurePosixPath(name).name).write_bytes(archive.read(name))


def _machine() -> str:
    """This machine as Java programs call it: ``x86-64`` or ``aarch64``."""
    return WHEEL_NAMES[architecture()].replace("_", "-")
