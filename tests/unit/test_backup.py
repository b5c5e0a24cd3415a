"""What is saved of each store, how it is compared, and who is kept from disturbing it. No engine runs here; restic does."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from infra import backup, restic, stores, textfile
from infra import settings as stack_settings
from infra.backup import Keeper, Outcome, Record
from infra.catalogue import PROJECT_ROOT, catalogue
from infra.engine import LockedError
from infra.errors import Failed, Refused
from infra.instance import changed
from infra.restic import Restic, Snapshot
from infra.settings import Backup, Kept, Settings, SettingsError, parse
from infra.stores import FOLDERS, STORES, Place, differences, lasting, links_of, save_folder, tables, take
from infra.textfile import Metric, render

needs_restic = pytest.mark.skipif(shutil.which("restic") is None, reason="restic is missing: apt-get install restic")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users, as root may")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    paths = catalogue().paths.model_copy(
        update={name: tmp_path / name for name in ("config", "data", "state", "cache", "backup")}
    )
    monkeypatch.setattr(stack_settings, "catalogue", lambda: catalogue().model_copy(update={"paths": paths}))
    return stack_settings.read("full")


# --- settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        ({"repository": "relative/folder"}, "backup.repository"),
        ({"repository": "ftp://elsewhere"}, "backup.repository"),
        ({"kept": {"daily": 0}}, "backup.kept.daily"),
        ({"daily_at": "2:30"}, "backup.daily_at"),
        ({"tried_at": "04:30"}, "backup.tried_at"),
        ({"read_percent": 0}, "backup.read_percent"),
        ({"keep": {}}, "backup.keep: unknown key"),
    ],
)
def test_a_bad_setting_is_named(tree, line):
    with pytest.raises(SettingsError, match=line):
        parse("x", {"pipelines": {"logs": None}, "backup": tree})


def test_backups_are_made_where_the_key_is_present():
    assert parse("x", {"pipelines": {"logs": None}}).backup is None
    assert parse("x", {"pipelines": {"logs": None}, "backup": None}).backup == Backup()
    assert [name for name in stack_settings.stack_names() if stack_settings.read(name).backup] == ["base", "full", "prod"]


def test_who_backs_up_may_read_the_database_and_nothing_else():
    roles = {role["name"]: role for role in stack_settings.read("full").database_roles}

    assert roles["crowsnest_backup"]["member_of"] == ["pg_read_all_data"]
    assert roles["crowsnest_backup"]["password_file"].endswith("postgresql_backup_password")
    assert "crowsnest_backup" not in {role["name"] for role in stack_settings.read("demo").database_roles}


def test_every_component_with_data_is_saved_or_says_why_not():
    """What is not saved is derived, or brought again: where each stood (collectors), and files that jobs write anew."""
    derived = {"vector", "alloy", "alloy-trader", "node-exporter"}
    # Their log files are in Loki or QuestDB; rows that a database could not take yet are there only while it is away.
    passing = {"trader", "ticker"}
    with_data = {component.name for component in catalogue().components.values() if component.data}

    assert with_data == set(STORES) | derived | passing


def test_every_store_stops_components_that_exist():
    assert {name for store in STORES.values() for name in store.stops} <= set(catalogue().components)


def test_a_stack_has_the_stores_of_what_runs():
    dev = parse("x", {"pipelines": {"trading": {"components": ["postgresql", "redis"]}}, "backup": None})

    assert backup.names_of(dev) == ["secrets", "pulumi", "postgresql", "redis"]
    assert backup.chosen(dev, ["redis"]) == ["redis"]
    with pytest.raises(Refused, match="no store loki; choose from secrets, pulumi, postgresql, redis"):
        backup.chosen(dev, ["loki"])


# --- what is compared ----------------------------------------------------------------------------------------------------


def test_what_is_not_as_it_was_is_named():
    saved = {"at": 1, "table a": "3 rows, sum 5", "table b": "0 rows, sum 0"}

    assert differences(saved, {"at": 2, **{name: saved[name] for name in ("table a", "table b")}}) == []
    assert differences(saved, {"table a": "2 rows, sum 4", "table c": "1 rows, sum 1"}) == [
        "table a: 3 rows, sum 5 was saved, 2 rows, sum 4 is there",
        "table b: 0 rows, sum 0 was saved, nothing is there",
        "table c: nothing was saved, 1 rows, sum 1 is there",
    ]


def test_counts_of_tables_are_read_from_what_psql_prints():
    assert tables("trading.fills|12|-99887766\npublic.a b|0|0\nNOTICE: x | y\n") == {
        "table trading.fills": "12 rows, sum -99887766",
        "table public.a b": "0 rows, sum 0",
    }


CHECKED = "[offset 0] Checking RDB file a\n[offset 89] \\o/ RDB looks OK! \\o/\n"


def test_keys_that_may_end_on_the_way_are_not_counted():
    assert lasting(f"{CHECKED}[info] 7 keys read\n[info] 2 expires\n[info] 1 already expired\n") == 5


@pytest.mark.parametrize("said", ["[info] 7 keys read\n--- RDB ERROR DETECTED ---", CHECKED])
def test_a_dump_that_its_checker_does_not_approve_is_no_backup(said):
    with pytest.raises(Failed, match="did not approve"):
        lasting(said)


def test_only_named_flags_are_changed_for_a_trial():
    assert [changed(word, {"-retentionPeriod": "100y"}) for word in ("-retentionPeriod=14d", "-retention.x=1", "run")] == [
        "-retentionPeriod=100y",
        "-retention.x=1",
        "run",
    ]


# --- how it is saved -----------------------------------------------------------------------------------------------------


def table(folder: Path, *parts: str, listed: tuple[str, ...] | None = None) -> Path:
    for number, part in enumerate(parts):
        (folder / part).mkdir(parents=True)
        (folder / part / "metadata.json").write_text(json.dumps({"RowsCount": 10**number}))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "parts.json").write_text(json.dumps(listed or parts))
    return folder


def test_parts_that_the_list_names_are_linked_and_no_others(tmp_path):
    source = table(tmp_path / "datadb", "A", "B", "unlisted", listed=("A", "B"))

    stores.link_parts(source, tmp_path / "copy")

    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["A", "B", "parts.json"]
    assert (tmp_path / "copy/A/metadata.json").samefile(source / "A/metadata.json")


def test_a_part_that_is_merged_away_meanwhile_is_followed_by_the_list(tmp_path, monkeypatch):
    source = table(tmp_path / "datadb", "A", "B")
    link = stores.link

    def merge_first(path: Path, target: Path) -> None:
        if (source / "A").exists():
            shutil.rmtree(source / "A")
            shutil.rmtree(source / "B")
            table(source, "C")
        link(path, target)

    monkeypatch.setattr(stores, "link", merge_first)

    assert [path.name for path in stores.link_parts(source, tmp_path / "copy")] == ["C"]
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["C", "parts.json"]


@pytest.mark.parametrize("content", ["{", '{"Small": 1}', '["missing"]'])
def test_a_table_that_is_not_understood_is_no_backup(tmp_path, content):
    source = table(tmp_path / "datadb", "A")
    (source / "parts.json").write_text(content)

    with pytest.raises(Failed, match="its list of parts could not be followed"):
        stores.link_parts(source, tmp_path / "copy")


def test_a_tree_that_changes_is_read_again_from_the_start(tmp_path):
    for name in ("1", "2", "3"):
        (tmp_path / "source").mkdir(exist_ok=True)
        (tmp_path / "source" / name).write_text(name)
    seen: list[str] = []

    def way(source: Path, target: Path) -> None:
        seen.append(source.name)
        if seen == ["1", "2"]:
            (tmp_path / "source/2").rename(tmp_path / "source/4")
            raise FileNotFoundError(source)
        stores.copy(source, target)

    take(tmp_path / "source", tmp_path / "target", way)

    assert seen == ["1", "2", "1", "3", "4"]
    assert sorted(path.name for path in (tmp_path / "target").iterdir()) == ["1", "3", "4"]


def test_a_tree_that_never_holds_still_is_no_backup(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/1").write_text("1")

    def way(source: Path, target: Path) -> None:
        raise FileNotFoundError(source)

    with pytest.raises(Failed, match="changes faster than it can be read"):
        take(tmp_path / "source", tmp_path / "target", way)


def test_what_is_written_again_in_place_is_copied_and_what_is_not_is_linked(tmp_path):
    (tmp_path / "source/chunks").mkdir(parents=True)
    for name in ("chunks/000001", "index", "bucket-index.json.gz"):
        (tmp_path / "source" / name).write_text(name)

    take(tmp_path / "source", tmp_path / "target", links_of("chunks/*", "index"), leave=("nothing",))

    linked = {
        name: (tmp_path / "target" / name).samefile(tmp_path / "source" / name)
        for name in ("chunks/000001", "index", "bucket-index.json.gz")
    }
    assert linked == {"chunks/000001": True, "index": True, "bucket-index.json.gz": False}


@pytest.mark.parametrize(
    ("component", "name", "save", "look"),
    [
        ("api", "crowsnest-api.sqlite3", stores.save_api, stores.look_api),
        ("grafana", "grafana.db", stores.save_grafana, stores.look_grafana),
    ],
)
def test_a_database_is_copied_while_it_is_written_to(tmp_path, component, name, save, look):
    live, saved = tmp_path / "live", tmp_path / "saved"
    live.mkdir()
    saved.mkdir()
    with closing(sqlite3.connect(live / name, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute('CREATE TABLE "user""s" (name)')
        writer.executemany('INSERT INTO "user""s" VALUES (?)', [("a",), ("b",)])
        writer.execute("BEGIN IMMEDIATE")
        writer.execute('INSERT INTO "user""s" VALUES (?)', ("not committed",))
        facts = save(_instance(live, component), saved)

    assert facts.pop("at")
    assert facts == {f"{name} integrity": "ok", f'{name} user"s': 2}
    assert look(_instance(saved, component), facts) == facts
    assert [path.name for path in saved.iterdir()] == [name]


def _instance(folder: Path, component: str = "api") -> stores.Instance:
    return stores.Instance(None, catalogue()[component], "", folder)


def test_an_append_only_redis_begins_with_the_dump(tmp_path):
    data, folder = tmp_path / "data", tmp_path / "redis"
    data.mkdir()
    folder.mkdir()
    (data / "dump.rdb").write_bytes(b"REDIS")

    stores.place_redis(data, folder)

    manifest = (folder / "appendonlydir/appendonly.aof.manifest").read_text()
    assert manifest == "file appendonly.aof.1.base.rdb seq 1 type b\n"
    assert (folder / "appendonlydir/appendonly.aof.1.base.rdb").read_bytes() == b"REDIS"


def test_state_is_saved_without_what_the_engine_can_make_again(settings, tmp_path):
    state = settings.folders.state
    kept = [".pulumi/meta.yaml", ".pulumi/stacks/crowsnest/full.json", "passphrase", "supplies/crowsnest-full.json"]
    left = [".pulumi/history/crowsnest/full/1.json", ".pulumi/locks/a.json", "home/plugins/x", "workspace/Pulumi.yaml"]
    for name in (*kept, *left):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text(name)

    facts = save_folder(FOLDERS["pulumi"], Place(settings), tmp_path / "saved")

    assert sorted(str(path.relative_to(tmp_path / "saved")) for path in stores.files(tmp_path / "saved")) == sorted(kept)
    assert facts["files"] == len(kept)


def test_nothing_to_save_is_a_failure(settings, tmp_path):
    settings.folders.config.mkdir(parents=True)

    with pytest.raises(Failed, match="holds nothing to save"):
        save_folder(FOLDERS["secrets"], Place(settings), tmp_path / "saved")


# --- metrics -------------------------------------------------------------------------------------------------------------


def test_metrics_are_those_that_the_alerts_ask_for(settings):
    record = Record.of(settings)
    record.note([Outcome("redis", 2.0, bytes=10), Outcome("loki", 3.0, error="away"), Outcome("gone", 1.0)], trial=False)
    record.note([Outcome("redis", 4.0, error="differs")], trial=True)

    text = render(Record.of(settings).metrics(["redis", "loki"]))

    assert 'crowsnest_backup_last_success_timestamp_seconds{store="loki"} 0\n' in text
    assert 'crowsnest_backup_success{store="redis"} 1\n' in text
    assert 'crowsnest_restore_test_success{store="redis"} 0\n' in text
    assert "gone" not in text
    rules = (PROJECT_ROOT / "rules/tables/platform.yml").read_text()
    for name in ("crowsnest_backup_last_success_timestamp_seconds", "crowsnest_restore_test_success"):
        assert name in rules
        assert f"\n{name}{{" in text


def test_a_failure_does_not_make_the_last_success_younger(settings):
    Record.of(settings).note([Outcome("redis", 2.0)], trial=False)
    before = Record.of(settings).stores["redis"]["last_success"]

    Record.of(settings).note([Outcome("redis", 2.0, error="away")], trial=False)

    assert Record.of(settings).stores["redis"]["last_success"] == before
    assert Record.of(settings).stores["redis"]["success"] == 0


def test_a_torn_record_is_begun_anew(settings):
    Record.of(settings).note([Outcome("redis", 2.0)], trial=False)
    Record.of(settings).file.write_text('{"redis": {"succ')

    assert Record.of(settings).stores == {}


def test_labels_are_escaped_and_empty_metrics_left_out():
    assert render([Metric("a", "Help.", [({"x": 'say "hi"\n\\'}, 1.5)]), Metric("b", "None.")]) == (
        '# HELP a Help.\n# TYPE a gauge\na{x="say \\"hi\\"\\n\\\\"} 1.5\n'
    )


@needs_root
def test_the_exporter_may_read_the_file_and_nobody_else(settings):
    folder = settings.folders.data / "node-exporter"
    assert not textfile.publish(settings, "backup", [])
    folder.mkdir(parents=True)

    assert textfile.publish(settings, "backup", [Metric("a", "Help.", [({}, 1)])])

    (file,) = folder.iterdir()
    exporter = catalogue()["node-exporter"]
    assert (file.name, file.stat().st_uid, file.stat().st_mode & 0o777) == ("backup.prom", exporter.uid, 0o440)


# --- one at a time -------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from infra import backup, settings
with backup.lock(settings.read("dev"), sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock for what it is told, until its input ends."""
    processes = []

    def hold(what: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, what],
            cwd=PROJECT_ROOT, env={**os.environ, "CROWSNEST_STATE_DIR": str(tmp_path), "PYTHONPATH": "src:."},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.communicate(timeout=10)


