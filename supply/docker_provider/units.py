"""Units and references as people write them, to and from what the Docker API counts in. Pure functions."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

MEBIBYTE = 1024 * 1024
_NANO = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


def nanoseconds(duration: str) -> int:
    """A Go duration ("1m30s", "500ms", "0") in nanoseconds. Raises ValueError for anything else."""
    if duration in ("", "0"):
        return 0
    parts = _DURATION_PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is not a duration such as 10s or 1m30s")
    return int(sum(Decimal(number) * _NANO[unit] for number, unit in parts))


def duration(nanos: int) -> str:
    """Nanoseconds as the shortest exact Go duration, in hours, minutes and seconds or one smaller unit."""
    for unit in ("ns", "us", "ms"):
        if nanos % (_NANO[unit] * 1000):
            return f"{nanos // _NANO[unit]}{unit}"
    minutes, seconds = divmod(nanos // _NANO["s"], 60)
    hours, minutes = divmod(minutes, 60)
    text = "".join(f"{amount}{unit}" for amount, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if amount)
    return text or "0s"


def nano_cpus(cpus: str) -> int:
    """CPUs ("0.5") in billionths of a CPU. Raises ValueError for anything but a non-negative number."""
    try:
        amount = Decimal(cpus)
    except InvalidOperation:
        raise ValueError(f"{cpus!r} is not a number of CPUs such as 0.5") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{cpus!r} is not a number of CPUs such as 0.5")
    return int(amount * 10**9)


def cpus(nano: int) -> str:
    """Billionths of a CPU as a plain decimal number of CPUs."""
    return format((Decimal(nano) / 10**9).normalize(), "f")


def image_reference(name: str) -> str:
    """An image name as the daemon lists it: no default registry, no default namespace, and with a tag or digest."""
    name, at, digest = name.partition("@")
    for prefix in ("docker.io/", "index.docker.io/"):
        name = name.removeprefix(prefix)
    name = name.removeprefix("library/")
    if at:
        repository, _, last = name.rpartition("/")
        bare = last.partition(":")[0]
        return f"{repository}/{bare}@{digest}" if repository else f"{bare}@{digest}"
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
