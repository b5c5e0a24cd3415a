"""Python wheels for another machine's Python, by pip, from the index that this machine's pip is configured for."""

from __future__ import annotations

import sys
from pathlib import Path

from supply import commands
from supply.architecture import WHEEL_NAMES, architecture
from supply.cache import Cache
from supply.errors import Say
from supply.recipe import PythonProgram

SITE_PACKAGES = "/opt/site-packages"


def install(name: str, program: PythonProgram, requirements: Path, target: Path, cache: Cache, say: Say) -> None:
    """Unpack the locked wheels into ``target``. Nothing is compiled and no code of a package runs.

    Raises:
        SupplyError: when a wheel is missing or does not have its locked hash.
    """
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    command += ["--target", target, "--implementation", "cp", "--python-version", program.version]
    for tag in platform_tags(program.glibc_minor):
        command += ["--platform", tag]
    command += ["--only-binary=:all:", "--require-hashes", "--cache-dir", cache.folder("pip"), "--requirement", requirements]
    commands.run(command, what=f"{name}: pip install", log=cache.log(f"{name}-pip"), say=say)


def platform_tags(glibc_minor: int) -> list[str]:
    """Every wheel platform that glibc 2.``glibc_minor`` can load, newest first; pip does not derive the older ones."""
    machine = WHEEL_NAMES[architecture()]
    return [f"manylinux_2_{minor}_{machine}" for minor in range(glibc_minor, 16, -1)] + [f"manylinux2014_{machine}"]


def hooks(site: Path, program: PythonProgram) -> list[str]:
    """mmdebstrap hooks that add the wheels and compile everything once: a read-only container could never cache it.

    Compiled files carry no times, so that the same wheels give the same image.
    """
    above = str(Path(SITE_PACKAGES).parent)
    compile_all = f"python{program.version} -m compileall -q -j 0 --invalidation-mode unchecked-hash"
    return [
        f'mkdir -p "$1{above}"',
        f"copy-in {site} {above}",
        # A package may carry templates that are not valid Python; importing decides, not compiling.
        f'chroot "$1" {compile_all} /usr/lib/python{program.version} {SITE_PACKAGES} || true',
    ]
