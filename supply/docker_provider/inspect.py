"""From `docker inspect` to what was declared: pure functions that Read and any drift probe share.

Each `read_*` returns inputs in the shape of `pulumi_docker`, by wire name. What means the same as declared is returned
exactly as declared, so an unchanged resource reads back equal to its inputs. Beyond the declared inputs, only what
differs from the daemon's or the image's default is reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from supply.docker_provider import mapping
from supply.docker_provider.mapping import Facts, Field, Json


@dataclass(frozen=True)
class Difference:
    """One input whose actual value is not the declared one; None stands for "not set"."""

    property: str
    declared: Any
    actual: Any


def read_container(inspect: Json, image_inspect: Json | None, declared: Json, *, swap_limit: bool = True) -> dict[str, Any]:
    """The inputs that would make this container.

    `inspect` is `docker inspect CONTAINER`, `image_inspect` is `docker image inspect` of the container's own image id
    (None when that is unknown: then entries that may come from the image are not reported). `declared` is what to
    compare with; {} to import. `swap_limit` is `SwapLimit` of `docker info`: hosts without it show -1 for any swap.
    A container that was to run and does not reads `mustRun` false.
    """
    actual = _read(mapping.CONTAINER, Facts(inspect, image_inspect, declared, swap_limit))
    if not _runs(inspect) and declared.get("start") is not False:
        actual["mustRun"] = False
    return actual


def read_network(inspect: Json, declared: Json) -> dict[str, Any]:
    """The inputs that would make this network; `inspect` is `docker network inspect`."""
    return _read(mapping.NETWORK, Facts(inspect, None, declared))


def read_volume(inspect: Json, declared: Json) -> dict[str, Any]:
    """The inputs that would make this volume; `inspect` is `docker volume inspect`."""
    return _read(mapping.VOLUME, Facts(inspect, None, declared))


def differences(declared: Json, actual: Json) -> list[Difference]:
    """What differs between declared inputs and what `read_*` returned for them, by property name.

    `mustRun` counts as declared true when it is not given.
    """
    if "mustRun" in actual:
        declared = {"mustRun": True, **declared}
    names = sorted(declared.keys() | actual.keys())
    return [Difference(name, declared.get(name), actual.get(name)) for name in names if declared.get(name) != actual.get(name)]


def _read(fields: Iterable[Field], facts: Facts) -> dict[str, Any]:
    actual = dict(facts.declared)
    for field in fields:
        declared = facts.declared.get(field.name)
        if declared is None:
            if not field.is_default(facts):
                actual[field.name] = field.reading(facts)
        elif not field.matches(declared, facts):
            actual[field.name] = field.reading(facts)
    return actual


def _runs(inspect: Json) -> bool:
    state = inspect.get("State") or {}
    return bool(state.get("Running")) and not state.get("Paused")
