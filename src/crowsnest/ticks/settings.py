"""The relay's settings: read from the environment, unknown names refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PREFIX = "CROWSNEST_TICKS_"
_UNITS = {"h": "HOUR", "d": "DAY", "w": "WEEK", "y": "YEAR"}
_SIZES = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class SettingsError(ValueError):
    """A setting is unknown, missing or has no usable value; the text names the variable."""


@dataclass(frozen=True, slots=True)
class Ttl:
    """How long QuestDB keeps rows, in its own words."""

    value: int
    unit: str

    def __str__(self) -> str:
        return f"{self.value} {self.unit}"


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Where QuestDB is, where the relay listens, and for how long rows are kept."""

    questdb_url: str
    questdb_user: str
    questdb_password_file: Path
    ttl: Ttl
    most_bytes: int
    """Of all tables together; beyond it the oldest days go."""
    host: str
    port: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> RelaySettings:
        """Read the settings.

        Raises:
            SettingsError: a variable is missing or unknown, or a value is not usable.
        """
        known = {PREFIX + name for name, _, _ in _VARIABLES}
        unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
        if unknown:
            raise SettingsError(f"unknown variable {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        values: dict[str, object] = {}
        for name, field, parse in _VARIABLES:
            text = environment.get(PREFIX + name, "").strip()
            if not text:
                raise SettingsError(f"{PREFIX}{name} is needed")
            try:
                values[field] = parse(text)
            except ValueError as error:
                raise SettingsError(f"{PREFIX}{name}={text!r}: {error}") from None
        return cls(**values)  # type: ignore[arg-type]

    def password(self) -> str:
        """QuestDB's password.

        Raises:
            SettingsError: the file cannot be read, or is empty.
        """
        try:
            password = self.questdb_password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{self.questdb_password_file} cannot be read: {error.strerror}") from error
        if not password:
            raise SettingsError(f"{self.questdb_password_file} is empty")
        return password


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("must be http(s)://host:port")
    return text.rstrip("/")


def _ttl(text: str) -> Ttl:
    found = re.fullmatch(r"([1-9]\d*)([hdwy])", text)
    if found is None:
        raise ValueError("must be a whole number above zero and h, d, w or y, such as 30d")
    return Ttl(int(found[1]), _UNITS[found[2]])


def _bytes(text: str) -> int:
    found = re.fullmatch(r"([1-9]\d*)(MiB|GiB|TiB)", text)
    if found is None:
        raise ValueError("must be a whole number above zero and MiB, GiB or TiB, such as 10GiB")
    return int(found[1]) * _SIZES[found[2]]


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError("must be a port")
    return int(text)


_VARIABLES: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    ("QUESTDB_URL", "questdb_url", _url),
    ("QUESTDB_USER", "questdb_user", str),
    ("QUESTDB_PASSWORD_FILE", "questdb_password_file", Path),
    ("RETENTION", "ttl", _ttl),
    ("RETENTION_SIZE", "most_bytes", _bytes),
    ("HOST", "host", str),
    ("PORT", "port", _port),
)
