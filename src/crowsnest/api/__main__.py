"""`python -m crowsnest.api`: serve, manage users and tokens, verify the audit log, print the OpenAPI description."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from crowsnest.api.settings import HELP, ApiSettings, SettingsError

if TYPE_CHECKING:
    # Imported where they are used: `--help` takes no second.
    from crowsnest.api.audit.store import SqliteAuditStore
    from crowsnest.api.identity.service import IdentityService


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 on success, 1 when the audit log is not intact, 2 for anything that cannot be done.
    """
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace, ApiSettings], int] = options.run
    try:
        settings = ApiSettings.from_environment(os.environ)
        return run(options, settings)
    except SettingsError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, BrokenPipeError):
        return 2


def _fail(text: str) -> int:
    print(f"crowsnest.api: {text}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m crowsnest.api",
        description="The log API: guarded questions to the log store.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=HELP,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    serve = commands.add_parser("serve", help="run the server until SIGTERM")
    serve.set_defaults(run=_serve)
    _add_users(commands.add_parser("users", help="add, list, disable, enable users, give them a new password"))
    _add_tokens(commands.add_parser("tokens", help="add, list, delete tokens of machines"))
    _add_audit(commands.add_parser("audit", help="verify the audit log, print its newest hash"))
    openapi = commands.add_parser("openapi", help="print the OpenAPI description, or write it to a file")
    openapi.add_argument("--output", type=Path, metavar="FILE")
    openapi.set_defaults(run=_openapi)
    return parser


def _add_users(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="command")
    add = commands.add_parser("add", help="add a user; prints a generated password unless one is given")
    add.add_argument("name")
    _add_rights(add)
    _add_password(add)
    add.set_defaults(run=_users_add)
    commands.add_parser("list", help="all users").set_defaults(run=_users_list)
    for verb, text in (("disable", "sign a user out and let them in no more"), ("enable", "let a user in again")):
        one = commands.add_parser(verb, help=text)
        one.add_argument("name")
        one.set_defaults(run=_users_change, disabled=verb == "disable")
    reset = commands.add_parser("reset-password", help="give a user a new password; signs them out")
    reset.add_argument("name")
    _add_password(reset)
    reset.set_defaults(run=_users_change, disabled=None)


def _add_rights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--role", choices=("viewer", "operator"), default="viewer")
    parser.add_argument("--strategy", action="append", metavar="ID", help="limits to this strategy; repeatable; none is all")


def _add_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="first line is the password; - reads standard input")


def _add_tokens(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="command")
    add = commands.add_parser("add", help="add a token and print it, this once")
    add.add_argument("name")
    _add_rights(add)
    add.add_argument("--days", type=int, default=90, help="until it expires; 0 is never (default 90)")
    add.set_defaults(run=_tokens_add)
    commands.add_parser("list", help="all tokens").set_defaults(run=_tokens_list)
    delete = commands.add_parser("delete", help="delete a token")
    delete.add_argument("id")
    delete.set_defaults(run=_tokens_delete)


def _add_audit(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="command")
    verify = commands.add_parser("verify", help="check every row; exit 1 when one was changed")
    verify.add_argument(
        "--expect", action="append", default=[], metavar="SEQ:HASH", help="a hash that was noted elsewhere; repeatable"
    )
    verify.set_defaults(run=_audit_verify)
    commands.add_parser("head", help="newest row's number and hash, to note elsewhere").set_defaults(run=_audit_head)


def _serve(_: argparse.Namespace, settings: ApiSettings) -> int:
    from crowsnest.api.server import serve

    return serve(settings)


def _actor() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        # A container's user has a number and no name.
        return f"cli:{os.getuid()}"


def _with_identity(settings: ApiSettings, work: Callable[[IdentityService, SqliteAuditStore], int]) -> int:
    """Open the database and run `work` with the identity service; what cannot be done ends with a text and 2."""
    from crowsnest.api.audit.store import SqliteAuditStore
    from crowsnest.api.database import Database, DatabaseError
    from crowsnest.api.identity.service import IdentityError, IdentityService
    from crowsnest.api.problems import Problem

    try:
        with closing(Database(settings.database)) as database:
            audit = SqliteAuditStore(database)
            return work(IdentityService(database, audit), audit)
    except (DatabaseError, IdentityError) as error:
        return _fail(str(error))
    except Problem as problem:
        return _fail(f"{problem.detail}; {problem.hint}")


