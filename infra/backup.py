"""Backups of every store, made while it runs; their restore, and its trial in a scratch place.

What each store is saved by stands in `infra.stores`; where it goes, and for how long it is kept, in the stack's settings.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound

from infra import restic as repository
from infra import textfile
from infra.catalogue import catalogue
from infra.engine import LockedError
from infra.errors import Failed, Refused
from infra.instance import ANSWER_SECONDS, Instance, clear, scratch
from infra.restic import Restic, Snapshot
from infra.settings import Backup, Settings
from infra.stores import FOLDERS, STORES, Facts, Folder, Place, Store, copy, differences, digest, files, read_facts, save_folder
from infra.textfile import Metric

PASSWORD = "password"  # noqa: S105 - name of a file
KEYS = "s3.env"
LATEST = "latest"
BEFORE = "before-restore"


@dataclass
class Outcome:
    """What became of one store, by backup, restore or trial."""

    store: str
    seconds: float
    error: str = ""
    at: int = 0
    snapshot: str = ""
    bytes: int = 0
    added_bytes: int = 0
    compared: int = 0

    @property
    def ok(self) -> bool:
        """Whether it worked."""
        return not self.error


@dataclass
class Record:
    """What the last backups and trials of each store came to, kept between runs for the metrics."""

    file: Path
    stores: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> Record:
        """The record of a name prefix; an empty one where there is none, or it was torn."""
        file = settings.folders.state / "backups" / f"{settings.name_prefix}.json"
        try:
            return cls(file, json.loads(file.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return cls(file)

    def note(self, outcomes: Sequence[Outcome], *, trial: bool) -> None:
        """Take over what a run came to."""
        now = time.time()
        for one in outcomes:
            entry = self.stores.setdefault(one.store, {})
            if trial:
                entry.update(test_success=float(one.ok), test_time=now, test_seconds=one.seconds)
            else:
                entry.update(success=float(one.ok), seconds=one.seconds)
                if one.ok:
                    entry.update(last_success=now, bytes=float(one.bytes), added=float(one.added_bytes))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(self.stores), encoding="utf-8")
        draft.replace(self.file)

    def metrics(self, names: Sequence[str]) -> list[Metric]:
        """Gauges of the stores that the stack has. One that never succeeded was last saved in 1970, which is too long ago."""
        table = (
            ("backup_last_success_timestamp_seconds", "When the last backup of the store was made.", "last_success"),
            ("backup_success", "Whether the last try to back the store up worked.", "success"),
            ("backup_duration_seconds", "What the last backup of the store took.", "seconds"),
            ("backup_size_bytes", "What the last backup of the store holds.", "bytes"),
            ("backup_added_bytes", "What the last backup of the store added to the repository.", "added"),
            ("restore_test_success", "Whether the last trial gave back what was backed up.", "test_success"),
            ("restore_test_timestamp_seconds", "When the restore of the store was last tried.", "test_time"),
            ("restore_test_duration_seconds", "What the last trial of the store took.", "test_seconds"),
        )
        known = {name: self.stores[name] for name in names if name in self.stores}
        for entry in known.values():
            if "success" in entry:
                entry.setdefault("last_success", 0.0)
        return [
            Metric(
                f"crowsnest_{name}", text, [({"store": store}, entry[key]) for store, entry in known.items() if key in entry]
            )
            for name, text, key in table
        ]


@dataclass(frozen=True)
class Keeper:
    """Backup and restore of one stack on this machine.

    Args:
        settings: the stack.
        say: takes a line of progress.
    """

    settings: Settings
    say: Callable[[str], None]

    def client(self) -> docker.DockerClient:
        """A client of the daemon that waits for commands that say nothing for long."""
        return docker.DockerClient(base_url=self.settings.docker_host, timeout=ANSWER_SECONDS)

    @property
    def policy(self) -> Backup:
        """What the stack's settings say of backups.

        Raises:
            Refused: nothing.
        """
        if self.settings.backup is None:
            name = self.settings.stack
            raise Refused(f"stack {name} makes no backups; add `backup:` to Pulumi.{name}.yaml, then `make up`")
        return self.settings.backup

    @property
    def work(self) -> Path:
        """What is put together before it is saved. Beside the stores' folders: links of files do not leave a file system."""
        return self.settings.folders.data / ".backup"

    @property
    def fetched(self) -> Path:
        """What is brought back before it is placed."""
        return self.settings.folders.data / ".restore"

    def open(self, *, create: bool = False) -> Restic:
        """The repository, ready.

        Raises:
            Refused: it, its password or its keys are missing.
        """
        self._check_machine()
        place = self.settings.backup_repository
        password = self.settings.backup_folder / PASSWORD
        if self.policy and not password.exists():
            raise Refused(
                f"{password} is missing: `make up` makes it. On a machine that is to restore, put there the one that was"
                " kept from the machine that is gone, mode 0400"
            )
        environment = repository.keys(self.settings.backup_folder / KEYS) if place.startswith(repository.S3) else {}
        opened = Restic(
            place, password, self.settings.name_prefix, self.settings.folders.cache / "restic", environment
        )  # fmt: skip
        if opened.open(create=create):
            self.say(f"  made the repository {place}; without {password} nobody reads it: keep a copy elsewhere")
        return opened

    def _check_machine(self) -> None:
        if os.geteuid() != 0:
            raise Refused("what the stores write belongs to users of their own: run this as root")
        if self.settings.docker_host.startswith("ssh://"):
            raise Refused("the stores' files are read where they are: run this on the machine of the stack")

    def instance(self, client: docker.DockerClient, name: str) -> Instance:
        """A component of the stack."""
        component = catalogue()[name]
        return Instance(client, component, self.settings.container_name(component), self.settings.folders.data / name)


