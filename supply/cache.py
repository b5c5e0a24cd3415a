"""The build cache: content-keyed artifacts, written whole or not at all, safe to delete at any time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from infra.catalogue import catalogue
from supply.errors import Say, SupplyError

KEPT_KEYS = 2  # the one in use and the one before, so that going back needs no build


class Cache:
    """Layout below ``root``: ``artifacts/<name>/<key>``, ``go/``, ``pip/``, ``logs/``, ``tools/`` and ``tmp/``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def artifact(self, name: str, key: str) -> Path:
        """Where the artifact with this key stands, or will stand."""
        return self.root / "artifacts" / name / key

    def log(self, name: str) -> Path:
        """Where a build step writes what its command prints."""
        return self.folder("logs") / f"{name}.log"

    def folder(self, *names: str) -> Path:
        """A folder of the cache, made when missing.

        Raises:
            SupplyError: when it cannot be written.
        """
        path = self.root.joinpath(*names)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SupplyError(
                f"the build cache {self.root} cannot be written ({error.strerror}): "
                "make it writable or set CROWSNEST_CACHE_DIR to a folder that is"
            ) from error
        return path

    @contextlib.contextmanager
    def locked(self, say: Say) -> Iterator[None]:
        """Hold the cache for one build; a second run waits. Leftovers of an interrupted run are removed.

        Build commands inherit the lock: after a kill of ours they may write for a while, and the next run waits for them.
        """
        with (self.folder() / "lock").open("w") as handle:
            os.set_inheritable(handle.fileno(), True)  # noqa: FBT003 - the library's own signature
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another run that builds in {self.root}")
                fcntl.flock(handle, fcntl.LOCK_EX)
            remove(self.root / "tmp")
            try:
                yield
            finally:
                remove(self.root / "tmp")

    @contextlib.contextmanager
    def writing(self, target: Path) -> Iterator[Path]:
        """A scratch path that becomes ``target`` when the block ends well, and is removed when it does not."""
        scratch = self.folder("tmp") / f"{target.parent.name}-{target.name}"
        remove(scratch)
        try:
            yield scratch
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch.replace(target)
        finally:
            remove(scratch)

    def prune(self, name: str, prefix: str) -> None:
        """Remove all but the newest artifacts of one name whose key starts with ``prefix``."""
        found = sorted((self.root / "artifacts" / name).glob(f"{prefix}*"), key=lambda path: path.stat().st_mtime)
        for path in found[:-KEPT_KEYS]:
            remove(path)

    def require_space(self, what: str, megabytes: int) -> None:
        """Refuse to start what cannot end.

        Raises:
            SupplyError: with the path and the MB that are needed there.
        """
        free = shutil.disk_usage(self.folder()).free // 10**6
        if free < megabytes:
            raise SupplyError(
                f"{what}: {self.root} has {free} MB free and needs {megabytes} MB; free some or set CROWSNEST_CACHE_DIR"
            )


def default() -> Cache:
    """The cache that the catalogue, or ``CROWSNEST_CACHE_DIR``, names."""
    return Cache(catalogue().paths.cache)


def use(path: Path) -> None:
    """Mark an artifact as the newest of its name."""
    os.utime(path)


def remove(path: Path) -> None:
    """Remove a file or folder, never crossing into another file system that an interrupted build left mounted."""
    if path.is_symlink() or path.exists():
        subprocess.run(["rm", "-rf", "--one-file-system", "--", str(path)], check=True)