def test_one_at_a_time_and_a_restore_keeps_deployments_away(tmp_path, holder, monkeypatch):
    paths = catalogue().paths.model_copy(update={"state": tmp_path})
    monkeypatch.setattr(stack_settings, "catalogue", lambda: catalogue().model_copy(update={"paths": paths}))
    dev = stack_settings.read("dev")
    backup.check_no_restore(dev)

    process = holder("restore")

    with (
        pytest.raises(LockedError, match=rf"another restore \(pid {process.pid}\) of stack dev is running"),
        backup.lock(dev, "x"),
    ):
        pass
    with pytest.raises(LockedError, match="another restore"):
        backup.check_no_restore(dev)
    process.communicate(timeout=10)
    backup.check_no_restore(dev)
    with backup.lock(dev, "backup"):
        backup.check_no_restore(dev)


# --- restic --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def target(tmp_path: Path) -> Restic:
    (tmp_path / "password").write_text("of the test")
    return Restic(str(tmp_path / "repository"), tmp_path / "password", "one", tmp_path / "cache")


@needs_restic
def test_what_is_saved_comes_back_and_old_backups_go(target, tmp_path):
    work = tmp_path / "work/redis"
    work.mkdir(parents=True)
    assert target.open(create=True)
    assert not target.open()
    for content in ("first", "second"):
        (work / "data").write_text(content)
        saved = target.backup(work, "redis")
        assert saved.bytes == len(content)

    snapshots = target.snapshots()
    assert [one.store for one in snapshots] == ["redis", "redis"]
    target.restore(restic.choose(snapshots, "redis", snapshots[0].id[:6]).id, tmp_path / "back")
    assert (tmp_path / "back/redis/data").read_text() == "first"

    target.forget(Kept(daily=1, weekly=1, monthly=1))
    assert [one.id for one in target.snapshots()] == [snapshots[1].id]
    target.check(100)


