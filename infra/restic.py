"""The program restic: encrypted, deduplicated backups in a folder or in an S3-compatible place.

What is used here is in restic 0.14, the version of Debian 12, and in every later one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import Failed, Refused
from infra.settings import Kept

# A first backup of a large store over a slow line takes hours; for ever is what a place that hangs takes.
TIMEOUT_SECONDS = 6 * 3600
SHORT_SECONDS = 120
MISSING = "unable to open config file"
WRONG_PASSWORD = "wrong password or no key found"  # noqa: S105 - what restic says
LAST_LINES = 3
S3 = "s3:"


@dataclass(frozen=True)
class Snapshot:
    """One backup of one store."""

    id: str
    store: str
    time: str


@dataclass(frozen=True)
class Saved:
    """What one run of restic has put into the repository: all of it, and what was new."""

    snapshot: str
    bytes: int
    added_bytes: int


class Restic:
    """One repository, as one host.

    Args:
        repository: a folder, or ``s3:https://…``.
        password_file: with what it is encrypted. Whoever loses it has no backup.
        host: name under which the backups of one name prefix are kept apart from others.
        cache: folder of restic's cache.
        environment: the keys of an S3-compatible place.
    """

    def __init__(
        self, repository: str, password_file: Path, host: str, cache: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._repository = repository
        self._host = host
        self._environment = {
            **os.environ,
            **(environment or {}),
            "RESTIC_REPOSITORY": repository,
            "RESTIC_PASSWORD_FILE": str(password_file),
            "RESTIC_CACHE_DIR": str(cache),
        }

    def open(self, *, create: bool = False) -> bool:
        """Make sure that the repository can be used; locks of runs that were killed are removed. Whether it was created.

        Raises:
            Refused: it is not there, or has another password.
            Failed: its place does not answer.
        """
        if shutil.which("restic") is None:
            raise Refused("the program restic is missing; `make up` installs it where the stack's settings hold `backup`")
        done = self._call("cat", "config", seconds=SHORT_SECONDS)
        if done.returncode == 0:
            self._run("unlock", seconds=SHORT_SECONDS)
            return False
        if WRONG_PASSWORD in done.stderr:
            raise Refused(
                f"the repository {self._repository} has another password than {self._environment['RESTIC_PASSWORD_FILE']};"
                " put the one there with which it was made, or name another repository"
            )
        if MISSING not in done.stderr or not create:
            raise (
                self._failure("cat config", done)
                if MISSING not in done.stderr
                else Refused(f"there is no backup in {self._repository} yet; `make backup` makes one")
            )
        self._run("init", seconds=SHORT_SECONDS)
        return True

    def backup(self, folder: Path, store: str) -> Saved:
        """Save a folder. Files that did not change since the last time, by size and time, are not read again.

        Raises:
            Failed: with restic's last words; a backup that lacks files is removed again.
        """
        # Hard links have new inodes' change times each time; contents are what size and time of modification say.
        options = ["--ignore-ctime", "--ignore-inode", "--host", self._host, "--tag", f"store:{store}"]
        done = self._call("backup", "--json", *options, folder.name, folder=folder.parent)
        lines = (json.loads(line) for line in reversed(done.stdout.splitlines()) if line.startswith("{"))
        summary = next((line for line in lines if line.get("message_type") == "summary"), None)
        if done.returncode != 0 or summary is None:
            if summary is not None:
                self._run("forget", summary["snapshot_id"], seconds=SHORT_SECONDS)
            raise self._failure("backup", done)
        return Saved(summary["snapshot_id"], summary["total_bytes_processed"], summary["data_added"])

    def snapshots(self) -> list[Snapshot]:
        """Every backup of this host, the oldest first."""
        found = json.loads(self._run("snapshots", "--json", "--host", self._host, seconds=SHORT_SECONDS)) or []
        return sorted((_snapshot(entry) for entry in found), key=lambda one: one.time)

    def restore(self, snapshot: str, target: Path) -> None:
        """Write a backup below `target`, and read every file back against the repository's checksums."""
        self._run("restore", snapshot, "--target", str(target), "--verify")

    def check(self, read_percent: int) -> None:
        """Check the structure of the repository, and read back a share of its data.

        Raises:
            Failed: something is damaged.
        """
        self._run("check", f"--read-data-subset={read_percent}%")

    def forget(self, kept: Kept) -> None:
        """Remove the backups that are no longer kept, and their data."""
        keep = [f"--keep-{name}={count}" for name, count in kept.model_dump().items()]
        self._run("forget", "--host", self._host, "--group-by", "host,paths", *keep, "--prune")

    def _run(self, *arguments: str, folder: Path | None = None, seconds: float = TIMEOUT_SECONDS) -> str:
        done = self._call(*arguments, folder=folder, seconds=seconds)
        if done.returncode != 0:
            raise self._failure(arguments[0], done)
        return done.stdout

    def _call(
        self, *arguments: str, folder: Path | None = None, seconds: float = TIMEOUT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["restic", *arguments],
                cwd=folder, env=self._environment, capture_output=True, text=True, timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Failed(f"restic {arguments[0]} did not end within {seconds:.0f} s ({self._repository})") from None

    def _failure(self, what: str, done: subprocess.CompletedProcess[str]) -> Failed:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        return Failed(f"restic {what} ({self._repository}): {'; '.join(lines[-LAST_LINES:]) or 'it gave no reason'}")


def _snapshot(entry: Mapping[str, Any]) -> Snapshot:
    store = next((tag.removeprefix("store:") for tag in entry.get("tags") or [] if tag.startswith("store:")), "")
    return Snapshot(entry["short_id"], store, entry["time"])


def choose(snapshots: Sequence[Snapshot], store: str, wanted: str) -> Snapshot:
    """The backup of a store that ``latest`` or the beginning of an identity names.

    Raises:
        Refused: there is none.
    """
    own = [one for one in snapshots if one.store == store]
    if not own:
        raise Refused(f"there is no backup of {store}; `make backups` lists what there is")
    if wanted == "latest":
        return own[-1]
    found = next((one for one in own if one.id.startswith(wanted)), None)
    if found is None:
        raise Refused(f"{wanted} is no backup of {store}; there are {', '.join(one.id for one in own)}")
    return found


def keys(file: Path) -> dict[str, str]:
    """The keys of an S3-compatible place, ``NAME=value`` a line.

    Raises:
        Refused: the file is missing, or a line is not of that form.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise Refused(
            f"{file} is missing: it takes AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=…, a line each, mode 0400"
        ) from None
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    if any(not (name.isidentifier() and sign) for name, sign, _ in pairs):
        raise Refused(f"{file}: each line must be NAME=value")
    return {name: value for name, _, value in pairs}
