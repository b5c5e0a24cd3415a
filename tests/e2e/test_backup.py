"""Every store is saved while the stack trades, and comes back: into a scratch place, and after its data is gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from infra.backup import names_of
from infra.stores import STORES
from tests.figures import figure

from .conftest import StackUnderTest

pytestmark = [pytest.mark.docker, pytest.mark.stack, pytest.mark.timeout(1800)]

TREE = {
    "name_prefix": "cn12",
    "port_offset": 38000,
    "supply": os.environ.get("CROWSNEST_TEST_SUPPLY", "auto"),
    "pipelines": {
        "logs": {"collector": "none"},
        "trading": {"trader": {"bars_per_second": 200}},
        "viewer": None,
        "metrics": {"containers": "none", "market_hours": "always"},
        "gateway": None,
        "log_metrics": None,
        "ticks": None,
    },
    "backup": {"read_percent": 100},
}
# Grafana's image cannot be had everywhere; tests/unit/test_backup.py saves its database.
SAVED = set(STORES) - {"grafana"}
MARKER = "what-was-there-before"
PSQL = 'PGPASSWORD=$(cat /run/secrets/postgresql_password) psql -X -A -t -h 127.0.0.1 -U crowsnest -d crowsnest -c "$1"'
REDIS = "IFS= read -r REDISCLI_AUTH < /run/secrets/redis_password; export REDISCLI_AUTH; redis-cli --no-auth-warning $1"
# Telemetry of every kind has come in by then.
SECONDS_OF_TRADING = 75


class Kept:
    """The stack, and what can be asked of it."""

    def __init__(self, stack: StackUnderTest, client: docker.DockerClient) -> None:
        self.stack, self.client = stack, client

    @property
    def data(self) -> Path:
        return self.stack.folder / "data" / TREE["name_prefix"]

    @property
    def password(self) -> Path:
        return self.stack.folder / "config" / "backup" / TREE["name_prefix"] / "password"

    @property
    def repository(self) -> Path:
        return self.stack.folder / "backup" / TREE["name_prefix"]

    def inside(self, component: str, script: str, argument: str) -> str:
        done = self.client.containers.get(self.stack.container(component)).exec_run(["sh", "-c", script, "sh", argument])
        assert done.exit_code == 0, done.output
        return done.output.decode().strip()

    def sql(self, statement: str) -> str:
        return self.inside("postgresql", PSQL, statement)

    def fills(self) -> int:
        return int(self.sql("SELECT count(*) FROM trading.fills"))

    def records(self, query: str) -> int:
        url = self.stack.run("address", "victorialogs").out.strip()
        body = urllib.parse.urlencode({"query": f"{query} | stats count() as n"}).encode()
        with urllib.request.urlopen(f"{url}/select/logsql/query", body, timeout=20) as answer:
            return int(json.loads(answer.read().splitlines()[0])["n"])

    def started(self) -> dict[str, str]:
        return {row["component"]: row["started"] for row in self.stack.run("status").document["components"]}

    def metrics(self) -> dict[str, float]:
        lines = (self.data / "node-exporter" / "backup.prom").read_text().splitlines()
        return {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if not line.startswith("#")}

    def bring_up(self) -> None:
        self.stack.configure()
        self.stack.up()
        self.stack.ansible("database")
        self.stack.ansible("operations")


@pytest.fixture(scope="module")
def kept(make_stack: Callable[..., StackUnderTest], client: docker.DockerClient) -> Iterator[Kept]:
    kept = Kept(make_stack("keep", TREE), client)
    kept.bring_up()
    time.sleep(SECONDS_OF_TRADING)
    kept.sql(f"CREATE TABLE public.marker AS SELECT n, '{MARKER}' AS text FROM generate_series(1, 1000) AS n")
    kept.inside("redis", REDIS, f"set {MARKER} yes")
    yield kept
    # It trades as fast as it can, which other modules' tests would feel.
    kept.stack.run("down")


def test_every_store_is_saved_while_it_trades(kept):
    started, fills = kept.started(), kept.fills()

    result = kept.stack.run("backup")

    stores = result.document["stores"]
    assert [one["store"] for one in stores] == names_of(kept.stack.settings)
    assert {one["store"] for one in stores} > SAVED
    assert kept.fills() > fills
    assert kept.started() == started
    assert not list((kept.data / ".backup").iterdir())
    for one in stores:
        age = time.time() - kept.metrics()[f'crowsnest_backup_last_success_timestamp_seconds{{store="{one["store"]}"}}']
        assert 0 <= age < 600
        figure(f"backup of {one['store']}, s", f"{one['seconds']:.1f}")
    figure("backup of all stores, s", f"{result.seconds:.1f}")


def test_what_did_not_change_is_not_stored_again(kept):
    before = {one["store"]: one["bytes"] for one in kept.stack.run("backup").document["stores"]}

    again = {one["store"]: one["added_bytes"] for one in kept.stack.run("backup", "--store", "secrets").document["stores"]}

    assert before["secrets"] > 0
    assert again["secrets"] < 20_000  # what it says of itself, and folders


def test_nothing_of_it_can_be_read_without_the_password(kept):
    secret = kept.stack.secret("postgresql_password").read_bytes()

    assert not [path for path in kept.repository.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert kept.repository.stat().st_mode & 0o077 == 0


def test_restore_of_every_store_is_tried_beside_the_stack(kept, client):
    started = kept.started()

    result = kept.stack.run("restore-test")

    stores = {one["store"]: one for one in result.document["stores"]}
    assert set(stores) == set(names_of(kept.stack.settings))
    assert all(one["compared"] > 0 for one in stores.values())
    assert kept.started() == started
    assert client.containers.list(all=True, filters={"label": "crowsnest.trial=cn12"}) == []
    assert client.networks.list(filters={"label": "crowsnest.trial=cn12"}) == []
    for name, one in stores.items():
        assert kept.metrics()[f'crowsnest_restore_test_success{{store="{name}"}}'] == 1
        figure(f"restore of {name} into a scratch place, s", f"{one['seconds']:.1f}")


def test_a_second_backup_waits_for_nobody_and_says_who_is_there(kept):
    first = kept.stack.start("backup")
    lock = kept.stack.folder / "state" / "backups" / "cn12.lock"
    deadline = time.monotonic() + 30
    while not (lock.exists() and lock.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)

    second = kept.stack.run("backup", expect=2)

    assert f"another backup (pid {first.pid})" in second.err
    first.communicate(timeout=300)
    assert first.returncode == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_backup_that_is_ended_leaves_nothing_in_the_way(kept, how):
    process = kept.stack.start("backup")
    deadline = time.monotonic() + 60
    while not (kept.data / ".backup" / "victorialogs").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    process.communicate(timeout=120)

    assert process.returncode != 0
    if how is signal.SIGTERM:
        assert not list((kept.data / ".backup").iterdir())
    kept.stack.run("backup", "--store", "victorialogs")
    assert not list((kept.data / ".backup").glob("victorialogs"))


def test_a_store_that_is_away_fails_alone(kept):
    kept.client.containers.get(kept.stack.container("redis")).stop()
    try:
        result = kept.stack.run("backup", "--store", "redis", "--store", "api", expect=1)
    finally:
        kept.stack.up()

    outcomes = {one["store"]: bool(one["error"]) for one in result.document["stores"]}
    assert outcomes == {"redis": True, "api": False}
    assert kept.metrics()['crowsnest_backup_success{store="redis"}'] == 0
    assert time.time() - kept.metrics()['crowsnest_backup_last_success_timestamp_seconds{store="redis"}'] > 1


def test_every_store_comes_back_after_its_data_is_gone(kept):
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(5)
    records = kept.records(f"_time:<{until}")
    kept.stack.run("backup")
    password = kept.password.read_bytes()
    secret = kept.stack.secret("postgresql_password").read_bytes()
    kept.stack.run("down")
    for name in SAVED:
        shutil.rmtree(kept.data / name)
    shutil.rmtree(kept.stack.secret("x").parent)

    kept.stack.run("restore", "--yes", "--store", "secrets")
    kept.bring_up()
    result = kept.stack.run("restore", "--yes")

    assert kept.stack.secret("postgresql_password").read_bytes() == secret
    assert kept.password.read_bytes() == password
    assert {one["store"] for one in result.document["stores"]} == SAVED
    assert all(one["compared"] > 0 for one in result.document["stores"])
    assert kept.sql(f"SELECT count(*) FROM public.marker WHERE text = '{MARKER}'") == "1000"
    assert kept.inside("redis", REDIS, f"get {MARKER}") == "yes"
    assert kept.records(f"_time:<{until}") >= records > 0
    assert kept.stack.run("status").code == 0
    assert kept.stack.run("drift").code == 0
    for one in result.document["stores"]:
        figure(f"restore of {one['store']} after its data was gone, s", f"{one['seconds']:.1f}")


def test_trading_goes_on_where_it_was(kept):
    before = kept.fills()
    deadline = time.monotonic() + 120
    while kept.fills() <= before and time.monotonic() < deadline:
        time.sleep(2)

    assert kept.fills() > before


def test_damage_of_the_repository_is_found(kept):
    (pack, *_) = sorted(
        (path for path in (kept.repository / "data").rglob("*") if path.is_file()), key=lambda p: -p.stat().st_size
    )
    whole = pack.read_bytes()
    middle = len(whole) // 2
    pack.chmod(0o600)
    pack.write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
    try:
        result = kept.stack.run("backup", "--store", "secrets", expect=1)
    finally:
        pack.write_bytes(whole)

    assert "restic check" in result.err


def test_another_password_is_refused(kept):
    file = kept.password
    right = file.read_bytes()
    file.chmod(0o600)
    file.write_bytes(b"another")
    try:
        refused = kept.stack.run("backup", expect=2)
    finally:
        file.write_bytes(right)
        file.chmod(0o400)

    assert "has another password" in refused.err
