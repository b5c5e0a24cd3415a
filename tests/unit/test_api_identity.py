"""Users, sessions, tokens and throttling, against a real database."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from crowsnest.api.audit.store import SqliteAuditStore
from crowsnest.api.database import Database, DatabaseError
from crowsnest.api.identity import passwords, repository
from crowsnest.api.identity.schemas import NewToken
from crowsnest.api.identity.service import IdentityError, IdentityService, csrf_token
from crowsnest.api.identity.throttle import ADDRESS, NAME, PAIR, LoginThrottle
from crowsnest.api.migrations import MIGRATIONS
from crowsnest.api.problems import Problem

PASSWORD = "a long enough password"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real function with small parameters: hundreds of logins in a second."""
    from argon2 import PasswordHasher

    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "api.sqlite3")) as database:
        yield database


@pytest.fixture
def service(database: Database) -> IdentityService:
    service = IdentityService(database, SqliteAuditStore(database))
    service.add_user("ann", "viewer", ["alpha"], PASSWORD, "test")
    return service


def login(service: IdentityService, name: str = "ann", password: str = PASSWORD, address: str = "10.0.0.1") -> str:
    return asyncio.run(service.login(name, password, address))[0]


def refusal(call, *arguments) -> str:
    def run() -> None:
        result = call(*arguments)
        if asyncio.iscoroutine(result):
            asyncio.run(result)

    with pytest.raises(Problem) as refused:
        run()
    return refused.value.kind


def test_who_signs_in_is_known_by_the_cookie(service):
    identity = service.of_session(login(service))
    assert (identity.name, identity.role, identity.strategies) == ("ann", "viewer", ("alpha",))
    assert service.of_session("something else") is None


@pytest.mark.parametrize(
    ("name", "password"), [("ann", "wrong"), ("nobody", PASSWORD), ("ANN", PASSWORD), ("ann", PASSWORD + " ")]
)
def test_wrong_is_wrong_in_the_same_words(service, name, password):
    with pytest.raises(Problem, match="name or password is wrong"):
        login(service, name, password)


def test_neither_passwords_nor_cookies_nor_tokens_are_stored(service, database):
    secret = login(service)
    token = service.make_token_now(NewToken(name="m"), "test")["token"]
    database.reader.execute("PRAGMA wal_checkpoint(FULL)")
    content = b"".join(path.read_bytes() for path in database.path.parent.iterdir())
    for value in (PASSWORD, secret, token, token.rpartition("_")[2]):
        assert value.encode() not in content
    assert database.path.stat().st_mode & 0o077 == 0


def test_who_guesses_is_shut_out(service):
    for _ in range(PAIR.free):
        assert refusal(login, service, "ann", "wrong") == "unauthenticated"
    with pytest.raises(Problem) as refused:
        login(service, "ann", PASSWORD)
    assert refused.value.kind == "throttled"
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert login(service, address="10.0.0.2"), "somebody else's guesses do not shut the owner out"


def test_waits_grow_and_are_forgotten():
    now = [0.0]
    throttle = LoginThrottle(lambda: now[0])
    waits = []
    for _ in range(PAIR.free + 12):
        throttle.failed("ann", "a")
        waits.append(throttle.wait_seconds("ann", "a"))
        now[0] += waits[-1]
    assert waits[: PAIR.free - 1] == [0.0] * (PAIR.free - 1)
    assert waits[PAIR.free - 1 : PAIR.free + 3] == [1, 2, 4, 8]
    assert max(waits) == PAIR.longest_seconds
    assert throttle.wait_seconds("ANN", "a") == 0, "the wait is over"
    throttle.failed("Ann", "a")
    assert throttle.wait_seconds("ann", "a") == PAIR.longest_seconds, "case makes no other name"
    now[0] += 2 * 3600
    throttle.failed("ann", "a")
    assert throttle.wait_seconds("ann", "a") == 0


def test_many_names_from_one_address_and_one_name_from_many_are_slowed_down():
    throttle = LoginThrottle(lambda: 0.0)
    for index in range(ADDRESS.free):
        throttle.failed(f"user{index}", "a")
    assert throttle.wait_seconds("new", "a") > 0
    for index in range(NAME.free + 20):
        throttle.failed("ann", f"a{index}")
    assert 0 < throttle.wait_seconds("ann", "new") <= NAME.longest_seconds


def test_success_clears_only_ones_own_failures():
    throttle = LoginThrottle(lambda: 0.0)
    for _ in range(PAIR.free - 1):
        throttle.failed("ann", "a")
    throttle.failed("bob", "a")
    throttle.succeeded("ann", "a")
    throttle.failed("ann", "a")
    assert throttle.wait_seconds("ann", "a") == 0


def test_the_throttle_does_not_grow_without_bound():
    throttle = LoginThrottle(lambda: 0.0)
    for index in range(30_000):
        throttle.failed(f"user{index}", f"{index}")
    assert len(throttle._failures) <= 20_001


def test_guesses_at_the_same_time_count_as_well(service):
    async def storm() -> list[str]:
        results = await asyncio.gather(*(service.login("ann", "wrong", "x") for _ in range(30)), return_exceptions=True)
        return [result.kind for result in results if isinstance(result, Problem)]

    kinds = asyncio.run(storm())
    assert kinds.count("unauthenticated") <= PAIR.free
    assert kinds.count("throttled") >= 30 - PAIR.free


