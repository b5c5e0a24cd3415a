"""How each store is saved while it runs, put back, and asked what it holds. `STORES` is the whole table.

What is saved of a store is a folder: `data` below it, and `facts.json`, which says from when it is and what is in it: rows,
samples, lines, keys, checksums. Whoever has restored it asks the store again and compares.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.errors import Failed
from infra.instance import Instance
from infra.pipelines.logs import FLUSH_INTERVAL_SECONDS
from infra.settings import BACKUP_ROLE, PROJECT, Settings

Facts = dict[str, int | str]
# A file that a store took away while its folder was read: it is read again from the start, this often.
ATTEMPTS = 5
# What is on its way to a metrics or line store is there after this time.
SETTLED_SECONDS = 30
# Files that a store's own programs write or read, in its data folder: in its container they can write nowhere else.
DRAFT = ".backup"
RESTORED = f"{PROJECT}_restored"
BEFORE = f"{PROJECT}_before_restore"


# --- files ---------------------------------------------------------------------------------------------------------------


def link(source: Path, target: Path) -> None:
    """The same file under another name: later changes of the name's owner, who writes new files only, do not reach it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)


def copy(source: Path, target: Path) -> None:
    """A copy with times, owner and rights."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    owner = source.stat()
    os.chown(target, owner.st_uid, owner.st_gid)


def links_of(*patterns: str) -> Callable[[Path, Path], None]:
    """Links of the files that are written once, copies of the others."""

    def way(source: Path, target: Path) -> None:
        (link if any(source.match(pattern) for pattern in patterns) else copy)(source, target)

    return way


def move_into(source: Path, target: Path) -> None:
    """Move all that is in a folder into another one."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        shutil.move(path, target / path.name)


def files(root: Path) -> Iterator[Path]:
    """Every file below a folder, in a stable order."""
    return (path for path in sorted(root.rglob("*")) if path.is_file())


def take(source: Path, target: Path, way: Callable[[Path, Path], None], *, leave: Iterable[str] = ()) -> None:
    """Take a tree over that its owner goes on changing: when a file vanishes meanwhile, all of it anew.

    Raises:
        Failed: it changes faster than it can be read.
    """
    patterns = tuple(leave)
    for _ in range(ATTEMPTS):
        try:
            for path in files(source):
                relative = path.relative_to(source)
                if not any(relative.match(pattern) for pattern in patterns):
                    way(path, target / relative)
        except FileNotFoundError:
            shutil.rmtree(target, ignore_errors=True)
            continue
        return
    raise Failed(f"{source} changes faster than it can be read; try again when less is written")


def digest(root: Path) -> Facts:
    """Number, bytes and checksum of the files below a folder, by name."""
    whole, count, size = hashlib.sha256(), 0, 0
    for path in files(root):
        content = path.read_bytes()
        whole.update(f"{path.relative_to(root)}\0{len(content)}\0".encode())
        whole.update(content)
        count, size = count + 1, size + len(content)
    return {"files": count, "bytes": size, "sha256": whole.hexdigest()}


# --- what a store is ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A stack's folders, for what is no container's."""

    settings: Settings

    @property
    def secrets(self) -> Path:
        """The secrets."""
        return self.settings.folders.config / "secrets"

    @property
    def state(self) -> Path:
        """Pulumi's state."""
        return self.settings.folders.state


@dataclass(frozen=True)
class Store:
    """One store.

    Args:
        name: as people call it, and as its backups are tagged; that of a component where there is one.
        summary: how it is saved, for people.
        save: writes what is saved into a folder, and says what that is.
        look: what a restored store holds now; given what was saved, for the moment to ask about.
        load: has a running store take what was placed, where placing files is not enough.
        place: puts what was saved into an empty data folder.
        at_rest: whether it is looked at before it is started: what it writes from then on is its own.
        shown_seconds: what it may take until it shows all it has.
        stops: who is stopped meanwhile, beside the store: they would write, or hold what is exchanged.
        flags: those of the store's command that a trial changes: it must not drop what is old.
    """

    name: str
    summary: str
    save: Callable[[Instance, Path], Facts]
    look: Callable[[Instance, Facts], Facts]
    load: Callable[[Instance], None] | None = None
    place: Callable[[Path, Path], None] = move_into
    at_rest: bool = False
    shown_seconds: int = 120
    stops: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """What is saved as it lies there: a folder of the stack that no container writes.

    Args:
        name: as its backups are tagged.
        summary: how it is saved, for people.
        root: where it is.
        picks: which of its files, as patterns; all unless named.
    """

    name: str
    summary: str
    root: Callable[[Place], Path]
    picks: tuple[str, ...] = ("**/*",)


