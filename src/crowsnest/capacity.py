"""`python -m crowsnest.capacity`: what a rate of log records or ticks takes; says when inputs contradict each other.

>>> demand = demand_of(Load(records_per_second=10, bytes_per_record=250, retention_days=14))
>>> round(demand.raw_bytes_per_day / 1e6), round(demand.disk_bytes_least / 1e6), round(demand.disk_bytes_most / 1e6)
(216, 324, 930)
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final

from crowsnest.logs.reconcile import duration_seconds

_SECONDS_PER_DAY: Final = 86_400
_MIB: Final = 1024 * 1024

LEAST_RECORD_BYTES: Final = len('{"_time":"2026-01-21T22:16:38.123456789Z","_msg":"x","level":"INFO","source":"system"}\n')
"""A record of the contract with one character of message; nothing smaller can be stored."""
MOST_RECORD_BYTES: Final = 256 * 1024
"""VictoriaLogs skips a longer line."""
CONTRADICTION: Final = 2.0
"""Two ways to the same figure contradict each other when they differ by more than this factor."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One figure of the calculation.

    Attributes:
        value: the figure, None where nobody has measured it.
        unit: of the figure.
        source: where it comes from.
        measured_here: whether `docs/figures.md` has it; what others say is an expectation.
    """

    value: float | None
    unit: str
    source: str
    measured_here: bool = False


COEFFICIENTS: Final[Mapping[str, Coefficient]] = MappingProxyType(
    {
        "stored_share_least": Coefficient(0.10, "stored/raw", "VictoriaLogs' README: compresses 10 times or more"),
        "stored_share_most": Coefficient(0.287, "stored/raw", "JSONBench, VictoriaLogs 1.17: 425 GB raw take 121.86 GB"),
        "disk_used_share": Coefficient(0.8, "used/disk", "VictoriaLogs' documentation: leave 20 % of the disk free"),
        "store_base_mib": Coefficient(51, "MiB", "resident, at 10 to 500 records/s", measured_here=True),
        "store_mib_per_mib_second": Coefficient(800, "MiB/(MiB/s)", "VictoriaLogs#377: 20 to 30 MB/s within 16 GB"),
        "store_cores_per_mib_second": Coefficient(0.08, "cores/(MiB/s)", "at 500 records/s of 360 B", measured_here=True),
        "vector_base_mib": Coefficient(None, "MiB", "resident, at 10 records/s"),
        "vector_mib_per_mib_second": Coefficient(None, "MiB/(MiB/s)", "resident, at 10,000 records/s"),
        "vector_cores_per_mib_second": Coefficient(
            0.1, "cores/(MiB/s)", "Vector's sizing guide: 10 MiB/s a vCPU of 256 B lines"
        ),
        "alloy_base_mib": Coefficient(213, "MiB", "resident, at 10 to 500 records/s", measured_here=True),
        "alloy_mib_per_mib_second": Coefficient(120, "MiB/(MiB/s)", "Alloy's documentation"),
        "alloy_cores_per_mib_second": Coefficient(
            2.4, "cores/(MiB/s)", "at 500 records/s of 360 B; its documentation says 1", measured_here=True
        ),
        "tick_row_bytes": Coefficient(None, "bytes", "a row of price_log on the disk"),
        "questdb_base_mib": Coefficient(None, "MiB", "resident, at 2 rows/s"),
        "questdb_cores_per_1000_rows": Coefficient(None, "cores/(1,000 rows/s)", "through the whole way"),
        "telegraf_base_mib": Coefficient(None, "MiB", "resident, at 2 rows/s"),
        "telegraf_cores_per_1000_rows": Coefficient(None, "cores/(1,000 rows/s)", "through the whole way"),
        "ticks_relay_base_mib": Coefficient(None, "MiB", "resident, at 2 rows/s"),
        "ticks_relay_cores_per_1000_rows": Coefficient(None, "cores/(1,000 rows/s)", "through the whole way"),
    }
)
"""Every figure that the calculation rests on; the one place where they stand."""

COMPONENTS: Final = ("store", "vector", "alloy")
TICK_COMPONENTS: Final = ("questdb", "telegraf", "ticks_relay")


class CapacityError(ValueError):
    """An input is not usable; the text names it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be logged, and for how long it is kept.

    Raises:
        CapacityError: a value is not positive, or no record can be that small or that large.
    """

    records_per_second: float
    bytes_per_record: float
    retention_days: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value > 0):
                raise CapacityError(f"{name} must be a number above zero, got {value:g}")
        if self.bytes_per_record > MOST_RECORD_BYTES:
            raise CapacityError(
                f"bytes_per_record {self.bytes_per_record:g}: VictoriaLogs skips lines over {MOST_RECORD_BYTES} bytes"
            )
        if self.retention_days < 1:
            raise CapacityError(f"retention_days {self.retention_days:g}: VictoriaLogs keeps at least one day")

    @property
    def bytes_per_second(self) -> float:
        """Raw bytes a second."""
        return self.records_per_second * self.bytes_per_record


@dataclass(frozen=True, slots=True)
class Demand:
    """What a load takes. Disk is between two bounds, since compression depends on the records.

    Attributes:
        raw_bytes_per_day: before compression.
        disk_bytes_least: of the store, where records compress well.
        disk_bytes_most: of the store, where they compress badly; with the free space it needs, `disk_bytes_advised`.
        disk_bytes_advised: size of disk that leaves the advised part free.
        memory_mib: by component; None where a coefficient is not measured yet.
        cpu_cores: by component; None where a coefficient is not measured yet.
    """

    raw_bytes_per_day: float
    disk_bytes_least: float
    disk_bytes_most: float
    disk_bytes_advised: float
    memory_mib: Mapping[str, float | None]
    cpu_cores: Mapping[str, float | None]


def demand_of(load: Load, coefficients: Mapping[str, Coefficient] = COEFFICIENTS) -> Demand:
    """What `load` takes of a machine, by these coefficients."""
    per_day = load.bytes_per_second * _SECONDS_PER_DAY
    # The store drops whole days, so the day that is being left is still there.
    kept = per_day * (load.retention_days + 1)
    mib_per_second = load.bytes_per_second / _MIB

    def figure(name: str) -> float | None:
        return coefficients[name].value

    def known(name: str) -> float:
        value = figure(name)
        if value is None:
            raise CapacityError(f"coefficient {name} must have a value")
        return value

    def scaled(name: str, base: float | None) -> float | None:
        slope = figure(name)
        return None if slope is None or base is None else base + slope * mib_per_second

    most = kept * known("stored_share_most")
    return Demand(
        raw_bytes_per_day=per_day,
        disk_bytes_least=kept * known("stored_share_least"),
        disk_bytes_most=most,
        disk_bytes_advised=most / known("disk_used_share"),
        memory_mib={name: scaled(f"{name}_mib_per_mib_second", figure(f"{name}_base_mib")) for name in COMPONENTS},
        cpu_cores={name: scaled(f"{name}_cores_per_mib_second", 0.0) for name in COMPONENTS},
    )


@dataclass(frozen=True, slots=True)
class TickDemand:
    """What a rate of ticks takes. None where a coefficient is not measured yet.

    Attributes:
        disk_bytes: of QuestDB, with the day that is being left.
        memory_mib: by component, at rest.
        cpu_cores: by component.
    """

    disk_bytes: float | None
    memory_mib: Mapping[str, float | None]
    cpu_cores: Mapping[str, float | None]


def tick_demand_of(
    rows_per_second: float, retention_days: float, coefficients: Mapping[str, Coefficient] = COEFFICIENTS
) -> TickDemand:
    """What ticks take of a machine.

    Args:
        rows_per_second: mean rate of all events together.
        retention_days: for how long rows are kept.
        coefficients: the figures that the calculation rests on.

    Raises:
        CapacityError: a value is not a number above zero.
    """
    for name, value in (("rows_per_second", rows_per_second), ("retention_days", retention_days)):
        if not (math.isfinite(value) and value > 0):
            raise CapacityError(f"{name} must be a number above zero, got {value:g}")

    def times(name: str, factor: float) -> float | None:
        value = coefficients[name].value
        return None if value is None else value * factor

    return TickDemand(
        disk_bytes=times("tick_row_bytes", rows_per_second * _SECONDS_PER_DAY * (retention_days + 1)),
        memory_mib={name: coefficients[f"{name}_base_mib"].value for name in TICK_COMPONENTS},
        cpu_cores={name: times(f"{name}_cores_per_1000_rows", rows_per_second / 1000) for name in TICK_COMPONENTS},
    )


def contradictions(load: Load, *, bytes_per_day: float | None = None, disk_bytes: float | None = None) -> list[str]:
    """What in the inputs cannot be true together, a sentence each.

    Args:
        load: rate, size and retention.
        bytes_per_day: raw volume of a day, if someone states it, too.
        disk_bytes: size of the disk, if it is known.
    """
    found = []
    if load.bytes_per_record < LEAST_RECORD_BYTES:
        found.append(
            f"{load.bytes_per_record:.1f} bytes a record: a record with one character of message has {LEAST_RECORD_BYTES}"
        )
    if bytes_per_day is not None:
        found += _volume_contradiction(load, bytes_per_day)
    demand = demand_of(load)
    if disk_bytes is not None and demand.disk_bytes_advised > disk_bytes:
        found.append(
            f"{load.retention_days:g} days may take {_size(demand.disk_bytes_most)}, which wants a disk of "
            f"{_size(demand.disk_bytes_advised)}; it has {_size(disk_bytes)}"
        )
    return found


def _volume_contradiction(load: Load, bytes_per_day: float) -> list[str]:
    if not (math.isfinite(bytes_per_day) and bytes_per_day > 0):
        raise CapacityError(f"bytes_per_day must be a number above zero, got {bytes_per_day:g}")
    raw = load.bytes_per_second * _SECONDS_PER_DAY
    if max(raw / bytes_per_day, bytes_per_day / raw) <= CONTRADICTION:
        return []
    other_size = bytes_per_day / (load.records_per_second * _SECONDS_PER_DAY)
    other_rate = bytes_per_day / (load.bytes_per_record * _SECONDS_PER_DAY)
    said = f"{load.records_per_second:g} records/s of {load.bytes_per_record:g} bytes are {_size(raw)} a day"
    return [f"{said}, not {_size(bytes_per_day)}: that would be {other_size:.1f} bytes a record, or {other_rate:.2g} records/s"]


def _size(count: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.3g} B"


def report(load: Load, found: Sequence[str]) -> str:
    """The demand as text, with what is not measured yet, and the contradictions."""
    demand = demand_of(load)
    lines = [
        f"{load.records_per_second:g} records/s of {load.bytes_per_record:g} bytes, kept {load.retention_days:g} days",
        f"  raw      {_size(demand.raw_bytes_per_day)} a day",
        f"  disk     {_size(demand.disk_bytes_least)} to {_size(demand.disk_bytes_most)}",
        f"           on a disk of at least {_size(demand.disk_bytes_advised)} for the store alone",
    ]
    for name in COMPONENTS:
        memory, cores = demand.memory_mib[name], demand.cpu_cores[name]
        lines.append(
            f"  {name:<8} memory {'not measured yet' if memory is None else f'{memory:.0f} MiB'}, "
            f"CPU {'not measured yet' if cores is None else f'{cores:.3g} cores'}"
        )
    expected = sorted(name for name, one in COEFFICIENTS.items() if one.value is not None and not one.measured_here)
    if expected:
        lines.append(f"Taken from others and not measured here: {', '.join(expected)}.")
    return "\n".join([*lines, *(f"CONTRADICTION: {sentence}" for sentence in found)])


def tick_report(rows_per_second: float, retention_days: float) -> str:
    """The demand of ticks as text.

    Raises:
        CapacityError: as `tick_demand_of` does.
    """
    demand = tick_demand_of(rows_per_second, retention_days)
    disk = "not measured yet" if demand.disk_bytes is None else _size(demand.disk_bytes)
    lines = [f"{rows_per_second:g} ticks/s, kept {retention_days:g} days", f"  disk        {disk} of QuestDB"]
    for name in TICK_COMPONENTS:
        memory, cores = demand.memory_mib[name], demand.cpu_cores[name]
        lines.append(
            f"  {name:<11} memory {'not measured yet' if memory is None else f'{memory:.0f} MiB'}, "
            f"CPU {'not measured yet' if cores is None else f'{cores:.3g} cores'}"
        )
    return "\n".join(lines)


def coefficients_table() -> str:
    """All coefficients as a Markdown table."""
    rows = [
        f"| {name} | {'not measured yet' if one.value is None else f'{one.value:g}'} | {one.unit} | {one.source} | "
        f"{'yes' if one.measured_here else 'no'} |"
        for name, one in COEFFICIENTS.items()
    ]
    return "\n".join(["| coefficient | value | unit | source | measured here |", "|---|---|---|---|---|", *rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 when the inputs agree, 1 when they contradict each other, 2 for wrong usage.
    """
    options = _parser().parse_args(arguments)
    if options.coefficients:
        print(coefficients_table())
        return 0
    try:
        if options.ticks_per_second is not None:
            days = options.retention / _SECONDS_PER_DAY
            demand = tick_demand_of(options.ticks_per_second, days)
            print(json.dumps({"demand": asdict(demand)}) if options.json else tick_report(options.ticks_per_second, days))
            return 0
        load = _load(options)
        bytes_per_day = None if options.megabytes_per_day is None else options.megabytes_per_day * 1e6
        disk_bytes = None if options.disk_gb is None else options.disk_gb * 1e9
        found = contradictions(load, bytes_per_day=bytes_per_day, disk_bytes=disk_bytes)
    except CapacityError as error:
        print(f"crowsnest.capacity: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"load": asdict(load), "demand": asdict(demand_of(load)), "contradictions": found}))
    else:
        print(report(load, found))
    return 1 if found else 0


def _load(options: argparse.Namespace) -> Load:
    if options.records_per_second is None:
        raise CapacityError("--records-per-second is needed")
    size = options.bytes_per_record
    if size is None:
        if options.megabytes_per_day is None or not options.records_per_second > 0:
            raise CapacityError("--bytes-per-record is needed, or --megabytes-per-day to derive it from")
        size = options.megabytes_per_day * 1e6 / (options.records_per_second * _SECONDS_PER_DAY)
    return Load(options.records_per_second, size, options.retention / _SECONDS_PER_DAY)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crowsnest.capacity", description="What a rate of log records takes.")
    parser.add_argument("--records-per-second", type=float, metavar="N", help="mean rate of all sources together")
    parser.add_argument("--ticks-per-second", type=float, metavar="N", help="instead: rows of the pipeline ticks")
    parser.add_argument("--bytes-per-record", type=float, metavar="N", help="mean size of a record as JSON")
    parser.add_argument("--megabytes-per-day", type=float, metavar="N", help="volume of a day, to check against the two above")
    parser.add_argument("--retention", type=duration_seconds, default="14d", metavar="D", help="such as 14d (default)")
    parser.add_argument("--disk-gb", type=float, metavar="N", help="size of the disk, to check against")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--coefficients", action="store_true", help="print the figures that the calculation rests on")
    return parser


if __name__ == "__main__":
    sys.exit(main())