@pytest.mark.parametrize("change", [{"disabled": True}, {"password": "another long password"}])
def test_a_changed_user_is_signed_out_at_once(service, change):
    secret = login(service)
    service.change_user("ann", "test", **change)
    assert service.of_session(secret) is None


def test_a_disabled_user_cannot_sign_in_until_enabled(service):
    service.change_user("ann", "test", disabled=True)
    assert refusal(login, service) == "unauthenticated"
    service.change_user("ann", "test", disabled=False)
    assert login(service)


def test_a_session_ends_when_it_is_not_used_and_after_a_week(service, monkeypatch):
    secret = login(service)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + repository.SESSION_IDLE_SECONDS - 60)
    assert service.of_session(secret)
    monkeypatch.setattr(time, "time", lambda: now + repository.SESSION_IDLE_SECONDS + 60)
    assert service.of_session(secret) is None
    monkeypatch.setattr(time, "time", lambda: now)
    for _ in range(40):
        monkeypatch.setattr(time, "time", lambda moment=now: moment)
        asyncio.run(service.use_session(secret))
        now += repository.SESSION_IDLE_SECONDS / 2
    assert service.of_session(secret) is None


def test_logging_out_ends_this_session_only(service):
    first, second = login(service), login(service)
    asyncio.run(service.logout(service.of_session(first), "a"))
    assert service.of_session(first) is None
    assert service.of_session(second)


def test_sessions_of_one_user_are_bounded(service, database):
    for _ in range(repository.MAX_SESSIONS_EACH + 5):
        secret = login(service)
    (count,) = database.reader.execute("SELECT count(*) FROM sessions").fetchone()
    assert count == repository.MAX_SESSIONS_EACH
    assert service.of_session(secret), "the newest stays"


def test_a_csrf_token_belongs_to_its_session(service):
    one, other = (service.of_session(login(service)) for _ in range(2))
    assert csrf_token(one) == csrf_token(one) != csrf_token(other)
    assert one.session not in csrf_token(one)
    assert csrf_token(replace(one, session=None)) == ""


def test_a_token_is_somebody_until_deleted_or_expired(service, monkeypatch):
    made = service.make_token_now(NewToken(name="grafana", strategies=["alpha"], expires_days=1), "ann")
    identity = service.of_token(made["token"])
    assert (identity.name, identity.role, identity.strategies) == ("token:grafana", "viewer", ("alpha",))
    assert "token" not in service.tokens()[0]
    wrong = made["token"][:-1] + ("0" if made["token"][-1] != "0" else "1")
    for text in (wrong, "", "cn_", made["token"] + "0", made["id"]):
        assert service.of_token(text) is None
    assert refusal(service.make_token_now, NewToken(name="grafana"), "ann") == "conflict"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_401)
    assert service.of_token(made["token"]) is None
    monkeypatch.setattr(time, "time", lambda: now)
    service.delete_token_now(made["id"], "ann")
    assert service.of_token(made["token"]) is None
    assert refusal(service.delete_token_now, made["id"], "ann") == "not-found"


@pytest.mark.parametrize(
    ("name", "strategies", "password", "text"),
    [
        ("Ann", None, PASSWORD, "is not a name"),
        ("a b", None, PASSWORD, "is not a name"),
        ("token:x", None, PASSWORD, "is not a name"),
        ("ann", None, PASSWORD, "there is a user 'ann' already"),
        ("bob", [], PASSWORD, "must name at least one"),
        ("bob", [""], PASSWORD, "must name at least one"),
        ("bob", None, "short", "12 to 256 characters, this one has 5"),
        ("bob", None, "x" * 300, "12 to 256 characters"),
    ],
)
def test_a_user_that_cannot_be_is_refused(service, name, strategies, password, text):
    with pytest.raises(IdentityError, match=text):
        service.add_user(name, "viewer", strategies, password, "test")


def test_the_first_user_is_made_once(database, tmp_path):
    service = IdentityService(database, SqliteAuditStore(database))
    with pytest.raises(IdentityError, match="CROWSNEST_API_ADMIN_PASSWORD_FILE"):
        service.make_first_user(None)
    with pytest.raises(IdentityError, match="cannot be read"):
        service.make_first_user(tmp_path / "missing")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    assert service.make_first_user(tmp_path / "password")
    assert not service.make_first_user(tmp_path / "password")
    assert login(service, "admin")
    assert service.users()[0].role == "operator"


def test_a_newer_database_is_left_alone(tmp_path):
    path = tmp_path / "api.sqlite3"
    Database(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    with pytest.raises(DatabaseError, match="start the newer program"):
        Database(path)


def test_what_is_no_database_is_named(tmp_path):
    path = tmp_path / "api.sqlite3"
    path.write_text("not a database, but long enough to be looked at" * 100)
    with pytest.raises(DatabaseError, match="restore a backup"):
        Database(path)


def test_a_failed_change_changes_nothing_and_is_not_in_the_log(database, service):
    before = database.reader.execute("SELECT count(*) FROM audit").fetchone()[0]
    with pytest.raises(IdentityError):
        service.add_user("ann", "viewer", None, PASSWORD, "test")
    assert database.reader.execute("SELECT count(*) FROM audit").fetchone()[0] == before
