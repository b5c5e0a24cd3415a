"""The arithmetic of capacity, and that impossible inputs are refused or named."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import pytest

from crowsnest import capacity
from crowsnest.capacity import (
    COEFFICIENTS,
    LEAST_RECORD_BYTES,
    CapacityError,
    Coefficient,
    Load,
    coefficients_table,
    contradictions,
    demand_of,
    main,
    report,
    tick_demand_of,
)

LOAD = Load(records_per_second=10, bytes_per_record=250, retention_days=14)


def test_example_of_the_module_is_true() -> None:
    assert doctest.testmod(capacity).failed == 0


def test_a_load_takes_disk_in_proportion() -> None:
    once = demand_of(LOAD)
    twice = demand_of(Load(records_per_second=20, bytes_per_record=250, retention_days=14))

    assert once.raw_bytes_per_day == 216e6
    assert twice.disk_bytes_most == pytest.approx(2 * once.disk_bytes_most)
    assert once.disk_bytes_least < once.disk_bytes_most < once.disk_bytes_advised


def test_what_is_not_measured_is_unknown_and_not_zero() -> None:
    assert demand_of(LOAD).memory_mib["vector"] is None
    assert "vector   memory not measured yet" in report(LOAD, [])
    measured = {**COEFFICIENTS, "store_base_mib": Coefficient(100, "MiB", "a test", measured_here=True)}

    assert demand_of(Load(4096, 256, 14), measured).memory_mib["store"] == pytest.approx(900)


def test_the_sources_own_numbers_contradict_each_other() -> None:
    (sentence,) = contradictions(LOAD, bytes_per_day=5e6)

    assert "216 MB a day, not 5 MB" in sentence
    assert "5.8 bytes a record" in sentence


@pytest.mark.parametrize("bytes_per_day", [216e6, 150e6, 400e6])
def test_numbers_that_nearly_agree_do_not_contradict(bytes_per_day: float) -> None:
    assert contradictions(LOAD, bytes_per_day=bytes_per_day) == []


def test_a_disk_that_is_too_small_is_named() -> None:
    assert contradictions(LOAD, disk_bytes=40e9) == []
    (sentence,) = contradictions(Load(1000, 250, 14), disk_bytes=40e9)

    assert "116 GB; it has 40 GB" in sentence


def test_a_record_smaller_than_its_own_time_is_named() -> None:
    assert contradictions(Load(10, LEAST_RECORD_BYTES, 14)) == []
    (sentence,) = contradictions(Load(10, 5.8, 14))

    assert "5.8 bytes a record" in sentence


@pytest.mark.parametrize(
    ("values", "named"),
    [((0, 250, 14), "records_per_second"), ((-1, 250, 14), "records_per_second"),
     ((float("nan"), 250, 14), "records_per_second"), ((10, float("inf"), 14), "bytes_per_record"),
     ((10, 300_000, 14), "skips lines"), ((10, 250, 0.5), "at least one day"), ((10, 250, 0), "retention_days")],
)  # fmt: skip
def test_bad_input_is_refused_by_name(values: tuple[float, float, float], named: str) -> None:
    with pytest.raises(CapacityError, match=named):
        Load(*values)


def test_ticks_take_disk_and_processor_in_proportion() -> None:
    names = ("tick_row_bytes", "questdb_cores_per_1000_rows", "questdb_base_mib")
    known = {**COEFFICIENTS, **{name: Coefficient(50, "a unit", "a test", measured_here=True) for name in names}}
    demand = tick_demand_of(2000, 30, known)

    assert demand.disk_bytes == 50 * 2000 * 86_400 * 31
    assert demand.cpu_cores["questdb"] == 100
    assert demand.memory_mib["questdb"] == 50


def test_ticks_that_are_not_measured_are_unknown_and_not_zero() -> None:
    unknown = {name: Coefficient(None, one.unit, one.source) for name, one in COEFFICIENTS.items()}
    demand = tick_demand_of(2, 30, unknown)

    assert demand.disk_bytes is None
    assert set(demand.cpu_cores.values()) == {None}


@pytest.mark.parametrize(("rate", "days"), [(0, 30), (-1, 30), (float("nan"), 30), (2, 0)])
def test_bad_rates_of_ticks_are_refused(rate: float, days: float) -> None:
    with pytest.raises(CapacityError, match="above zero"):
        tick_demand_of(rate, days)


def test_command_for_ticks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ticks-per-second", "100", "--retention", "30d"]) == 0
    assert "100 ticks/s, kept 30 days" in capsys.readouterr().out
    assert main(["--ticks-per-second", "0"]) == 2
    assert "rows_per_second" in capsys.readouterr().err
    assert main(["--ticks-per-second", "100", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["demand"]) == {"disk_bytes", "memory_mib", "cpu_cores"}


def test_table_has_every_coefficient_with_unit_and_source() -> None:
    assert all(one.unit and one.source for one in COEFFICIENTS.values())
    assert len(coefficients_table().splitlines()) == len(COEFFICIENTS) + 2


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (["--records-per-second", "10", "--bytes-per-record", "250"], 0, "216 MB a day"),
        (["--records-per-second", "10", "--bytes-per-record", "250", "--megabytes-per-day", "5"], 1, "CONTRADICTION"),
        (["--records-per-second", "10", "--megabytes-per-day", "5"], 1, "5.8 bytes a record"),
        (["--records-per-second", "10", "--megabytes-per-day", "216", "--retention", "30d"], 0, "kept 30 days"),
        (["--coefficients"], 0, "stored_share_most"),
    ],
)
def test_command(arguments: list[str], code: int, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--records-per-second"),
        (["--records-per-second", "10"], "--bytes-per-record"),
        (["--records-per-second", "0", "--megabytes-per-day", "5"], "--bytes-per-record"),
        (["--records-per-second", "nan", "--bytes-per-record", "1"], "records_per_second"),
        (["--records-per-second", "10", "--bytes-per-record", "250", "--megabytes-per-day", "-5"], "bytes_per_day"),
    ],
)
def test_command_says_what_is_wrong(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--retention", "soon"], ["--records-per-second", "many"]])
def test_command_refuses_what_is_no_number(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--records-per-second", "10", "--bytes-per-record", "250", "--json"])
    tree = json.loads(capsys.readouterr().out)

    assert tree["demand"]["raw_bytes_per_day"] == 216e6
    assert tree["contradictions"] == []


def test_page_has_the_same_table() -> None:
    page = Path(__file__).resolve().parents[2] / "docs/capacity.md"

    assert coefficients_table() in page.read_text(encoding="utf-8"), "python -m crowsnest.capacity --coefficients"