def names_of(settings: Settings) -> list[str]:
    """The stores that a stack has, in the order in which they are saved: what cannot be had again first."""
    running = {component.name for component in settings.components}
    return [*FOLDERS, *(name for name in STORES if name in running)]


def chosen(settings: Settings, wanted: Sequence[str]) -> list[str]:
    """The stores that were asked for, all unless named.

    Raises:
        Refused: the stack has no such store.
    """
    there = names_of(settings)
    if unknown := sorted(set(wanted) - set(there)):
        raise Refused(f"stack {settings.stack} has no store {', '.join(unknown)}; choose from {', '.join(there)}")
    return [name for name in there if not wanted or name in wanted]


# --- one at a time -------------------------------------------------------------------------------------------------------


def _lock_file(settings: Settings) -> Path:
    return settings.folders.state / "backups" / f"{settings.name_prefix}.lock"


@contextmanager
def lock(settings: Settings, what: str) -> Iterator[None]:
    """Hold the lock of backups and restores of a name prefix; whoever is asked to end cleans up behind himself.

    Raises:
        LockedError: another one holds it.
    """
    file = _lock_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as held:
        # Who deploys has to see it, whatever root's mask is.
        file.parent.chmod(0o755)
        file.chmod(0o644)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"{_holder(file)} of stack {settings.stack} is running; wait for it to end") from None
        held.seek(0)
        held.truncate()
        held.write(json.dumps({"what": what, "pid": os.getpid()}))
        held.flush()
        before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
            held.truncate(0)


def _holder(file: Path) -> str:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return "another backup or restore"
    return f"another {content['what']} (pid {content['pid']})"


