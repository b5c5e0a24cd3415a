"""catalogue.lock: written whole or not at all, tags that moved are noticed."""

from pathlib import Path

import pytest

from infra.catalogue import catalogue
from supply import lock, registry
from supply.errors import SupplyError

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
COMPONENTS = list(catalogue().components.values())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.lock"


def answer(monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    monkeypatch.setattr(registry, "digest", lambda reference, client: digest)


def test_round_trip(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, A)
    lock.write(COMPONENTS, None, print, accept_moved=False, path=path)
    locked = lock.read(path)
    assert set(locked.root) == {component.name for component in COMPONENTS if component.upstream}
    assert locked.digest(catalogue()["redis"]) == A
    assert locked.digest(catalogue()["trader"]) is None
    first = path.read_bytes()
    lock.write(COMPONENTS, None, print, accept_moved=False, path=path)
    assert path.read_bytes() == first


def test_moved_tag_is_refused_until_accepted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, A)
    lock.write(COMPONENTS, None, print, accept_moved=False, path=path)
    answer(monkeypatch, B)
    with pytest.raises(SupplyError, match=r"tags moved: .*--accept-moved"):
        lock.write(COMPONENTS, None, print, accept_moved=False, path=path)
    assert lock.read(path).digest(catalogue()["redis"]) == A
    lock.write(COMPONENTS, None, print, accept_moved=True, path=path)
    assert lock.read(path).digest(catalogue()["redis"]) == B


def test_other_version_is_not_locked(path: Path) -> None:
    path.write_text(f"redis:\n  docker.io/library/redis:1.0: {A}\n")
    assert lock.read(path).digest(catalogue()["redis"]) is None


def test_absent_file_locks_nothing(path: Path) -> None:
    assert lock.read(path).root == {}


@pytest.mark.parametrize("text", ["redis: [", "redis: 3", "redis: {tag: latest}"])
def test_damaged_file_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(SupplyError, match="is damaged"):
        lock.read(path)