@needs_restic
def test_damage_another_password_and_a_missing_repository_are_told_apart(target, tmp_path):
    with pytest.raises(Refused, match=r"there is no backup in .*`make backup` makes one"):
        target.open()
    target.open(create=True)
    work = tmp_path / "work"
    work.mkdir()
    (work / "data").write_bytes(os.urandom(100_000))
    target.backup(work, "redis")
    pack = max(
        (path for path in (tmp_path / "repository/data").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    content = pack.read_bytes()
    pack.chmod(0o600)
    pack.write_bytes(content[:5000] + bytes(100) + content[5100:])

    with pytest.raises(Failed, match="restic check"):
        target.check(100)
    (tmp_path / "password").write_text("another")
    with pytest.raises(Refused, match="has another password"):
        target.open()


def test_a_backup_is_chosen_by_name(tmp_path):
    snapshots = [Snapshot("aa11", "redis", "1"), Snapshot("bb22", "redis", "2"), Snapshot("cc33", "loki", "3")]

    assert restic.choose(snapshots, "redis", "latest").id == "bb22"
    assert restic.choose(snapshots, "redis", "aa").id == "aa11"
    with pytest.raises(Refused, match="cc33 is no backup of redis; there are aa11, bb22"):
        restic.choose(snapshots, "redis", "cc33")
    with pytest.raises(Refused, match="there is no backup of api"):
        restic.choose(snapshots, "api", "latest")


def test_keys_of_a_place_elsewhere_are_read_and_checked(tmp_path):
    file = tmp_path / "s3.env"
    with pytest.raises(Refused, match="is missing: it takes AWS_ACCESS_KEY_ID"):
        restic.keys(file)
    file.write_text("# of the bucket\nAWS_ACCESS_KEY_ID=a\n\nAWS_SECRET_ACCESS_KEY=b=c\n")
    assert restic.keys(file) == {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b=c"}
    file.write_text("export AWS_ACCESS_KEY_ID=a\n")
    with pytest.raises(Refused, match="each line must be NAME=value"):
        restic.keys(file)


@needs_root
def test_without_its_password_nothing_is_begun(settings):
    with pytest.raises(Refused, match="password is missing: `make up` makes it"):
        Keeper(settings, print).open(create=True)
    assert not settings.folders.backup.exists()
