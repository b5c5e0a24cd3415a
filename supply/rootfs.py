"""Turn unpacked Debian packages into the root file system of an image: drop what no service needs, add the component's own.

Works on tar streams, so that owners and modes are exact without being root, and the same input gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import io
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

# What packages bring and a single service in a container never uses. Licence texts stay.
DROPPED = (
    "boot", "boot/*", "dev/*", "home/*", "media/*", "mnt/*", "proc/*", "run/*", "srv/*", "sys/*", "tmp/*",
    "etc/alternatives/*", "etc/apt/*", "etc/cron*", "etc/default/*", "etc/init.d/*", "etc/logrotate.d/*", "etc/machine-id",
    "etc/pam.d/*", "etc/perl/*", "etc/security/*", "etc/systemd/*", "etc/ufw/*", "etc/update-motd.d/*",
    "usr/bin/*perl*", "usr/bin/deb*", "usr/bin/dpkg*", "usr/lib/*/gconv/*", "usr/lib/*/perl*", "usr/lib/*/libperl*",
    "usr/lib/systemd/*", "usr/lib/tmpfiles.d/*",
    "usr/sbin/*", "sbin/*", "usr/share/bash-completion/*", "usr/share/bug/*", "usr/share/debconf/*", "usr/share/doc/*",
    "usr/share/i18n/*", "usr/share/info/*", "usr/share/lintian/*", "usr/share/locale/*", "usr/share/man/*", "usr/share/perl*",
    "usr/share/pixmaps/*", "var/cache/*", "var/lib/apt/*", "var/lib/dpkg/*-old", "var/lib/dpkg/info/*", "var/log/*",
)  # fmt: skip
KEPT = ("usr/share/doc/*/copyright",)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing to add: a file, a folder (neither content nor link) or a symbolic link."""

    path: str
    content: bytes | Path | None = None
    link: str | None = None
    mode: int = 0o755
    owner: int = 0


def write(
    base: Path, target: Path, entries: Sequence[Entry], *, drop: Sequence[str], epoch: int, keep: Sequence[str] = ()
) -> None:
    """Write the image's tar from the packages' tar. An entry replaces a packaged file of its path; `keep` is never dropped."""
    added = {entry.path.lstrip("/"): entry for entry in entries}
    dropped = _matcher([*DROPPED, *drop])
    kept = _matcher([*KEPT, *(path.lstrip("/") for path in keep)])

    def unwanted(path: str) -> bool:
        return path in added or (dropped(path) and not kept(path))

    written: set[str] = set()
    with tarfile.open(base, "r:") as packages, tarfile.open(target, "w:", format=tarfile.GNU_FORMAT) as image:
        for member in packages:
            member.name = str(PurePosixPath(member.name))
            if unwanted(member.name) or (member.islnk() and unwanted(str(PurePosixPath(member.linkname)))):
                continue
            # No file of an image may raise privileges.
            member.mode &= 0o1777
            _normalise(member, epoch)
            image.addfile(member, packages.extractfile(member) if member.isfile() else None)
            written.add(member.name)
        for path, entry in sorted(added.items()):
            for parent in reversed(PurePosixPath(path).parents):
                if str(parent) not in written | {"."}:
                    image.addfile(_member(Entry(str(parent)), str(parent), epoch))
                    written.add(str(parent))
            with _content(entry) as content:
                member = _member(entry, path, epoch)
                member.size = content.seek(0, io.SEEK_END)
                content.seek(0)
                image.addfile(member, content)
            written.add(path)


def tree(folder: Path, below: str = "") -> Iterator[Entry]:
    """Entries for every file in a folder, at the same place below ``below``; executable where the file is."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            yield Entry(f"{below}/{path.relative_to(folder)}", content=path, mode=mode)


def accounts(name: str, uid: int, home: str) -> list[Entry]:
    """passwd and group with root, nobody and the one user that the component runs as; nobody can log in."""
    rows = [("root", 0, "/root"), (name, uid, home), ("nobody", 65534, "/nonexistent")]
    passwd = "".join(f"{user}:x:{number}:{number}::{folder}:/usr/sbin/nologin\n" for user, number, folder in rows)
    group = "".join(f"{user}:x:{number}:\n" for user, number, _ in rows)
    return [Entry("/etc/passwd", passwd.encode(), mode=0o644), Entry("/etc/group", group.encode(), mode=0o644)]


def _matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    pattern = re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))
    return lambda path: pattern.match(path) is not None


def _normalise(member: tarfile.TarInfo, epoch: int) -> None:
    member.mtime = epoch
    member.uname = member.gname = ""
    member.pax_headers = {}


def _member(entry: Entry, path: str, epoch: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.mode, member.uid, member.gid = entry.mode, entry.owner, entry.owner
    if entry.link is not None:
        member.type, member.linkname = tarfile.SYMTYPE, entry.link
    elif entry.content is None:
        member.type = tarfile.DIRTYPE
    _normalise(member, epoch)
    return member


def _content(entry: Entry) -> io.BufferedIOBase:
    if isinstance(entry.content, Path):
        return entry.content.open("rb")
    return io.BytesIO(entry.content or b"")
