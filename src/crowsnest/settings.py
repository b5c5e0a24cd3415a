"""Settings of a trading process: a YAML file, overridden by `SA_<SECTION>__<KEY>` variables; unknown keys refused.

>>> load_settings(env={"SA_MONITORING__PROMETHEUS_PORT": "8002"}).monitoring.prometheus_port
8002

A section is a frozen dataclass; adding a field there is all that a new setting needs. Fields may be `bool`, `int`,
`float`, `str`, `tuple[str, ...]` (in a variable: a comma list), any of these `| None`, or a further section.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "SA_"
DEFAULT_PATH = Path("config/settings.yaml")

METRICS_PORTS: Mapping[str, int] = types.MappingProxyType(
    {"data_plane": 8000, "order_plane": 8001, "strategy_plane": 8002, "trading": 8001}
)
"""Documented port of each metrics endpoint: the one place where these numbers stand.

`trading` and `order_plane` have the same one because their sources do; a process that serves both moves one of them.
"""


class SettingsError(ValueError):
    """Settings are unknown or unusable; the text has a line for every problem, naming the key or the variable."""


@dataclass(frozen=True, slots=True)
class MonitoringSettings:
    """Section `monitoring`."""

    prometheus_port: int = field(default=METRICS_PORTS["trading"], metadata={"minimum": 0, "maximum": 65535})
    """Port of the metrics endpoint; 0 lets the system choose."""
    health_check_interval_seconds: float = field(default=60, metadata={"minimum": 1, "maximum": 86_400})
    """Seconds between two probes of a dependency (broker, feed, database, log pipeline)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; each field is a section."""

    monitoring: MonitoringSettings = field(default_factory=MonitoringSettings)


def load_settings(
    path: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] = os.environ,
    *,
    other_sections: Collection[str] = (),
) -> Settings:
    """Read the file, then the environment over it.

    Args:
        path: a YAML (or .json) file; None reads `config/settings.yaml` where there is one.
        env: variables `SA_<SECTION>__<KEY>`; an empty one counts as not set. Variables of sections that are not ours
            belong to the application and are left alone; an unknown key of a section of ours is refused.
        other_sections: sections of the file that belong to the application.

    Raises:
        SettingsError: the file cannot be read, or a key is unknown, or a value is not usable. All problems are named.
    """
    problems: list[str] = []
    tree = {key: value for key, value in _read(path).items() if key not in other_sections}
    origins = _overlay(tree, env, problems)
    settings = _section(Settings, tree, "", origins, problems)
    if problems or settings is None:
        raise SettingsError("\n".join(problems))
    return typing.cast("Settings", settings)


def _read(path: str | os.PathLike[str] | None) -> dict[str, object]:
    if path is None:
        if not DEFAULT_PATH.is_file():
            return {}
        path = DEFAULT_PATH
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: cannot be read: {error}") from None
    try:
        tree = json.loads(text) if file.suffix == ".json" else _yaml(text)
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise SettingsError(f"{file}: must hold sections with keys")
    return tree


def _yaml(text: str) -> object:
    try:
        import yaml  # only who has a YAML file needs it
    except ImportError:
        raise ValueError("reading YAML needs the package pyyaml; a .json file needs nothing") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {error}") from None


def _overlay(tree: dict[str, object], env: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Put the variables into the tree.

    Returns:
        For each dotted key that came from a variable, the variable's name.
    """
    origins: dict[str, str] = {}
    sections = {one.name for one in dataclasses.fields(Settings)}
    for variable in sorted(env):
        text = env[variable].strip()
        section, *keys = variable.removeprefix(PREFIX).lower().split("__")
        if not text or not variable.startswith(PREFIX) or section not in sections or not keys:
            continue
        node: object = tree
        for key in (section, *keys[:-1]):
            if not isinstance(node, dict):
                break
            # A file's "monitoring:" without keys is None; a variable below it makes it a section.
            if node.get(key) is None:
                node[key] = {}
            node = node[key]
        if isinstance(node, dict):
            node[keys[-1]] = text
            origins[".".join((section, *keys))] = variable
        else:
            problems.append(f"{variable}: {'.'.join((section, *keys[:-1]))} is no section")
    return origins


def _section(
    kind: type[object], tree: Mapping[str, object], path: str, origins: Mapping[str, str], problems: list[str]
) -> object | None:
    fields = {one.name: one for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    values: dict[str, object] = {}
    for key, value in tree.items():
        name = f"{path}{key}"
        where = origins.get(name, name)
        if key not in fields:
            problems.append(f"{where}: unknown; known are {', '.join(f'{path}{one}' for one in sorted(fields))}")
        elif dataclasses.is_dataclass(hints[key]):
            if value is not None and not (isinstance(value, Mapping) and all(isinstance(one, str) for one in value)):
                problems.append(f"{where}: must be a section")
            elif value is not None:
                values[key] = _section(typing.cast("type[object]", hints[key]), value, f"{name}.", origins, problems)
        else:
            try:
                values[key] = _value(hints[key], value, from_text=name in origins)
                _check_range(values[key], fields[key].metadata)
            except ValueError as error:
                problems.append(f"{where}={value!r}: {error}")
    return None if problems else kind(**values)


def _value(hint: object, value: object, *, from_text: bool) -> object:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None:
        if types.NoneType in options:
            return None
        raise ValueError("must have a value")
    (wanted,) = [option for option in options if option is not types.NoneType]
    if typing.get_origin(wanted) is tuple:
        return _words(value, from_text=from_text)
    if wanted is bool:
        return _truth(value, from_text=from_text)
    if wanted is str:
        if not isinstance(value, str):
            raise ValueError("must be text")
        return value
    return _number(typing.cast("type[int] | type[float]", wanted), value, from_text=from_text)


def _words(value: object, *, from_text: bool) -> tuple[str, ...]:
    if from_text:
        return tuple(word.strip() for word in str(value).split(",") if word.strip())
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise ValueError("must be a list of texts")
    return tuple(value)


def _truth(value: object, *, from_text: bool) -> bool:
    if from_text:
        value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(str(value).lower())
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _number(wanted: type[int] | type[float], value: object, *, from_text: bool) -> float:
    named = "a whole number" if wanted is int else "a number"
    if from_text:
        try:
            value = wanted(str(value))
        except ValueError:
            raise ValueError(f"must be {named}") from None
    elif isinstance(value, bool) or not isinstance(value, (int, wanted)):
        raise ValueError(f"must be {named}")
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return value


def _check_range(value: object, bounds: Mapping[str, object]) -> None:
    minimum, maximum = bounds.get("minimum"), bounds.get("maximum")
    if isinstance(value, (int, float)) and isinstance(minimum, int) and isinstance(maximum, int):
        if minimum <= value <= maximum:
            return
        raise ValueError(f"must be between {minimum} and {maximum}")
