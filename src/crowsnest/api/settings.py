"""The API's settings: a typed tree read from the environment, unknown names refused."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from crowsnest.logs import DEFAULT_VICTORIALOGS_URL, VICTORIALOGS_URL_VARIABLE

PREFIX = "CROWSNEST_API_"


class SettingsError(ValueError):
    """A setting is unknown or has no usable value; the text names the variable."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where the API listens, what it asks and where it keeps what it knows."""

    port: int = 0
    """0 lets the system choose, which is only of use to a test."""
    host: str = "127.0.0.1"
    victorialogs_url: str = DEFAULT_VICTORIALOGS_URL
    database: Path = Path("crowsnest-api.sqlite3")
    admin_password_file: Path | None = None
    """Password of the user `admin`, who is made when there is no user yet."""
    pages: Path | None = None
    """Folder with the built viewer, which is served beside the API; None serves none."""
    tools: tuple[tuple[str, str], ...] = ()
    """Title and path of what a gateway in front has for operators, besides the viewer."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    postgresql_url: str | None = None
    """The trading database, without a password; None where the stack has none."""
    postgresql_password_file: Path | None = None
    docker_url: str | None = None
    """The socket proxy; None where the stack has none."""
    name_prefix: str = "crowsnest"
    """First part of the names of the stack's containers."""
    restartable: tuple[str, ...] = ()
    """Components that operators may restart; the socket proxy has the same list."""
    silent: tuple[str, ...] = ()
    """Components whose printed lines are not brought to the log store."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ApiSettings:
        """Read the settings; an empty variable counts as not set.

        Raises:
            SettingsError: a variable named `CROWSNEST_API_*` is unknown, or a value is not usable.
        """
        known = {variable for variable, _, _ in _VARIABLES}
        unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
        if unknown:
            raise SettingsError(f"unknown variable {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        values: dict[str, object] = {}
        for variable, field, parse in _VARIABLES:
            if text := environment.get(variable, "").strip():
                try:
                    values[field] = parse(text)
                except ValueError as error:
                    raise SettingsError(f"{variable}={text!r}: {error}") from None
        return cls(**values)  # type: ignore[arg-type]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ValueError("must be a port number, 0 to 65535")
    return int(text)


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("must look like http://host:port")
    return text.rstrip("/")


def _database(text: str) -> str:
    if not text.startswith("postgresql://"):
        raise ValueError("must look like postgresql://user@host:port/database")
    return text


def _components(text: str) -> tuple[str, ...]:
    names = tuple(word.strip() for word in text.split(","))
    if not all(re.fullmatch(r"[a-z][a-z0-9-]*", name) for name in names):
        raise ValueError("must be a comma list of components")
    return names


def _networks(text: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(word.strip())) for word in text.split(","))


def _tools(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [word.strip().partition("=") for word in text.split(",")]
    if not all(title and path.startswith("/") for title, _, path in pairs):
        raise ValueError("must be a comma list of title=/path")
    return tuple((title, path) for title, _, path in pairs)


_VARIABLES: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    (VICTORIALOGS_URL_VARIABLE, "victorialogs_url", _url),
    (PREFIX + "HOST", "host", str),
    (PREFIX + "PORT", "port", _port),
    (PREFIX + "DATABASE", "database", Path),
    (PREFIX + "ADMIN_PASSWORD_FILE", "admin_password_file", Path),
    (PREFIX + "PAGES", "pages", Path),
    (PREFIX + "TOOLS", "tools", _tools),
    (PREFIX + "TRUSTED_PROXIES", "trusted_proxies", _networks),
    (PREFIX + "POSTGRESQL_URL", "postgresql_url", _database),
    (PREFIX + "POSTGRESQL_PASSWORD_FILE", "postgresql_password_file", Path),
    (PREFIX + "DOCKER_URL", "docker_url", _url),
    (PREFIX + "NAME_PREFIX", "name_prefix", str),
    (PREFIX + "RESTARTABLE", "restartable", _components),
    (PREFIX + "SILENT", "silent", _components),
)

HELP = f"""\
environment variables:
  {VICTORIALOGS_URL_VARIABLE}                     base URL of VictoriaLogs (default {DEFAULT_VICTORIALOGS_URL})
  {PREFIX}HOST                 address to listen on (default 127.0.0.1)
  {PREFIX}PORT                 port to listen on
  {PREFIX}DATABASE             SQLite file with users, sessions, views and the audit log
  {PREFIX}ADMIN_PASSWORD_FILE  file with the password of `admin`, who is made when there is no user yet
  {PREFIX}PAGES                folder with the built viewer (default none)
  {PREFIX}TOOLS                comma list of title=/path of what the gateway has for operators (default none)
  {PREFIX}TRUSTED_PROXIES      comma list of networks whose X-Forwarded-For is believed (default none)
  {PREFIX}POSTGRESQL_URL       trading database, postgresql://user@host:port/database (default none)
  {PREFIX}POSTGRESQL_PASSWORD_FILE  file with its password
  {PREFIX}DOCKER_URL           socket proxy, http://host:port (default none)
  {PREFIX}NAME_PREFIX          first part of the names of the stack's containers (default crowsnest)
  {PREFIX}RESTARTABLE          comma list of components that operators may restart (default none)
  {PREFIX}SILENT               comma list of components whose printed lines are in no log store (default none)
"""