# --- what is saved as files ----------------------------------------------------------------------------------------------


def _as_files(leave: tuple[str, ...] = ()) -> Callable[[Instance, Path], Facts]:
    def save(instance: Instance, data: Path) -> Facts:
        take(instance.folder, data, copy, leave=leave)
        return {"at": _now(), **digest(data)}

    return save


def _same_files(instance: Instance, _saved: Facts) -> Facts:
    return digest(instance.folder)


def save_folder(folder: Folder, place: Place, data: Path) -> Facts:
    """Save what no container writes."""
    root = folder.root(place)
    for pattern in folder.picks:
        for path in sorted(path for path in root.glob(pattern) if path.is_file()):
            copy(path, data / path.relative_to(root))
    if not data.is_dir():
        raise Failed(f"{root} holds nothing to save")
    return {"at": _now(), **digest(data)}


def _now() -> int:
    return int(time.time())


# --- VictoriaLogs --------------------------------------------------------------------------------------------------------


def save_victorialogs(instance: Instance, data: Path) -> Facts:
    """Hard links of the parts that each partition's list names: what the store's own snapshots are, in every version.

    Parts never change once they are listed. The rows come before the index: what they refer to is there by then.
    """
    at = _now()
    time.sleep(3 * FLUSH_INTERVAL_SECONDS)  # what was acknowledged by now is on the disk then
    facts: Facts = {"at": at}
    partitions = sorted(path for path in (instance.folder / "partitions").glob("[0-9]*") if path.is_dir())
    for kind in ("datadb", "indexdb"):
        for partition in partitions:
            parts = link_parts(partition / kind, data / "partitions" / partition.name / kind)
            if kind == "datadb" and (rows := sum(map(_rows_of, parts))):
                facts[f"rows {partition.name}"] = rows
        time.sleep(FLUSH_INTERVAL_SECONDS)
    return facts


def link_parts(source: Path, target: Path) -> list[Path]:
    """Link the parts of one table and write their list; when one is merged away meanwhile, from the list anew.

    Raises:
        Failed: it is no table of a known form, or is merged faster than it can be linked.
    """
    for _ in range(ATTEMPTS):
        try:
            listed = json.loads((source / "parts.json").read_text())
            for name in listed:
                for path in files(source / name):
                    link(path, target / name / path.relative_to(source / name))
                if not (target / name).is_dir():
                    raise FileNotFoundError(name)
        except FileNotFoundError:
            shutil.rmtree(target, ignore_errors=True)
            time.sleep(0.2)
            continue
        except (ValueError, TypeError):
            break
        target.mkdir(parents=True, exist_ok=True)
        (target / "parts.json").write_text(json.dumps(listed))
        return [target / name for name in listed]
    raise Failed(f"{source}: its list of parts could not be followed; a version of the store that is not known here?")


def _rows_of(part: Path) -> int:
    return int(json.loads((part / "metadata.json").read_text())["RowsCount"])


def look_victorialogs(instance: Instance, _saved: Facts) -> Facts:
    """Rows of each day, counted by the store."""
    answer = instance.ask("POST", "/select/logsql/query", {"query": "* | stats by (_time:1d) count() as rows"})
    rows = [json.loads(line) for line in answer.text.splitlines()]
    return {f"rows {row['_time'][:10].replace('-', '')}": int(row["rows"]) for row in rows}


# --- Prometheus and Mimir ------------------------------------------------------------------------------------------------

SERIES = 'count(last_over_time({__name__!=""}[1h]))'
# Counting over a range forgets the names and then takes series of two names for one; so the samples themselves are asked for.
SAMPLES = '{__name__!=""}[5m]'


