"""Root file systems of Debian packages, by mmdebstrap, from the mirrors that this machine's apt is configured for.

Packages are unpacked, not installed: no maintainer script runs and nothing needs root. Signatures are always checked against
Debian's own archive keys.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from supply import commands
from supply.cache import Cache
from supply.errors import Say, SupplyError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FIELDS = ("REPO_URI", "RELEASE", "COMPONENT", "ORIGIN")


def unpack(
    suite: str,
    packages: Sequence[str],
    target: Path,
    *,
    epoch: int,
    name: str,
    cache: Cache,
    say: Say,
    hooks: Sequence[str] = (),
) -> None:
    """Write a tar of these packages and what they depend on. Hooks see the tree as their first argument, as root in it.

    Raises:
        SupplyError: when mmdebstrap is missing, a mirror cannot be reached or a signature is wrong.
    """
    if shutil.which("mmdebstrap") is None or not KEYRING.exists():
        raise SupplyError(f"{name}: building needs mmdebstrap: run `apt-get install mmdebstrap debian-archive-keyring`")
    options = cache.folder("tmp") / f"{name}-apt.conf"
    options.write_text("\n".join(transport_options()), encoding="utf-8")
    command: list[str | Path] = ["mmdebstrap", "--variant=extract", "--format=tar", f"--include={','.join(packages)}"]
    command += [f"--aptopt={options}", '--aptopt=APT::Install-Recommends "false"']
    command += [f"--keyring={KEYRING}", *(f"--extract-hook={hook}" for hook in hooks)]
    command += [suite, target, *sources(suite)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(_open_folder(cache))}
    commands.run(
        command, what=f"{name}: mmdebstrap {suite}", log=cache.log(f"{name}-mmdebstrap"), say=say, environment=environment
    )


def missing_packages() -> list[str]:
    """Debian packages that building needs and this machine lacks."""
    missing = [] if shutil.which("mmdebstrap") else ["mmdebstrap"]
    missing += [] if KEYRING.exists() else ["debian-archive-keyring"]
    if os.geteuid() != 0 and shutil.which("newuidmap") is None:
        missing.append("uidmap")  # lets mmdebstrap unpack as an ordinary user
    return missing


def sources(suite: str) -> list[str]:
    """Lines of sources.list for a suite on this machine's mirrors; empty means mmdebstrap's own defaults."""
    answer = subprocess.run(
        ["apt-get", "indextargets", "--format", "|".join(f"$({field})" for field in _FIELDS), "Created-By: Packages"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return sources_from(suite, answer.stdout.splitlines() if answer.returncode == 0 else [])


def sources_from(suite: str, targets: Sequence[str]) -> list[str]:
    """Turn apt's index targets into lines for another suite: same mirror, same pocket (updates, security)."""
    lines: list[str] = []
    for target in targets:
        uri, release, component, origin = target.split("|")
        # Third-party repositories use Debian's suite names too; only the signed Origin tells them apart.
        if origin != "Debian" or component != "main" or uri.startswith("cdrom:"):
            continue
        pocket = re.search(r"-(updates|security)$", release)
        line = f'deb [signed-by="{KEYRING}"] {uri} {suite}{pocket.group(0) if pocket else ""} main'
        if line not in lines:
            lines.append(line)
    return lines


def transport_options() -> list[str]:
    """How this machine's apt reaches its mirrors: proxies, certificates, retries."""
    answer = subprocess.run(
        ["apt-config", "dump", "--no-empty", "--format", '%f "%v";%n', "Acquire::http", "Acquire::https", "Acquire::Retries"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return answer.stdout.splitlines() if answer.returncode == 0 else []


def _open_folder(cache: Cache) -> Path:
    """A scratch folder that mmdebstrap's mapped users can enter when it runs without root."""
    folder = cache.folder("tmp", "mmdebstrap")
    folder.chmod(0o1777)
    return folder