def check_no_restore(settings: Settings) -> None:
    """That no restore runs: it stops and starts containers itself.

    Raises:
        LockedError: one does.
    """
    file = _lock_file(settings)
    if not file.exists():
        return
    with file.open(encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if "restore" in (holder := _holder(file)):
                raise LockedError(f"{holder} of stack {settings.stack} is running; wait for it to end") from None


# --- backup --------------------------------------------------------------------------------------------------------------


def backup(keeper: Keeper, wanted: Sequence[str]) -> list[Outcome]:
    """Save stores, one after another; one that fails does not keep the others from being saved.

    Then the repository is checked, and what is no longer kept is removed.

    Raises:
        Refused: nothing can be saved.
        Failed: the repository is damaged or full.
    """
    policy, names = keeper.policy, chosen(keeper.settings, wanted)
    with lock(keeper.settings, "backup"):
        target = keeper.open(create=True)
        client = keeper.client()
        outcomes = [_save(keeper, client, target, name) for name in names]
        record = Record.of(keeper.settings)
        record.note(outcomes, trial=False)
        textfile.publish(keeper.settings, "backup", record.metrics(names_of(keeper.settings)))
        target.forget(policy.kept)
        keeper.say(f"  reading back {policy.read_percent} % of {keeper.settings.backup_repository}")
        target.check(policy.read_percent)
    return outcomes


def _save(keeper: Keeper, client: docker.DockerClient, target: Restic, name: str) -> Outcome:
    begun = time.monotonic()
    folder = keeper.work / name
    _empty(folder)
    try:
        data = folder / "data"
        data.mkdir(mode=0o700)
        if name in FOLDERS:
            facts = save_folder(FOLDERS[name], Place(keeper.settings), data)
        else:
            facts = STORES[name].save(keeper.instance(client, name), data)
        (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        saved = target.backup(folder, name)
    except (Failed, OSError, sqlite3.Error, docker.errors.DockerException) as error:
        keeper.say(f"  {name}: failed: {error}")
        return Outcome(name, time.monotonic() - begun, error=str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - begun
    keeper.say(f"  {name}: {size(saved.bytes)} saved in {seconds:.1f} s, {size(saved.added_bytes)} of it new")
    return Outcome(name, seconds, "", int(facts["at"]), saved.snapshot, saved.bytes, saved.added_bytes)


def _empty(folder: Path) -> None:
    """An empty folder of root's own; what a killed run left there goes."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o700)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def when(moment: float) -> str:
    """A moment for people."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def listed(keeper: Keeper) -> list[Snapshot]:
    """Every backup of the stack's name prefix.

    Raises:
        Refused: there is no repository.
    """
    return keeper.open().snapshots()


# --- restore -------------------------------------------------------------------------------------------------------------


@contextmanager
def brought_back(keeper: Keeper, source: Restic, name: str, snapshot: Snapshot) -> Iterator[tuple[Path, Facts]]:
    """What a backup holds, checked byte by byte, until this goes on: its data, and what it says of itself."""
    _empty(keeper.fetched)
    try:
        source.restore(snapshot.id, keeper.fetched)
        folder = keeper.fetched / name
        yield folder / "data", read_facts(folder)
    finally:
        shutil.rmtree(keeper.fetched, ignore_errors=True)


def restore(keeper: Keeper, wanted: Sequence[str], which: str) -> list[Outcome]:
    """Put stores back as they were saved, one after another; the first that fails ends it, with what was there before in place.

    Without names: all that containers write. Secrets and Pulumi's state only when named: a stack that runs has its own.

    Raises:
        Refused: there is no such store or backup.
        Failed: what is there afterwards is not what was saved.
    """
    names = chosen(keeper.settings, wanted or [name for name in names_of(keeper.settings) if name in STORES])
    with lock(keeper.settings, "restore"):
        source = keeper.open()
        found = source.snapshots()
        snapshots = {name: repository.choose(found, name, which) for name in names}
        client = keeper.client()
        return [_restore(keeper, client, source, name, snapshots[name]) for name in names]


def _restore(keeper: Keeper, client: docker.DockerClient, source: Restic, name: str, snapshot: Snapshot) -> Outcome:
    begun = time.monotonic()
    keeper.say(f"  {name}: bringing back {snapshot.id} of {snapshot.time[:19]}Z")
    with brought_back(keeper, source, name, snapshot) as (data, saved):
        found: Facts | None
        if name in FOLDERS:
            found = _restore_folder(FOLDERS[name], Place(keeper.settings), data)
        else:
            found = _restore_store(keeper, keeper.instance(client, name), STORES[name], data, saved)
    if found is not None and (lines := differences(saved, found)):
        raise Failed(f"{name}: what is there now is not what was saved", *(f"  {line}" for line in lines))
    seconds = time.monotonic() - begun
    keeper.say(f"  {name}: as it was at {when(float(saved['at']))}, in {seconds:.1f} s")
    return Outcome(name, seconds, "", int(saved["at"]), snapshot.id, compared=len(saved) - 1)


def _restore_folder(folder: Folder, place: Place, data: Path) -> Facts:
    """Put files back where they were; those that are there beside them stay."""
    found = digest(data)
    root = folder.root(place)
    root.mkdir(parents=True, exist_ok=True)
    for path in files(data):
        target = root / path.relative_to(data)
        draft = target.with_name(f"{target.name}.restored")
        copy(path, draft)
        draft.replace(target)
    return found


def _restore_store(keeper: Keeper, instance: Instance, store: Store, data: Path, saved: Facts) -> Facts | None:
    """Place a store's data, and have it run on it. None where no container is there yet that could be asked."""
    if store.load is not None and not instance.is_healthy:
        raise Refused(f"{store.name} does not run: `make up` first, its server takes the backup in")
    stopped = _stop(instance.client, keeper.settings, store.stops)
    try:
        if store.load is None:
            return _exchange(keeper, instance, store, data, saved)
        _place(instance, store, data)
        store.load(instance)
        return _look(instance, store, saved)
    finally:
        for name in stopped:
            instance.client.containers.get(name).start()


def _exchange(keeper: Keeper, instance: Instance, store: Store, data: Path, saved: Facts) -> Facts | None:
    """Exchange a store's folder while it is stopped. What was there before stays beside it; it comes back when this fails."""
    before = instance.folder.with_name(f"{instance.folder.name}.{BEFORE}")
    if before.exists() and not instance.folder.exists():  # a restore was killed between two steps
        before.rename(instance.folder)
    there = bool(_stop(instance.client, keeper.settings, [store.name]))
    if before.exists():
        shutil.rmtree(before)
    if instance.folder.exists():
        instance.folder.rename(before)
    try:
        _make_folder(instance)
        _place(instance, store, data)
        found = _look(instance, store, saved) if store.at_rest else None
        if there:
            instance.client.containers.get(instance.container).start()
            instance.wait(instance.component.probe.start_seconds + keeper.settings.health_timeout_seconds)
            found = found or _look(instance, store, saved)
    except BaseException:
        _put_back(instance, before, there=there)
        raise
    if before.exists():
        keeper.say(f"  {store.name}: what was there before is in {before}; remove it when nobody misses it")
    return found


def _put_back(instance: Instance, before: Path, *, there: bool) -> None:
    if there:
        instance.client.containers.get(instance.container).stop(timeout=instance.component.stop.grace_seconds)
    shutil.rmtree(instance.folder, ignore_errors=True)
    if before.exists():
        before.rename(instance.folder)
    if there:
        instance.client.containers.get(instance.container).start()


def _make_folder(instance: Instance) -> None:
    instance.folder.mkdir(parents=True, mode=0o700)
    os.chown(instance.folder, instance.component.owner, instance.component.owner)


def _place(instance: Instance, store: Store, data: Path) -> None:
    """Put data into the store's folder, as the component's own: the machine that saved it may have had other numbers."""
    for path in [data, *data.rglob("*")]:
        os.chown(path, instance.component.owner, instance.component.owner, follow_symlinks=False)
    there = set(instance.folder.iterdir())
    store.place(data, instance.folder)
    for root in set(instance.folder.iterdir()) - there:
        for path in [root, *root.rglob("*")]:
            os.chown(path, instance.component.owner, instance.component.owner, follow_symlinks=False)


def _look(instance: Instance, store: Store, saved: Facts) -> Facts:
    """What the store holds, once it shows all that was saved, or at the end of its time for that."""
    deadline = time.monotonic() + store.shown_seconds
    while True:
        try:
            found = store.look(instance, saved)
        except Failed:  # healthy, and not ready for this yet
            if time.monotonic() > deadline:
                raise
        else:
            if not differences(saved, found) or time.monotonic() > deadline:
                return found
        time.sleep(2)


def _stop(client: docker.DockerClient, settings: Settings, names: Sequence[str]) -> list[str]:
    """Stop those of these components that run. Names of the containers that did."""
    stopped = []
    for component in (component for component in settings.components if component.name in names):
        try:
            container = client.containers.get(settings.container_name(component))
        except NotFound:
            continue
        if container.status == "running":
            container.stop(timeout=component.stop.grace_seconds)
            stopped.append(str(container.name))
    return stopped


# --- trial ---------------------------------------------------------------------------------------------------------------


def restore_test(keeper: Keeper, wanted: Sequence[str]) -> list[Outcome]:
    """Bring every store's last backup back into a scratch place, run a store of the same kind on it, and compare.

    Nothing of the stack is stopped or changed. Each failure is an outcome.

    Raises:
        Refused: there is no repository, or another restore runs.
    """
    names = chosen(keeper.settings, wanted)
    with lock(keeper.settings, "trial of a backup"):
        source = keeper.open()
        found = source.snapshots()
        client = keeper.client()
        clear(client, keeper.settings)
        outcomes = [_try(keeper, client, source, name, found) for name in names]
        record = Record.of(keeper.settings)
        record.note(outcomes, trial=True)
        textfile.publish(keeper.settings, "backup", record.metrics(names_of(keeper.settings)))
    return outcomes


def _try(keeper: Keeper, client: docker.DockerClient, source: Restic, name: str, snapshots: Sequence[Snapshot]) -> Outcome:
    begun = time.monotonic()
    try:
        snapshot = repository.choose(snapshots, name, LATEST)
        with brought_back(keeper, source, name, snapshot) as (data, saved):
            found = (
                digest(data) if name in FOLDERS else _run_on(keeper, keeper.instance(client, name), STORES[name], data, saved)
            )
        if lines := differences(saved, found):
            raise Failed(*lines)
    except (Failed, Refused, OSError, sqlite3.Error, docker.errors.DockerException) as error:
        keeper.say(f"  {name}: failed: {error}")
        return Outcome(name, time.monotonic() - begun, error=str(error))
    seconds = time.monotonic() - begun
    keeper.say(f"  {name}: as it was at {when(float(saved['at']))}, {len(saved) - 1} figures equal, in {seconds:.1f} s")
    return Outcome(name, seconds, "", int(saved["at"]), snapshot.id, compared=len(saved) - 1)


def _run_on(keeper: Keeper, instance: Instance, store: Store, data: Path, saved: Facts) -> Facts:
    """What a store of the same kind shows of this data."""
    folder = keeper.fetched / "scratch"
    copied = Instance(instance.client, instance.component, "", folder)
    _make_folder(copied)
    if store.load is None:
        _place(copied, store, data)
    at_rest = _look(copied, store, saved) if store.at_rest else None
    with scratch(instance, keeper.settings, folder, store.flags) as running:
        if store.load is not None:
            _place(running, store, data)
            store.load(running)
        return at_rest if at_rest is not None else _look(running, store, saved)


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Outcomes as plain data."""
    return [asdict(one) for one in outcomes]