def _promql(prefix: str) -> Callable[[Instance, Facts], Facts]:
    def look(instance: Instance, saved: Facts) -> Facts:
        """Series of the hour before the saved moment, and every sample of the last minutes before it."""
        asked = (
            instance.ask("GET", f"{prefix}/api/v1/query", {"query": query, "time": saved["at"]}).json()["data"]["result"]
            for query in (SERIES, SAMPLES)
        )
        counted, samples = asked
        return {"series of the hour": int(counted[0]["value"][1]) if counted else 0, **checksum(samples)}

    return look


def checksum(series: Sequence[Mapping[str, Any]]) -> Facts:
    """Number and checksum of samples, whatever the order of their series."""
    values = [one.get("values", []) + one.get("histograms", []) for one in series]
    lines = sorted(json.dumps([one["metric"], samples], sort_keys=True) for one, samples in zip(series, values, strict=True))
    whole = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {"samples of 5 minutes": sum(map(len, values)), "their sha256": whole}


look_prometheus = _promql("")
look_mimir = _promql("/prometheus")


def save_prometheus(instance: Instance, data: Path) -> Facts:
    """The store's own snapshot, with what it has not written into blocks yet."""
    at = _now() - SETTLED_SECONDS
    try:
        answer = instance.ask("POST", "/api/v1/admin/tsdb/snapshot").json()
    except Failed as error:
        if "admin APIs disabled" not in str(error):
            raise
        raise Failed(
            "prometheus: where its port is published it makes no snapshots, which nobody is asked a password for; "
            "remove prometheus.http from `publish` (`infra.cli address prometheus` says where it is)"
        ) from None
    snapshot = instance.folder / "snapshots" / answer["data"]["name"]
    try:
        move_into(snapshot, data)
    finally:
        shutil.rmtree(snapshot, ignore_errors=True)
    return {"at": at, **look_prometheus(instance, {"at": at})}


def save_mimir(instance: Instance, data: Path) -> Facts:
    """Blocks, after what is in memory was written into them. What comes in meanwhile is for the next time."""
    at = _now() - SETTLED_SECONDS
    instance.ask("POST", "/ingester/flush", {"wait": "true"})
    facts = look_mimir(instance, {"at": at})
    unfinished = ("*.tmp-*/*", "*.tmp-*/*/*", "*.tmp", "wal/*", "wal/*/*", "wbl/*", "chunks_head/*")
    # Before the bucket: what is only on its way there is in both.
    take(instance.folder / "tsdb", data / "tsdb", copy, leave=[*unfinished, "*.lock", "lock"])
    for tenant in sorted(path for path in (instance.folder / "bucket").glob("*/*") if path.is_dir()):
        take(tenant, data / tenant.relative_to(instance.folder), links_of("chunks/*", "index"))
    return {"at": at, **facts}


# --- Loki ----------------------------------------------------------------------------------------------------------------

EVERY_LINE = '{component=~".+"}'


def save_loki(instance: Instance, data: Path) -> Facts:
    """Its files, in the order in which a line travels: what moves on while they are read is found further on.

    A line is in the log of what is not flushed, then in a chunk with an entry in the index; so the log is taken first, then the
    index, then chunks.
    """
    at = _now() - SETTLED_SECONDS
    take(instance.folder / "wal", data / "wal", copy)
    # What was only cached or half made is made again.
    take(instance.folder / "tsdb-shipper-active", data / "tsdb-shipper-active", copy, leave=("scratch/*", "uploader/*"))
    take(instance.folder / "chunks" / "index", data / "chunks" / "index", links_of("*.tsdb.gz"))
    for tenant in sorted(path for path in (instance.folder / "chunks").iterdir() if path.is_dir() and path.name != "index"):
        take(tenant, data / "chunks" / tenant.name, link)
    return {"at": at, **look_loki(instance, {"at": at})}


