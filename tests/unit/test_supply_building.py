"""Parts of a build that need neither Docker nor a network: mirrors, tar filter, cache, commands."""

import os
import subprocess
import sys
import tarfile
import threading
import time
from io import BytesIO
from pathlib import Path

import pytest

from infra.catalogue import PROJECT_ROOT, catalogue
from supply import build, commands, debian, recipe, rootfs, wheels
from supply.cache import Cache
from supply.errors import SupplyError
from supply.rootfs import Entry

MAIN = "http://mirror.test/debian/|bookworm|main|Debian"


def test_sources_keep_mirror_and_pocket() -> None:
    targets = [
        MAIN,
        "http://mirror.test/debian/|bookworm-updates|main|Debian",
        "http://mirror.test/sec/|bookworm-security|main|Debian",
    ]
    signed = f'deb [signed-by="{debian.KEYRING}"]'
    assert debian.sources_from("trixie", targets) == [
        f"{signed} http://mirror.test/debian/ trixie main",
        f"{signed} http://mirror.test/debian/ trixie-updates main",
        f"{signed} http://mirror.test/sec/ trixie-security main",
    ]


@pytest.mark.parametrize(
    "target",
    [
        "http://third.test/|bookworm|main|Third Party",
        "http://third.test/|bookworm|main|$(ORIGIN)",
        "http://mirror.test/debian/|bookworm|non-free|Debian",
        "cdrom://disc/|bookworm|main|Debian",
    ],
)
def test_sources_leave_out_others(target: str) -> None:
    assert debian.sources_from("trixie", [target]) == []
    assert len(debian.sources_from("trixie", [target, MAIN, MAIN])) == 1


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    path = tmp_path / "packages.tar"
    with tarfile.open(path, "w") as tar:
        for name, mode in [
            ("./usr/bin/tool", 0o4755), ("./usr/share/man/man1/tool.1", 0o644), ("./usr/share/doc/tool/copyright", 0o644),
            ("./usr/share/doc/tool/changelog", 0o644), ("./usr/lib/libLLVM.so", 0o644), ("./etc/passwd", 0o644),
        ]:  # fmt: skip
            member = tarfile.TarInfo(name)
            member.mode, member.size, member.mtime, member.uname = mode, 4, 12345, "builder"
            tar.addfile(member, BytesIO(b"data"))
        link = tarfile.TarInfo("./usr/bin/hard")
        link.type, link.linkname = tarfile.LNKTYPE, "./usr/share/man/man1/tool.1"
        tar.addfile(link)
    return path


def test_what_an_image_starts_is_kept_wherever_it_stands(packages: Path, tmp_path: Path) -> None:
    with tarfile.open(packages, "a") as tar:
        for name in ("usr/sbin/haproxy", "usr/sbin/useradd"):
            tar.addfile(tarfile.TarInfo(name))
    rootfs.write(packages, tmp_path / "kept.tar", [], drop=[], epoch=1000, keep=["/usr/sbin/haproxy"])
    with tarfile.open(tmp_path / "kept.tar") as tar:
        assert [name for name in tar.getnames() if name.startswith("usr/sbin/")] == ["usr/sbin/haproxy"]


def test_rootfs_drops_adds_and_normalises(packages: Path, tmp_path: Path) -> None:
    entries = [*rootfs.accounts("redis", 10030, "/data"), Entry("/data", owner=10030), Entry("/usr/bin/sh", link="busybox")]
    for name in ("one.tar", "two.tar"):
        rootfs.write(packages, tmp_path / name, entries, drop=["usr/lib/libLLVM*"], epoch=1000)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        members = {member.name: member for member in tar}
        passwd = tar.extractfile("etc/passwd")
        assert passwd is not None
        assert "redis:x:10030:10030::/data:/usr/sbin/nologin" in passwd.read().decode()
    files = {name for name, member in members.items() if not member.isdir()}
    assert files == {"usr/bin/tool", "usr/share/doc/tool/copyright", "etc/passwd", "etc/group", "usr/bin/sh"}
    assert members["usr/bin/tool"].mode == 0o755
    assert (members["data"].uid, members["data"].gid) == (10030, 10030)
    assert {(member.mtime, member.uname) for member in members.values()} == {(1000, "")}


@pytest.mark.parametrize("name", [name for name, component in catalogue().components.items() if component.packages])
def test_mount_points_are_in_the_image_and_writable(name: str) -> None:
    component = catalogue()[name]
    entries = {entry.path: entry for entry in build._entries(component, recipe.read_image(name), Path("/nowhere"), None, None)}
    assert entries["/var/run"].link == "/run"
    for path in component.tmpfs:
        assert entries[path.replace("/var/run/", "/run/")].mode == 0o1777
    if component.data:
        assert entries[component.data].owner == component.owner


