"""Runs a slow tier of tests only when something it depends on has changed since it passed on this machine.

    python -m tests.passed NAME[,ALSO…] PATH … -- COMMAND …

The key is the content of the paths, the command, the machine's architecture and the Docker engine's version. ``FILE#name,…`` is
a file of pinned packages of which only these count. A pass is noted in
the cache folder (safe to delete) and is good for seven days, because packages come from registries that move.
``CROWSNEST_AGAIN=1`` runs the command whatever is noted. Only a pass is ever noted, under NAME; one of the same command under a
name of ALSO counts as well: of a run that proves more.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from infra.catalogue import catalogue

ROOT = Path(__file__).resolve().parents[1]
GOOD_FOR_SECONDS = 7 * 86_400
NOT_INPUTS = {"__pycache__", "dist", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ansible", "node_modules"}


def files(paths: Iterable[str]) -> Iterator[Path]:
    """Every file at or below the paths.

    Raises:
        FileNotFoundError: a path is not there; a key without it would be the same for ever.
    """
    for name in paths:
        path = ROOT / name
        if not path.exists():
            raise FileNotFoundError(path)
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (file for file in found if file.is_file() and not NOT_INPUTS & set(file.parts))


def pins(paths: Iterable[str]) -> Iterator[str]:
    """The pin of each named package.

    Raises:
        ValueError: a file does not pin one of them.
    """
    for path in paths:
        file, _, names = path.partition("#")
        for name in names.split(","):
            pin = re.search(rf"^{re.escape(name)}==\S+", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
            if pin is None:
                raise ValueError(f"{file} does not pin {name}")
            yield f"{pin[0]}\n"


def key_of(paths: Sequence[str], command: list[str]) -> str:
    """Digest of all that the outcome depends on."""
    engine = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=False
    )
    digest = hashlib.sha256(repr((command, platform.machine(), engine.stdout)).encode())
    pinned = [path for path in paths if "#" in path]
    for pin in pins(pinned):
        digest.update(pin.encode())
    for file in files(path for path in paths if path not in pinned):
        digest.update(f"{file.relative_to(ROOT)} {file.stat().st_mode:o} ".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:24]


def note_of(name: str) -> Path:
    """Where the last pass is noted."""
    return catalogue().paths.cache / "passed" / name


def _noted(name: str, key: str) -> str:
    """When it passed with this key and how long that took, empty when it did not, or too long ago."""
    note = note_of(name)
    if not note.exists() or time.time() - note.stat().st_mtime >= GOOD_FOR_SECONDS:
        return ""
    noted, seconds = note.read_text(encoding="utf-8").split()
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(note.stat().st_mtime))
    return f"passed on {when} in {seconds} s" if noted == key else ""


def main(arguments: list[str]) -> int:
    """Exit status of the command, 0 when it need not run."""
    if "--" not in arguments[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    split = arguments.index("--")
    names, paths, command = arguments[0].split(","), arguments[1:split], arguments[split + 1 :]
    key = key_of(paths, command)
    for name in names if not os.environ.get("CROWSNEST_AGAIN") else []:
        if passed := _noted(name, key):
            print(f"{name}: NOT RUN, {passed} and its inputs are the same; CROWSNEST_AGAIN=1 runs it")
            return 0
    begun = time.monotonic()
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        note = note_of(names[0])
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{key} {time.monotonic() - begun:.0f}\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