def look_loki(instance: Instance, saved: Facts) -> Facts:
    """Lines and bytes of the day before the saved moment."""
    found: Facts = {}
    for name, function in (("lines of the last day", "count_over_time"), ("bytes of the last day", "bytes_over_time")):
        query = {"query": f"sum({function}({EVERY_LINE}[24h]))", "time": saved["at"]}
        result = instance.ask("GET", "/loki/api/v1/query", query).json()["data"]["result"]
        found[name] = int(float(result[0]["value"][1])) if result else 0
    return found


# --- PostgreSQL ----------------------------------------------------------------------------------------------------------

# $1 port, $2 role, $3 file with its password, $4 database, $5 what to run or to read.
CLIENT = (
    'PGHOST=127.0.0.1 PGPORT="$1" PGUSER="$2" PGDATABASE="$4"; IFS= read -r PGPASSWORD < "$3" || :;'
    " export PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE;"
)
PSQL = CLIENT + ' printf "%s\\n" "$5" | psql -X -q -A -t -F "|" -v ON_ERROR_STOP=1'
# Rows, and a checksum that does not depend on their order. Settings that change how a value is written are the same each time.
COUNT_SQL = r"""
SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET extra_float_digits = 1; SET bytea_output = 'hex';
SELECT format('SELECT %L, count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM %I.%I AS t',
              n.nspname || '.' || c.relname, n.nspname, c.relname)
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
 ORDER BY 1 \gexec
"""
# The dump and the counts see the same moment: they share a snapshot. Locks of the dump stop nobody who reads or writes.
SAVE_SQL = r"""
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT pg_export_snapshot() AS snapshot \gset
\setenv SNAPSHOT :snapshot
\! pg_dump --snapshot="$SNAPSHOT" --format=custom --compress=0 --lock-wait-timeout=60s --file="$DUMP"
\if :SHELL_ERROR
DO $$ BEGIN RAISE EXCEPTION 'pg_dump failed; its reason stands above'; END $$;
\endif
"""


def _as_role(instance: Instance, role: str, secret: str, database: str) -> list[str]:
    return [str(instance.component.ports["sql"].container), role, f"/run/secrets/{secret}", database]


def _as_backup(instance: Instance) -> list[str]:
    return _as_role(instance, BACKUP_ROLE, instance.component.secrets[-1], PROJECT)


def _as_owner(instance: Instance, database: str) -> list[str]:
    return _as_role(instance, PROJECT, instance.component.secrets[0], database)


def save_postgresql(instance: Instance, data: Path) -> Facts:
    """A dump, not compressed so that what did not change is stored once, and the roles without their passwords."""
    draft = instance.folder / DRAFT
    inside = f"{instance.component.data}/{DRAFT}"
    draft.unlink(missing_ok=True)
    at = _now()
    try:
        counted = instance.run(f'DUMP="{inside}"; export DUMP; {PSQL}', *_as_backup(instance), f"{SAVE_SQL}{COUNT_SQL}COMMIT;")
        roles = instance.run(f"{CLIENT} pg_dumpall --globals-only --no-role-passwords", *_as_backup(instance))
        shutil.move(draft, data / "database.dump")
    except Failed as error:
        if f'authentication failed for user "{BACKUP_ROLE}"' in str(error):
            raise Failed(f"postgresql lets {BACKUP_ROLE} not in: `make up` makes the role where `backup` is set") from error
        raise
    finally:
        draft.unlink(missing_ok=True)
    (data / "roles.sql").write_text(roles, encoding="utf-8")
    return {"at": at, **tables(counted)}


def tables(counted: str) -> Facts:
    """Rows and checksum of each table, as psql has printed them."""
    rows = (line.split("|") for line in counted.splitlines() if line.count("|") == 2)
    return {f"table {name}": f"{count} rows, sum {checksum}" for name, count, checksum in rows}


def place_postgresql(data: Path, folder: Path) -> None:
    """Where the server's own programs read it."""
    shutil.move(data / "database.dump", folder / DRAFT)
    shutil.move(data / "roles.sql", folder / f"{DRAFT}.sql")