def test_built_pages_are_in_the_image_where_its_program_looks_for_them(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "a.js").write_text("a()")
    steps = recipe.read_image("api")
    entries = {entry.path: entry for entry in build._entries(catalogue()["api"], steps, Path("/nowhere"), None, tmp_path)}
    page = entries[f"{steps.env['CROWSNEST_API_PAGES']}/assets/a.js"]
    assert (page.content, page.mode) == (tmp_path / "assets" / "a.js", 0o644)


def test_wheel_platforms_reach_back_to_the_oldest() -> None:
    tags = wheels.platform_tags(36)
    assert tags[0].startswith("manylinux_2_36_")
    assert any(tag.startswith("manylinux_2_17_") for tag in tags)
    assert tags[-1].startswith("manylinux2014_")


def test_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    target = cache.artifact("redis", "base-1")

    def interrupted() -> None:
        with cache.writing(target) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not target.exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    with cache.writing(target) as scratch:
        scratch.write_text("whole")
    assert target.read_text() == "whole"


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (cache.folder("tmp", "old") / "half").write_text("x")
    with cache.locked(print):
        assert not (tmp_path / "tmp" / "old").exists()


def test_old_keys_go_and_two_stay(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for age, name in enumerate(["go-new", "go-middle", "go-old", "base-older"]):
        path = cache.folder("artifacts", "x") / name
        path.write_text("")
        os.utime(path, (1000 - age, 1000 - age))
    cache.prune("x", "go-")
    assert {path.name for path in (tmp_path / "artifacts" / "x").iterdir()} == {"go-new", "go-middle", "base-older"}


def test_second_run_waits_for_the_first(tmp_path: Path) -> None:
    cache, lines, order = Cache(tmp_path), [], []
    entered = threading.Event()

    def first() -> None:
        with cache.locked(print):
            entered.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with cache.locked(lines.append):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert "waiting for another run" in lines[0]


def test_full_disk_is_refused_with_path_and_megabytes(tmp_path: Path) -> None:
    with pytest.raises(SupplyError, match=rf"redis: {tmp_path} has \d+ MB free and needs 99999999999 MB"):
        Cache(tmp_path).require_space("redis", 99_999_999_999)


def test_unwritable_cache_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SupplyError, match="CROWSNEST_CACHE_DIR"):
        Cache(tmp_path / "file").folder("logs")


def run(tmp_path: Path, script: str, **options: float) -> list[str]:
    lines: list[str] = []
    log = Cache(tmp_path).log("test")
    commands.run([sys.executable, "-c", script], what="test", log=log, say=lines.append, **options)  # type: ignore[arg-type]
    return lines


def test_long_command_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "HEARTBEAT_SECONDS", 0.1)
    lines = run(tmp_path, "import time; time.sleep(0.6)")
    assert lines
    assert lines[0].startswith("test: still at it after")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("print('E: no such package'); print('other'); raise SystemExit(1)", "E: no such package; see"),
        ("print('write: No space left on device'); raise SystemExit(1)", "is full"),
        ("print('verifying x: checksum mismatch'); print('go: end'); raise SystemExit(1)", "checksum mismatch"),
        ("raise SystemExit(3)", "exit code 3"),
    ],
)
def test_failure_is_one_line_with_the_reason(tmp_path: Path, script: str, reason: str) -> None:
    with pytest.raises(SupplyError, match=reason) as caught:
        run(tmp_path, script)
    assert "\n" not in str(caught.value)


def test_command_is_bounded_and_leaves_no_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    child = (
        f"import subprocess,time; p=subprocess.Popen(['sleep','60']); open({str(note)!r},'w').write(str(p.pid)); time.sleep(60)"
    )
    with pytest.raises(SupplyError, match="gave up after"):
        run(tmp_path, child, timeout_seconds=1.0)
    time.sleep(0.2)
    state = Path(f"/proc/{note.read_text()}/stat")
    assert not state.exists() or ") Z " in state.read_text()


def test_command_ends_with_us_and_holds_the_cache_until_then(tmp_path: Path) -> None:
    ours = f"""
from pathlib import Path
from supply import commands
from supply.cache import Cache
cache = Cache(Path({str(tmp_path)!r}))
with cache.locked(print):
    script = "trap 'sleep 1; echo ended >> $0; exit' TERM; echo $$ > $0; while true; do sleep 0.1; done"
    commands.run(["sh", "-c", script, {str(tmp_path / "note")!r}], what="test", log=cache.log("test"), say=print)
"""
    note = tmp_path / "note"
    with subprocess.Popen([sys.executable, "-c", ours], cwd=PROJECT_ROOT) as process:
        while not note.exists() or not note.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    said: list[str] = []

    with Cache(tmp_path).locked(said.append):
        assert note.read_text().splitlines()[1:] == ["ended"]
    assert said == [f"waiting for another run that builds in {tmp_path}"]


def test_missing_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(SupplyError, match="no-such-program cannot be started"):
        commands.run(["no-such-program"], what="test", log=Cache(tmp_path).log("test"), say=print)