def _password(options: argparse.Namespace) -> tuple[str, bool]:
    """The password, and whether it was made here."""
    from crowsnest.api.identity import passwords

    if options.password_file is None:
        return passwords.generated(), True
    try:
        text = sys.stdin.readline() if str(options.password_file) == "-" else options.password_file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"the password cannot be read: {error}") from None
    return (text.splitlines() or [""])[0], False


def _users_add(options: argparse.Namespace, settings: ApiSettings) -> int:
    password, is_new = _password(options)

    def add(identity: IdentityService, _: SqliteAuditStore) -> int:
        identity.add_user(options.name, options.role, options.strategy, password, _actor())
        print(f"{options.name}: {password}" if is_new else f"{options.name} added")
        return 0

    return _with_identity(settings, add)


def _users_list(_: argparse.Namespace, settings: ApiSettings) -> int:
    def show(identity: IdentityService, _audit: SqliteAuditStore) -> int:
        for user in identity.users():
            strategies = "all strategies" if user.strategies is None else ", ".join(user.strategies)
            print(f"{user.name:<20} {user.role:<9} {'disabled' if user.disabled else 'enabled':<9} {strategies}")
        return 0

    return _with_identity(settings, show)


def _users_change(options: argparse.Namespace, settings: ApiSettings) -> int:
    password, is_new = _password(options) if options.disabled is None else (None, False)

    def change(identity: IdentityService, _: SqliteAuditStore) -> int:
        identity.change_user(options.name, _actor(), disabled=options.disabled, password=password)
        print(f"{options.name}: {password}" if is_new else f"{options.name} changed and signed out")
        return 0

    return _with_identity(settings, change)


def _tokens_add(options: argparse.Namespace, settings: ApiSettings) -> int:
    from pydantic import ValidationError

    from crowsnest.api.identity.schemas import NewToken

    try:
        wanted = NewToken(name=options.name, role=options.role, strategies=options.strategy, expires_days=options.days or None)
    except ValidationError as error:
        first = error.errors()[0]
        return _fail(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    def add(identity: IdentityService, _: SqliteAuditStore) -> int:
        print(identity.make_token_now(wanted, _actor())["token"])
        return 0

    return _with_identity(settings, add)


def _tokens_list(_: argparse.Namespace, settings: ApiSettings) -> int:
    def show(identity: IdentityService, _audit: SqliteAuditStore) -> int:
        for token in identity.tokens():
            strategies = json.dumps(token["strategies"]) if token["strategies"] else "all strategies"
            print(
                f"{token['id']} {token['name']:<20} {token['role']:<9} until {token['expires'] or 'for ever':<25} {strategies}"
            )
        return 0

    return _with_identity(settings, show)


def _tokens_delete(options: argparse.Namespace, settings: ApiSettings) -> int:
    def delete(identity: IdentityService, _: SqliteAuditStore) -> int:
        identity.delete_token_now(options.id, _actor())
        print(f"{options.id} deleted")
        return 0

    return _with_identity(settings, delete)


def _audit_verify(options: argparse.Namespace, settings: ApiSettings) -> int:
    import sqlite3

    try:
        expected = {int(seq): bytes.fromhex(text) for seq, _, text in (one.partition(":") for one in options.expect)}
    except ValueError:
        return _fail("--expect takes what `audit head` prints: SEQ:HASH")

    def verify(_: IdentityService, audit: SqliteAuditStore) -> int:
        try:
            verdict = audit.verify(expected)
        except sqlite3.DatabaseError as error:
            print(f"audit log NOT intact: the file is damaged: {error}")
            return 1
        if verdict.problem:
            print(f"audit log NOT intact: {verdict.problem}")
            return 1
        print(f"audit log intact: {verdict.rows} rows, newest {verdict.rows}:{verdict.head.hex()}")
        return 0

    return _with_identity(settings, verify)


def _audit_head(_: argparse.Namespace, settings: ApiSettings) -> int:
    def head(_identity: IdentityService, audit: SqliteAuditStore) -> int:
        seq, newest = audit.head()
        print(f"{seq}:{newest.hex()}")
        return 0

    return _with_identity(settings, head)


def _openapi(options: argparse.Namespace, settings: ApiSettings) -> int:
    from crowsnest.api.app import create_app, schema

    text = json.dumps(schema(create_app(settings)), indent=2, sort_keys=True) + "\n"
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
