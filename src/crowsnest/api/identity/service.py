"""Signing in and out, and finding out who asks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import secrets
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from crowsnest.api.audit.store import AuditStore, Entry
from crowsnest.api.database import Database
from crowsnest.api.identity import passwords, repository
from crowsnest.api.identity.schemas import NAME_PATTERN, Identity, NewToken, Role
from crowsnest.api.identity.throttle import LoginThrottle
from crowsnest.api.problems import Problem

ADMIN: Final = "admin"
_TOKEN: Final = re.compile(r"cn_([0-9a-f]{12})_([0-9a-f]{64})")
_NAME: Final = re.compile(NAME_PATTERN)


class IdentityError(ValueError):
    """A user cannot be added or changed; the text says why and what to do."""


class IdentityService:
    """Users, sessions and tokens. Each change is in the audit log by the same transaction."""

    def __init__(self, database: Database, audit: AuditStore) -> None:
        self._database = database
        self._audit = audit
        self._throttle = LoginThrottle()
        self._checker = passwords.PasswordChecker()

    async def login(self, name: str, password: str, address: str) -> tuple[str, Identity]:
        """A new session: its secret for the cookie, and whose it is.

        Raises:
            Problem: wrong, or too many attempts.
        """
        wait = self._throttle.wait_seconds(name, address)
        if wait > 0:
            # Not in the audit log: that would let anybody fill the disk. The failures that led here are.
            seconds = str(math.ceil(wait))
            raise Problem("throttled", f"too many failed attempts; wait {seconds} s", headers={"Retry-After": seconds})
        self._throttle.failed(name, address)
        user = repository.user(self._database.reader, name)
        usable = user if user is not None and not user.disabled else None
        if not await self._checker.matches(usable.password_hash if usable else None, password) or usable is None:
            await self._audit.append(Entry(name[:64], address, "auth.login", "refused:unauthenticated"))
            raise Problem("unauthenticated", "name or password is wrong", "try again, or ask an operator to reset the password")
        self._throttle.succeeded(name, address)
        secret = secrets.token_urlsafe(32)

        def begin(connection: sqlite3.Connection) -> None:
            repository.add_session(connection, usable.name, secret, int(time.time()))
            self._audit.append_within(connection, [Entry(usable.name, address, "auth.login", "allowed")])

        await self._database.write(begin)
        return secret, Identity(usable.name, usable.role, usable.strategies, secret)

    async def logout(self, identity: Identity, address: str) -> None:
        """End a session."""

        def end(connection: sqlite3.Connection) -> None:
            repository.end_session(connection, identity.session or "")
            self._audit.append_within(connection, [Entry(identity.name, address, "auth.logout", "allowed")])

        await self._database.write(end)

    def of_session(self, secret: str) -> Identity | None:
        """Whose session it is; None when it is nobody's (any more)."""
        found = repository.session(self._database.reader, secret, int(time.time()))
        return None if found is None else found[0]

    async def use_session(self, secret: str) -> Identity | None:
        """The same, and now and then it is noted that the session is in use, so that it goes on."""
        found = repository.session(self._database.reader, secret, int(time.time()))
        if found is not None and found[1]:
            await self._database.write(lambda connection: repository.see_session(connection, secret, int(time.time())))
        return None if found is None else found[0]

    def of_token(self, text: str) -> Identity | None:
        """Whose token it is; None when it is none, or over."""
        found = _TOKEN.fullmatch(text)
        row = repository.token(self._database.reader, found[1]) if found else None
        if found is None or row is None or not hmac.compare_digest(row["hash"], repository.digest(found[2])):
            return None
        if row["expires_seconds"] is not None and time.time() > row["expires_seconds"]:
            return None
        return Identity(f"token:{row['name']}", row["role"], repository.unpacked(row["strategies"]))

    def tokens(self) -> list[dict[str, object]]:
        """All tokens, without secrets."""
        return [_shown(row) for row in repository.tokens(self._database.reader)]

    async def make_token(self, wanted: NewToken, maker: str, address: str) -> dict[str, object]:
        """A new token with its secret.

        Raises:
            Problem: there is one of that name.
        """
        return await self._database.write(lambda connection: self._make_token(connection, wanted, maker, address))

    def make_token_now(self, wanted: NewToken, maker: str) -> dict[str, object]:
        """The same for the command line."""
        return self._database.write_now(lambda connection: self._make_token(connection, wanted, maker, "local"))

    def _make_token(self, connection: sqlite3.Connection, wanted: NewToken, maker: str, address: str) -> dict[str, object]:
        secret = secrets.token_hex(32)
        expires = None if wanted.expires_days is None else int(time.time()) + wanted.expires_days * 86_400
        row: dict[str, object] = {
            "id": secrets.token_hex(6),
            "name": wanted.name,
            "role": wanted.role,
            "strategies": wanted.strategies,
            "created_by": maker,
            "created": repository.now_text(),
            "expires_seconds": expires,
        }
        try:
            repository.add_token(connection, row, secret)
        except sqlite3.IntegrityError:
            raise Problem(
                "conflict", f"there is a token {wanted.name!r} already", "choose another name, or delete it"
            ) from None
        detail = {"id": row["id"], "name": wanted.name, "role": wanted.role, "strategies": wanted.strategies}
        self._audit.append_within(connection, [Entry(maker, address, "auth.tokens.add", "allowed", detail)])
        shown = {name: value for name, value in row.items() if name != "expires_seconds"}
        return {**shown, "expires": _moment(expires), "token": f"cn_{row['id']}_{secret}"}

    async def delete_token(self, identity: str, who: str, address: str) -> None:
        """Delete a token, which signs nobody in from now on.

        Raises:
            Problem: there is none.
        """
        await self._database.write(lambda connection: self._delete_token(connection, identity, who, address))

    def delete_token_now(self, identity: str, who: str) -> None:
        """The same for the command line."""
        self._database.write_now(lambda connection: self._delete_token(connection, identity, who, "local"))

    def _delete_token(self, connection: sqlite3.Connection, identity: str, who: str, address: str) -> None:
        if not repository.delete_token(connection, identity):
            raise Problem("not-found", f"there is no token {identity[:64]!r}", "list the tokens")
        self._audit.append_within(connection, [Entry(who, address, "auth.tokens.delete", "allowed", {"id": identity})])

    # The command line's, and the first start's.

    def users(self) -> list[repository.User]:
        """All users."""
        return repository.users(self._database.reader)

    def add_user(self, name: str, role: Role, strategies: Sequence[str] | None, password: str, who: str) -> None:
        """Add a user.

        Raises:
            IdentityError: the name is taken or not usable, or the password is.
        """
        if not _NAME.fullmatch(name):
            raise IdentityError(f"{name!r} is not a name: up to 64 of a-z, 0-9, dot, dash and underscore")
        if strategies is not None and (not strategies or not all(strategies)):
            raise IdentityError("a list of strategies must name at least one; leave it out for all of them")
        try:
            password_hash = passwords.hashed(passwords.check(password))
        except passwords.PasswordRefused as refused:
            raise IdentityError(str(refused)) from None
        detail = {"name": name, "role": role, "strategies": None if strategies is None else list(strategies)}

        def add(connection: sqlite3.Connection) -> None:
            try:
                repository.add_user(connection, name, role, strategies, password_hash)
            except sqlite3.IntegrityError:
                raise IdentityError(f"there is a user {name!r} already; reset the password, or choose another name") from None
            self._audit.append_within(connection, [Entry(who, "local", "users.add", "allowed", detail)])

        self._database.write_now(add)

    def change_user(self, name: str, who: str, *, disabled: bool | None = None, password: str | None = None) -> None:
        """Disable, enable, or give a new password; the user is signed out everywhere.

        Raises:
            IdentityError: there is no such user, or the password is not usable.
        """
        try:
            password_hash = None if password is None else passwords.hashed(passwords.check(password))
        except passwords.PasswordRefused as refused:
            raise IdentityError(str(refused)) from None
        action = "users.reset-password" if disabled is None else "users.disable" if disabled else "users.enable"

        def change(connection: sqlite3.Connection) -> None:
            if repository.user(connection, name) is None:
                raise IdentityError(f"there is no user {name!r}; `users list` shows them")
            repository.change_user(connection, name, disabled=disabled, password_hash=password_hash)
            self._audit.append_within(connection, [Entry(who, "local", action, "allowed", {"name": name})])

        self._database.write_now(change)

    def make_first_user(self, password_file: Path | None) -> bool:
        """Make `admin` with the password of the file if there is no user at all; whether it was made.

        Raises:
            IdentityError: there is no user and no usable password.
        """
        if self.users():
            return False
        if password_file is None:
            raise IdentityError("there is no user yet; set CROWSNEST_API_ADMIN_PASSWORD_FILE, or add one with `users add`")
        try:
            password = password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise IdentityError(f"the first user's password cannot be read: {error}; let Ansible place the secrets") from None
        self.add_user(ADMIN, "operator", None, password, "first start")
        return True


def csrf_token(identity: Identity) -> str:
    """What a request that changes something has to send back: made of the session, so that nothing has to be kept."""
    if identity.session is None:
        return ""
    made = hmac.digest(identity.session.encode(), b"csrf", hashlib.sha256)
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def _shown(row: sqlite3.Row) -> dict[str, object]:
    return {
        **{name: row[name] for name in ("id", "name", "role", "created_by", "created")},
        "strategies": repository.unpacked(row["strategies"]),
        "expires": _moment(row["expires_seconds"]),
    }


def _moment(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
