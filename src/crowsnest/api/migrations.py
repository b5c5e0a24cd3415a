"""The schema of the API's SQLite file: one tuple of statements for each version. Never edit one that was released; add one."""

from __future__ import annotations

from typing import Final

_FIRST: Final = (
    """
    CREATE TABLE users (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL CHECK (role IN ('viewer', 'operator')),
        strategies TEXT,                 -- JSON list; NULL means all
        password_hash TEXT NOT NULL,
        disabled INTEGER NOT NULL DEFAULT 0,
        created TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE sessions (
        hash BLOB PRIMARY KEY,           -- SHA-256 of the cookie: a copy of this file signs nobody in
        name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
        created_seconds INTEGER NOT NULL,
        seen_seconds INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX sessions_by_name ON sessions (name)",
    """
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        hash BLOB NOT NULL,
        name TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL CHECK (role IN ('viewer', 'operator')),
        strategies TEXT,
        created_by TEXT NOT NULL,
        created TEXT NOT NULL,
        expires_seconds INTEGER
    ) STRICT
    """,
    """
    CREATE TABLE views (
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        query TEXT NOT NULL,             -- JSON
        updated TEXT NOT NULL,
        PRIMARY KEY (owner, name)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        time TEXT NOT NULL,
        actor TEXT NOT NULL,
        address TEXT NOT NULL,
        action TEXT NOT NULL,
        outcome TEXT NOT NULL,
        detail TEXT NOT NULL,            -- JSON
        previous_hash BLOB NOT NULL,
        hash BLOB NOT NULL
    ) STRICT
    """,
    "CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
    "CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
)

MIGRATIONS: Final = (_FIRST,)