def load_postgresql(instance: Instance) -> None:
    """Fill a database beside the present one and exchange the two: until then nothing is lost, and then nothing of it.

    The database that was there is kept under another name until the next restore.
    """
    inside, owner = f"{instance.component.data}/{DRAFT}", _as_owner(instance, "postgres")
    try:
        # Roles that are there already are no failure.
        instance.run(f'{CLIENT} psql -X -q -o /dev/null -f "$5" 2>/dev/null', *owner, f"{inside}.sql")
        instance.run(PSQL, *owner, f"DROP DATABASE IF EXISTS {RESTORED};\nCREATE DATABASE {RESTORED};")
        restore = f'{CLIENT} pg_restore --exit-on-error --single-transaction --dbname={RESTORED} "$5"'
        instance.run(restore, *owner, inside)
        instance.run(PSQL, *owner, exchange_sql())
    finally:
        (instance.folder / DRAFT).unlink(missing_ok=True)
        (instance.folder / f"{DRAFT}.sql").unlink(missing_ok=True)


def exchange_sql() -> str:
    """Nobody may be connected to a database that gets another name."""
    return f"""
DROP DATABASE IF EXISTS {BEFORE} WITH (FORCE);
ALTER DATABASE {PROJECT} WITH ALLOW_CONNECTIONS false;
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = '{PROJECT}';
ALTER DATABASE {PROJECT} RENAME TO {BEFORE};
ALTER DATABASE {RESTORED} RENAME TO {PROJECT};
"""  # noqa: S608 - names of our own


def look_postgresql(instance: Instance, _saved: Facts) -> Facts:
    """Rows and checksum of each table."""
    return tables(instance.run(PSQL, *_as_owner(instance, PROJECT), COUNT_SQL))


# --- Redis ---------------------------------------------------------------------------------------------------------------

# With the shell's own means: the image has no other program. A file without an end of line is read, too.
REDIS = 'IFS= read -r REDISCLI_AUTH < "$1" || :; export REDISCLI_AUTH;'


def _redis(instance: Instance) -> list[str]:
    return [f"/run/secrets/{instance.component.secrets[0]}", str(instance.component.ports["resp"].container)]


def save_redis(instance: Instance, data: Path) -> Facts:
    """What the server sends to a replica: all keys of one moment. The server's own checker then reads every one of them."""
    draft = instance.folder / f"{DRAFT}.rdb"
    inside = f"{instance.component.data}/{DRAFT}.rdb"
    draft.unlink(missing_ok=True)
    at = _now()
    try:
        instance.run(f'{REDIS} redis-cli -p "$2" --rdb "$3" >&2', *_redis(instance), inside)
        checked = instance.run('redis-check-rdb "$1"', inside)
        shutil.move(draft, data / "dump.rdb")
    finally:
        draft.unlink(missing_ok=True)
    return {"at": at, "keys that stay": lasting(checked)}


def lasting(checked: str) -> int:
    """Keys without an end of life, of what redis-check-rdb has read. The others may end on the way."""
    found = {name: int(count) for count, name in re.findall(r"\[info\] (\d+) (keys read|expires)", checked)}
    if "keys read" not in found or "RDB looks OK" not in checked:
        raise Failed(f"redis: its checker did not approve the dump: {checked.strip()[-300:]}")
    return found["keys read"] - found.get("expires", 0)


def place_redis(data: Path, folder: Path) -> None:
    """As the base of an append-only file: a server with one looks at nothing else when it starts."""
    target = folder / "appendonlydir"
    target.mkdir()
    shutil.move(data / "dump.rdb", target / "appendonly.aof.1.base.rdb")
    (target / "appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")


def look_redis(instance: Instance, _saved: Facts) -> Facts:
    """Keys without an end of life, of all databases."""
    answer = instance.run(f'{REDIS} redis-cli -p "$2" --no-auth-warning info keyspace', *_redis(instance))
    counted = re.findall(r"keys=(\d+),expires=(\d+)", answer)
    return {"keys that stay": sum(int(keys) - int(expires) for keys, expires in counted)}


# --- SQLite: the API and Grafana ------------------------------------------------------------------------------------------


