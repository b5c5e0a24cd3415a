"""Users, sessions and tokens in the database. Functions that write take the connection of a transaction."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from crowsnest.api.identity.schemas import Identity, Role

SESSION_IDLE_SECONDS: Final = 12 * 3600
SESSION_SECONDS: Final = 7 * 24 * 3600
# A session's last use is noted this often, not at every request.
SEEN_EVERY_SECONDS: Final = 300
MAX_SESSIONS_EACH: Final = 20


@dataclass(frozen=True, slots=True)
class User:
    """A user as stored."""

    name: str
    role: Role
    strategies: tuple[str, ...] | None
    password_hash: str
    disabled: bool
    created: str


def digest(secret: str) -> bytes:
    """What is stored of a secret of full entropy; a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).digest()


def user(connection: sqlite3.Connection, name: str) -> User | None:
    """One user."""
    row = connection.execute("SELECT * FROM users WHERE name = ?", (name,)).fetchone()
    return None if row is None else _user(row)


def users(connection: sqlite3.Connection) -> list[User]:
    """All users by name."""
    return [_user(row) for row in connection.execute("SELECT * FROM users ORDER BY name")]


def add_user(
    connection: sqlite3.Connection, name: str, role: Role, strategies: Sequence[str] | None, password_hash: str
) -> None:
    """Add a user.

    Raises:
        sqlite3.IntegrityError: there is one of that name.
    """
    connection.execute(
        "INSERT INTO users (name, role, strategies, password_hash, created) VALUES (?, ?, ?, ?, ?)",
        (name, role, _packed(strategies), password_hash, now_text()),
    )


def change_user(
    connection: sqlite3.Connection, name: str, *, disabled: bool | None = None, password_hash: str | None = None
) -> None:
    """Change a user, who is signed out everywhere."""
    if disabled is not None:
        connection.execute("UPDATE users SET disabled = ? WHERE name = ?", (int(disabled), name))
    if password_hash is not None:
        connection.execute("UPDATE users SET password_hash = ? WHERE name = ?", (password_hash, name))
    connection.execute("DELETE FROM sessions WHERE name = ?", (name,))


def add_session(connection: sqlite3.Connection, name: str, secret: str, now_seconds: int) -> None:
    """Add a session and forget the user's oldest beyond a bound, and everybody's that are over."""
    connection.execute(
        "DELETE FROM sessions WHERE seen_seconds < ? OR created_seconds < ?",
        (now_seconds - SESSION_IDLE_SECONDS, now_seconds - SESSION_SECONDS),
    )
    connection.execute(
        "DELETE FROM sessions WHERE hash IN "
        "(SELECT hash FROM sessions WHERE name = ? ORDER BY seen_seconds DESC, created_seconds DESC LIMIT -1 OFFSET ?)",
        (name, MAX_SESSIONS_EACH - 1),
    )
    connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", (digest(secret), name, now_seconds, now_seconds))


def session(connection: sqlite3.Connection, secret: str, now_seconds: int) -> tuple[Identity, bool] | None:
    """Whose session it is, and whether its use should be noted; None when there is none or it is over."""
    row = connection.execute(
        "SELECT users.*, created_seconds, seen_seconds FROM sessions JOIN users USING (name) WHERE hash = ? AND NOT disabled",
        (digest(secret),),
    ).fetchone()
    if row is None or now_seconds - row["seen_seconds"] > SESSION_IDLE_SECONDS:
        return None
    if now_seconds - row["created_seconds"] > SESSION_SECONDS:
        return None
    found = _user(row)
    identity = Identity(found.name, found.role, found.strategies, secret)
    return identity, now_seconds - row["seen_seconds"] >= SEEN_EVERY_SECONDS


def see_session(connection: sqlite3.Connection, secret: str, now_seconds: int) -> None:
    """Note that a session was used."""
    connection.execute("UPDATE sessions SET seen_seconds = ? WHERE hash = ?", (now_seconds, digest(secret)))


def end_session(connection: sqlite3.Connection, secret: str) -> None:
    """Forget a session."""
    connection.execute("DELETE FROM sessions WHERE hash = ?", (digest(secret),))


def add_token(connection: sqlite3.Connection, row: dict[str, object], secret: str) -> None:
    """Add a token.

    Raises:
        sqlite3.IntegrityError: there is one of that name.
    """
    connection.execute(
        "INSERT INTO tokens VALUES (:id, :hash, :name, :role, :strategies, :created_by, :created, :expires_seconds)",
        {**row, "hash": digest(secret), "strategies": _packed(cast("Sequence[str] | None", row["strategies"]))},
    )


def token(connection: sqlite3.Connection, identity: str) -> sqlite3.Row | None:
    """One token."""
    return cast("sqlite3.Row | None", connection.execute("SELECT * FROM tokens WHERE id = ?", (identity,)).fetchone())


def tokens(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All tokens by name."""
    return list(connection.execute("SELECT * FROM tokens ORDER BY name"))


def delete_token(connection: sqlite3.Connection, identity: str) -> bool:
    """Delete a token; whether there was one."""
    return connection.execute("DELETE FROM tokens WHERE id = ?", (identity,)).rowcount > 0


def unpacked(strategies: str | None) -> tuple[str, ...] | None:
    """Strategies as stored."""
    return None if strategies is None else tuple(json.loads(strategies))


def now_text() -> str:
    """Now, RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _packed(strategies: Sequence[str] | None) -> str | None:
    return None if strategies is None else json.dumps(list(strategies))


def _user(row: sqlite3.Row) -> User:
    return User(
        row["name"], row["role"], unpacked(row["strategies"]), row["password_hash"], bool(row["disabled"]), row["created"]
    )
