"""Encoding: every record becomes one line of valid JSON that keeps the contract, whatever it carries."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowsnest.logs._capture import capture
from crowsnest.logs._contract import level_name, origin_of
from crowsnest.logs._encode import RecordEncoder, origin_fields
from crowsnest.logs._ledger import DropReason


class Side(Enum):
    BUY = "buy"


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def encoded(record: logging.LogRecord, encoder: RecordEncoder | None = None) -> dict[str, Any]:
    message, arguments, _, names, values = capture(record)
    entry = (1, 1_700_000_000_123_456_789, 0, *origin_fields(record), message, arguments, names, values)
    text = (encoder or RecordEncoder()).line(entry, "b007")
    assert not isinstance(text, DropReason)
    assert text.count(b"\n") == 1
    assert text.endswith(b"\n")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    def refuse(name: str) -> object:
        raise AssertionError(name)

    result: dict[str, Any] = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    return result


def record_of(message: object = "hello", arguments: tuple[object, ...] = (), **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("strategy.ema_cross", logging.INFO, __file__, 1, message, arguments, None)
    record.__dict__.update(extra)
    return record


def test_time_is_rfc_3339_with_nanoseconds() -> None:
    assert encoded(record_of())["_time"] == "2023-11-14T22:13:20.123456789Z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (Decimal("1.10"), "1.10"),
        (Side.BUY, "buy"),
        (2**70, 2**70),
        (datetime(2026, 1, 21, tzinfo=UTC), "2026-01-21T00:00:00Z"),
        ({"a": [1, None]}, {"a": [1, None]}),
        (Hostile(), "<Hostile: repr() raised RuntimeError>"),
        ("\ud800", "\\ud800"),
        (int, "<class 'int'>"),
        (type("Price", (float,), {})(1.5), 1.5),
        (type("Text", (str,), {})("text"), "text"),
    ],
)
def test_values_become_json(value: object, expected: object) -> None:
    assert encoded(record_of(value=value))["value"] == expected


def test_mutable_content_is_fixed_when_captured() -> None:
    orders = ["O-1"]
    record = record_of("orders %s", (orders,), orders=orders)
    message, arguments, *_, values = capture(record)
    orders.append("O-2")
    assert (message, arguments, values) == ("orders ['O-1']", (), b'{"orders":["O-1"]}')
    fields = record_of("%d of %s", (1, "AAPL"), orders=orders, price=1.5)
    content = capture(fields)
    orders.append("O-3")
    assert content == ("%d of %s", (1, "AAPL"), 4, ("orders", "price"), b'[["O-1","O-2"],1.5]')


def test_records_of_one_line_may_have_different_fields() -> None:
    encoder = RecordEncoder()
    for extra in (
        {"a": 1, "message": "formatted"},
        {"a": 1, "b": 2},
        {"a": 1},
        {"b": 2},
        {"a": 1, "b": 2},
        {},
        {"a": 3, "c": 4},
        {"message": "formatted", "a": 5},
    ):
        record = record_of()
        record.__dict__.update(extra)
        fields = encoded(record, encoder)
        assert {name: fields.get(name) for name in "abc"} == {name: extra.get(name) for name in "abc"}
        assert "message" not in fields


def test_a_bad_value_does_not_cost_the_others() -> None:
    circle: list[object] = []
    circle.append(circle)
    fields = encoded(record_of(circle=circle, price=1.5))
    assert fields["price"] == 1.5
    assert fields["circle"] == "[[...]]"


def test_a_value_changed_after_the_call_is_logged_as_it_was() -> None:
    orders = ["O-1"]
    body = RecordEncoder().encode(record_of(orders=orders))
    orders.append("O-2")
    assert json.loads(body)["orders"] == ["O-1"]


def test_contract_fields_cannot_be_overwritten_but_nothing_is_lost() -> None:
    fields = encoded(record_of(level="L2", seq=99, boot="x", _time="then", _msg="mine", source="binance"))
    assert (fields["level"], fields["seq"], fields["boot"], fields["source"]) == ("INFO", 1, "b007", "strategy")
    assert fields["_msg"] == "hello"
    assert (fields["field_level"], fields["field_seq"], fields["field__msg"]) == ("L2", 99, "mine")
    assert fields["field_source"] == "binance"


def test_extras_override_what_the_logger_implies() -> None:
    encoder = RecordEncoder({"app": "desk", "component": "default"})
    assert encoded(record_of(), encoder)["component"] == "default"
    fields = encoded(record_of(strategy_id="other", source="container", component="mine", app="own"), encoder)
    assert (fields["strategy_id"], fields["source"], fields["component"], fields["app"]) == (
        "other",
        "container",
        "mine",
        "own",
    )
    assert encoded(record_of(), encoder)["strategy_id"] == "ema_cross"


def test_field_names_fit_victorialogs() -> None:
    record = record_of()
    record.__dict__.update({"": 1, "é" * 100: 2, 7: 3})
    names = encoded(record).keys()
    assert "field_" in names
    assert "7" in names
    assert all(len(name.encode()) <= 128 for name in names)


def test_what_other_handlers_leave_on_a_record_is_not_a_field() -> None:
    record = record_of(price=1)
    logging.Formatter("%(asctime)s %(message)s").format(record)
    assert not {"message", "asctime", "msg", "args"} & encoded(record).keys()


def test_arguments_that_do_not_fit_keep_the_message() -> None:
    fields = encoded(record_of("price %d of %s", ("x",)))
    assert fields["_msg"] == "price %d of %s"
    assert fields["log_format_error"].startswith("TypeError")


def test_a_record_built_by_hand_is_not_lost() -> None:
    fields = encoded(logging.makeLogRecord({"msg": "bare", "exc_info": "nonsense"}))
    assert (fields["_msg"], fields["level"], fields["source"]) == ("bare", "INFO", "system")
    assert fields["error_traceback"].startswith("<traceback not formattable")


def test_an_exception_becomes_error_traceback() -> None:
    record = record_of()
    try:
        raise ValueError("broken feed")
    except ValueError:
        record.exc_info = sys.exc_info()
    assert encoded(record)["error_traceback"].endswith("ValueError: broken feed")


def test_a_huge_traceback_keeps_both_ends() -> None:
    record = record_of()
    try:
        raise ValueError("x" * 500_000 + "the end")
    except ValueError:
        record.exc_info = sys.exc_info()
    text = encoded(record)["error_traceback"]
    assert text.startswith("Traceback")
    assert text.endswith("the end")
    assert len(text) < 70_000


def test_levels_stay_within_the_contract() -> None:
    names = [level_name(level) for level in (0, 5, 10, 25, 30, 49, 50, 99)]
    assert names == ["DEBUG", "DEBUG", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "CRITICAL"]


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("strategy.ema_cross", ("strategy", "ema_cross")),
        ("strategy.ema_cross.orders", ("strategy", "ema_cross")),
        ("strategy", ("strategy", None)),
        ("strategy.", ("strategy", None)),
        ("strategies", ("system", None)),
        ("root", ("system", None)),
    ],
)
def test_origin_follows_from_the_logger(name: str, origin: tuple[str, str | None]) -> None:
    assert origin_of(name) == origin


class ReorderedRecord(logging.LogRecord):
    """A record class that sets an attribute before the standard ones."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self.desk = "fx"
        super().__init__(*arguments, **keywords)


def test_a_record_class_of_the_user_keeps_its_fields() -> None:
    fields = encoded(ReorderedRecord("root", logging.INFO, __file__, 1, "hello", (), None))
    assert fields["desk"] == "fx"
    assert "lineno" not in fields


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers()
    | st.decimals()
    | st.builds(Hostile)
    | st.builds(object),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@given(message=anything, arguments=st.tuples() | st.tuples(anything), extra=st.dictionaries(st.text(st.characters()), anything))
def test_every_record_becomes_valid_json(message: object, arguments: tuple[object, ...], extra: dict[str, object]) -> None:
    standard = logging.makeLogRecord({}).__dict__.keys()
    record = record_of(message, arguments)
    record.__dict__.update({name: value for name, value in extra.items() if name not in standard})
    fields = encoded(record)
    assert fields["level"] == "INFO"
    assert fields["source"] == "strategy"
    assert isinstance(fields["_msg"], str)