def _sqlite(pattern: str) -> tuple[Callable[[Instance, Path], Facts], Callable[[Instance, Facts], Facts]]:
    """How the databases of a folder are saved and looked at."""
    return (
        lambda instance, data: save_sqlite(instance, data, pattern),
        lambda instance, _saved: sqlite_facts(instance.folder, pattern),
    )


def save_sqlite(instance: Instance, data: Path, pattern: str) -> Facts:
    """SQLite's own online copy: of one moment, also while it is written to."""
    at = _now()
    found = sorted(instance.folder.glob(pattern))
    if not found:
        raise Failed(f"{instance.component.name}: there is no database in {instance.folder}")
    for file in found:
        with (
            closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(data / file.name)) as target,
        ):
            source.backup(target)
            # The copy is one file: whoever opens it for good turns this on again.
            target.execute("PRAGMA journal_mode=DELETE")
        (data / file.name).chmod(0o600)
    return {"at": at, **sqlite_facts(data, pattern)}


def sqlite_facts(folder: Path, pattern: str) -> Facts:
    """Rows of each table of each database, and SQLite's own word on whether it is whole."""
    facts: Facts = {}
    for file in sorted(folder.glob(pattern)):
        with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as database:
            facts[f"{file.name} integrity"] = str(database.execute("PRAGMA integrity_check").fetchone()[0])
            names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
            for (name,) in names:
                quoted = str(name).replace('"', '""')
                count = database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]  # noqa: S608
                facts[f"{file.name} {name}"] = int(count)
    return facts


save_api, look_api = _sqlite("*.sqlite3")
# Its plugins and dashboards are placed by Ansible; what people make in it is in its database.
save_grafana, look_grafana = _sqlite("grafana.db")


# --- QuestDB -------------------------------------------------------------------------------------------------------------

# What is before this moment does not change any more, unless a collector catches up.
APPLIED_SECONDS = 5
# With this file there, QuestDB goes back to its checkpoint when it starts, and removes both.
GO_BACK = "_restore"
# In a checkpoint these are exact, whatever the order in which they are added.
SUMMABLE = {"LONG": "{}", "INT": "{}", "DOUBLE": "cast({} * 1000000 AS LONG)"}


def save_questdb(instance: Instance, data: Path) -> Facts:
    """A copy of its files while a checkpoint keeps what is in them: rows come in meanwhile, and are not in the copy.

    Raises:
        Failed: rows before the saved moment go on coming in.
    """
    # A killed backup leaves its checkpoint, and with it files that nobody removes any more.
    _sql(instance, "CHECKPOINT RELEASE")
    facts: Facts = {"at": _now()}
    time.sleep(APPLIED_SECONDS)
    for _ in range(ATTEMPTS):
        counted = look_questdb(instance, facts)
        _sql(instance, "CHECKPOINT CREATE")
        try:
            if look_questdb(instance, facts) == counted:
                take(instance.folder, data, copy, leave=("conf/*", "public/**/*", f"{DRAFT}*"))
                return {**facts, **counted}
        finally:
            _sql(instance, "CHECKPOINT RELEASE")
        time.sleep(APPLIED_SECONDS)
    raise Failed("questdb: lines of the past are still coming in; save it when the collector has caught up")


def place_questdb(data: Path, folder: Path) -> None:
    """Its files, and the word to go back to the checkpoint in them."""
    move_into(data, folder)
    (folder / GO_BACK).touch()


def look_questdb(instance: Instance, saved: Facts) -> Facts:
    """Rows of each table up to the saved moment, the first and last time, and the sum of each column of numbers."""
    found: Facts = {}
    for row in _sql(instance, "SELECT table_name, designatedTimestamp FROM tables() WHERE table_type = 'T' ORDER BY 1"):
        table, stamp = str(row["table_name"]), row["designatedTimestamp"]
        if stamp is None:
            continue
        quoted = table.replace("'", "''")
        columns = _sql(instance, f"SELECT \"column\", type FROM table_columns('{quoted}')")  # noqa: S608
        sums = [SUMMABLE[one["type"]].format(_name(one["column"])) for one in columns if one["type"] in SUMMABLE]
        selected = ", ".join(["count()", f"min({_name(stamp)})", f"max({_name(stamp)})", *(f"sum({one})" for one in sums)])
        before = f"{_name(stamp)} < {int(saved['at']) * 1_000_000}L"
        (values,) = _sql(instance, f"SELECT {selected} FROM {_name(table)} WHERE {before}")  # noqa: S608 - names it gave us
        found[f"table {table}"] = json.dumps(list(values.values()))
    return found


def _name(column: object) -> str:
    return '"' + str(column).replace('"', '""') + '"'


def _sql(instance: Instance, statement: str) -> list[dict[str, Any]]:
    """Rows of a statement, as the one who may do all."""
    password = instance.named_file("QDB_HTTP_PASSWORD_FILE").read_text(encoding="utf-8").strip()
    answer = instance.ask("GET", "/exec", {"query": statement}, login=(PROJECT, password)).json()
    columns = [column["name"] for column in answer.get("columns", [])]
    return [dict(zip(columns, row, strict=True)) for row in answer.get("dataset", [])]


# --- the table -----------------------------------------------------------------------------------------------------------

HUNDRED_YEARS = "100y"
UNBOUNDED = "1000TiB"
LOCKS = ("locks/*", "*.lock")

STORES: dict[str, Store] = {
    store.name: store
    for store in (
        Store(
            "postgresql",
            "pg_dump of one snapshot, by a role that may only read; roles without passwords",
            save_postgresql, look_postgresql, load_postgresql, place_postgresql,
            stops=("trader", "api", "postgres-exporter"),
        ),
        Store("redis", "what the server sends to a replica, and its checker's word", save_redis, look_redis, place=place_redis),
        Store("api", "SQLite's online copy", save_api, look_api, at_rest=True),
        Store(
            "victorialogs", "hard links of the parts that its lists name", save_victorialogs, look_victorialogs,
            flags={"-retentionPeriod": HUNDRED_YEARS, "-retention.maxDiskSpaceUsageBytes": UNBOUNDED},
        ),
        Store("loki", "log of what is not flushed, index, chunks, in this order", save_loki, look_loki),
        # What is older than 12 h it asks of its bucket, in which it looks for blocks every 15 minutes.
        Store("mimir", "blocks, after it has written what was in memory", save_mimir, look_mimir, shown_seconds=1200),
        Store(
            "prometheus", "its own snapshot", save_prometheus, look_prometheus,
            flags={"--storage.tsdb.retention.time": HUNDRED_YEARS, "--storage.tsdb.retention.size": "1000TB"},
        ),
        # Telegraf goes on where it was; its rows would come between those that are compared.
        Store(
            "questdb", "files of a checkpoint", save_questdb, look_questdb,
            place=place_questdb, stops=("telegraf", "ticks-relay"),
        ),
        Store("grafana", "SQLite's online copy", save_grafana, look_grafana, at_rest=True),
        Store("alertmanager", "silences and what was notified, as files", _as_files(), _same_files, at_rest=True),
        Store("caddy", "certificates and its authority's key, as files", _as_files(LOCKS), _same_files, at_rest=True),
    )
}  # fmt: skip

FOLDERS: dict[str, Folder] = {
    folder.name: folder
    for folder in (
        Folder("secrets", "files, encrypted like everything", lambda place: place.secrets),
        Folder(
            "pulumi",
            "state, its passphrase, and which supply each store began with",
            lambda place: place.state,
            (".pulumi/meta.yaml", ".pulumi/stacks/**/*", "passphrase", "supplies/*"),
        ),
    )
}


def differences(saved: Facts, found: Facts) -> list[str]:
    """What a restored store does not hold as it was saved, a line each; its moment is no content."""
    return [
        f"{name}: {saved.get(name, 'nothing')} was saved, {found.get(name, 'nothing')} is there"
        for name in sorted({*saved, *found} - {"at"})
        if saved.get(name) != found.get(name)
    ]


def read_facts(folder: Path) -> Facts:
    """What a backup says of itself.

    Raises:
        Failed: it is no backup of ours.
    """
    try:
        facts: Any = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failed(f"{folder.name}: the backup does not say what is in it: {error}") from None
    return dict(facts)
