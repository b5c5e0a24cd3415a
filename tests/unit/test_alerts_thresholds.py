"""The table of thresholds is the source's, and each bound fires exactly where it lies, recovers and does not storm."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowsnest.alerts import THRESHOLDS, AlertSeverity, Bound, Level, Threshold, ThresholdMonitor
from crowsnest.alerts.thresholds import as_rows

CRITICAL, WARNING, INFO = AlertSeverity.CRITICAL, AlertSeverity.WARNING, AlertSeverity.INFO
ROWS = {row.name: row for row in THRESHOLDS}


class Recorder:
    """Takes alerts as an `AlertManager` does."""

    def __init__(self) -> None:
        self.sent: list[tuple[AlertSeverity, str, str, Mapping[str, object], str | None]] = []

    def send(
        self,
        severity: AlertSeverity,
        title: str,
        message: str = "",
        metadata: Mapping[str, object] | None = None,
        *,
        fingerprint: str | None = None,
    ) -> bool:
        self.sent.append((severity, title, message, metadata or {}, fingerprint))
        return True


class Desk:
    """A monitor with a clock of its own."""

    def __init__(self, **options: object) -> None:
        self.now = 0.0
        self.alerts = Recorder()
        self.monitor = ThresholdMonitor(self.alerts, clock=lambda: self.now, **options)  # type: ignore[arg-type]

    @property
    def severities(self) -> list[AlertSeverity]:
        return [severity for severity, *_ in self.alerts.sent]


# typed from S3-33 to S3-38, not derived from the table: name, level, value that fires, nearest value that does not
BOUNDS = [
    ("pdt_trades_used", Level.WARNING, 2, 1),
    ("pdt_trades_used", Level.CRITICAL, 3, 2),
    ("drawdown_pct", Level.WARNING, math.nextafter(5, 6), 5),
    ("drawdown_pct", Level.CRITICAL, math.nextafter(8, 9), 8),
    ("drawdown_pct", Level.BREAKER, 10, math.nextafter(10, 9)),
    ("daily_pnl_pct", Level.WARNING, math.nextafter(-2, -3), -2),
    ("daily_pnl_pct", Level.CRITICAL, math.nextafter(-2.5, -3), -2.5),
    ("daily_pnl_pct", Level.BREAKER, -3, math.nextafter(-3, 0)),
    ("psi_drift", Level.WARNING, math.nextafter(0.1, 1), 0.1),
    ("psi_drift", Level.CRITICAL, math.nextafter(0.2, 1), 0.2),
    ("kill_switch_active", Level.CRITICAL, 1, 0),
    ("broker_connected", Level.CRITICAL, 0, 1),
    ("feed_connected", Level.CRITICAL, 0, 1),
    ("vix", Level.BREAKER, math.nextafter(35, 36), 35),
]
SEVERITY = {Level.INFO: INFO, Level.WARNING: WARNING, Level.CRITICAL: CRITICAL, Level.BREAKER: CRITICAL}
NORMAL = {name: 1.0 if name.endswith("connected") else 0.0 for name in ROWS}


def test_every_bound_of_the_table_is_in_this_test() -> None:
    assert {(name, level) for name, level, _, _ in BOUNDS} == {(row.name, level) for row in THRESHOLDS for level in row.bounds}


@pytest.mark.parametrize(("name", "level", "fires", "inside"), BOUNDS)
def test_a_bound_fires_where_it_lies_and_not_inside_it(name: str, level: Level, fires: float, inside: float) -> None:
    desk = Desk()
    assert desk.monitor.observe(name, inside).level < level
    calm = len(desk.alerts.sent)
    decision = desk.monitor.observe(name, fires)
    assert decision.level is level
    assert decision.changed
    assert decision.breaker is (level is Level.BREAKER)
    assert decision.severity is SEVERITY[level]
    assert desk.severities[calm:] == [SEVERITY[level]]


@pytest.mark.parametrize(("name", "level", "fires", "inside"), BOUNDS)
def test_a_bound_recovers_once_the_value_is_back_by_the_hysteresis(
    name: str, level: Level, fires: float, inside: float
) -> None:
    desk = Desk()
    desk.monitor.observe(name, fires)
    bound, hysteresis = ROWS[name].bounds[level], ROWS[name].hysteresis
    sign = -1 if bound.comparison.startswith(">") else 1
    if hysteresis:
        assert not desk.monitor.observe(name, inside).changed
        assert not desk.monitor.observe(name, bound.value + sign * hysteresis * 0.99).changed
    decision = desk.monitor.observe(name, bound.value + sign * hysteresis * 1.01 if hysteresis else inside)
    assert decision.level < level
    assert decision.severity is INFO
    assert desk.monitor.observe(name, NORMAL[name]).level is Level.OK
    assert desk.alerts.sent[-1][1].endswith("Recovered")
    assert desk.severities == [SEVERITY[level], *[INFO] * (len(desk.alerts.sent) - 1)]


@given(name=st.sampled_from(sorted(ROWS)), value=st.floats(allow_nan=False))
def test_a_first_observation_is_judged_by_the_comparisons_alone(name: str, value: float) -> None:
    expected = Level.OK
    for level, bound in ROWS[name].bounds.items():
        crossed = {
            ">": value > bound.value,
            ">=": value >= bound.value,
            "<": value < bound.value,
            "<=": value <= bound.value,
        }[bound.comparison]
        expected = level if crossed else expected
    assert ThresholdMonitor().observe(name, value).level is expected


def test_escalation_step_by_step_and_the_way_back() -> None:
    desk = Desk()
    levels = [desk.monitor.observe("drawdown_pct", value).level.name for value in (3.2, 5.1, 6, 8.5, 10, 9, 5.5, 4.9, 4)]
    assert levels == ["OK", "WARNING", "WARNING", "CRITICAL", "BREAKER", "CRITICAL", "WARNING", "WARNING", "OK"]
    assert [(severity.name, title, message) for severity, title, message, _, _ in desk.alerts.sent] == [
        ("WARNING", "Drawdown Warning", "Drawdown is 5.1 % (above 5 %)"),
        ("CRITICAL", "Drawdown Critical", "Drawdown is 8.5 % (above 8 %; the circuit breaker trips at 10 %)"),
        ("CRITICAL", "Drawdown Circuit Breaker", "Drawdown is 10 % (the circuit breaker trips at 10 %)"),
        ("INFO", "Drawdown Improved", "Drawdown is 9 % (was circuit breaker, now critical)"),
        ("INFO", "Drawdown Improved", "Drawdown is 5.5 % (was critical, now warning)"),
        ("INFO", "Drawdown Recovered", "Drawdown is 4 % (was warning)"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "title", "message"),
    [
        ("pdt_trades_used", 2, "PDT Warning", "2 day trades used (1 remaining)"),
        ("trading_pdt_trades_used", 3, "PDT Critical", "3 day trades used (limit reached)"),
        ("psi_drift", 0.25, "Model Drift Critical", "PSI is 0.25 (above 0.2; retraining required)"),
        ("kill_switch_active", True, "Kill Switch Activated", "Kill switch active: yes (trading halted)"),
        ("broker_connected", False, "Broker Disconnected", "Broker connected: no (connection lost)"),
        ("feed_connected", 0, "Feed Disconnected", "Market feed connected: no (connection lost)"),
        ("vix", 38.5, "VIX Circuit Breaker", "VIX is 38.5 (circuit breaker: VIX > 35)"),
    ],
)
def test_what_people_read(name: str, value: float, title: str, message: str) -> None:
    desk = Desk()
    desk.monitor.observe(name, value, subject="IBKR")
    [(_, sent_title, sent_message, metadata, _)] = desk.alerts.sent
    assert (sent_title, sent_message, metadata["subject"]) == (title, message, "IBKR")


def test_an_info_level_comes_before_warning() -> None:
    row = Threshold("margin_pct", "Margin", "Margin use is {value} %", info=Bound(">", 50), warning=Bound(">", 70))
    desk = Desk(thresholds=[row])
    desk.monitor.observe("margin_pct", 51)
    desk.monitor.observe("margin_pct", 71)
    assert desk.severities == [INFO, WARNING]


def test_flapping_does_not_storm_and_never_ends_in_a_false_all_clear() -> None:
    desk = Desk()
    for second in range(3600):
        desk.now = float(second)
        desk.monitor.observe("broker_connected", second % 2)
    assert len(desk.alerts.sent) == 3  # lost, back, lost again; then it is known to flap
    assert desk.monitor.level("broker_connected") is Level.CRITICAL
    assert desk.severities[-1] is CRITICAL
    desk.monitor.observe("broker_connected", 1)
    desk.now += 299
    assert desk.monitor.tick() == []
    desk.now += 1
    [decision] = desk.monitor.tick()
    assert (decision.name, decision.level, decision.severity) == ("broker_connected", Level.OK, INFO)


def test_another_observation_ends_a_wait_too() -> None:
    desk = Desk()
    for value in (0, 1, 0, 1):
        desk.monitor.observe("feed_connected", value)
    assert desk.monitor.level("feed_connected") is Level.CRITICAL
    desk.now = 300
    desk.monitor.observe("vix", 20)
    assert desk.monitor.level("feed_connected") is Level.OK


def test_every_step_has_a_fingerprint_of_its_own() -> None:
    desk = Desk()
    for value in (0, 1, 0):
        desk.monitor.observe("broker_connected", value)
    assert len({fingerprint for *_, fingerprint in desk.alerts.sent}) == 3


@settings(max_examples=200)
@given(
    name=st.sampled_from(["drawdown_pct", "broker_connected", "daily_pnl_pct"]),
    steps=st.lists(st.tuples(st.floats(-12, 12), st.sampled_from([0.1, 1.0, 30.0, 400.0])), max_size=80),
)
def test_reports_are_few_in_order_and_true(name: str, steps: list[tuple[float, float]]) -> None:
    desk = Desk()
    row = ROWS[name]
    reported = Level.OK
    for value, seconds in steps:
        desk.now += seconds
        before = len(desk.alerts.sent)
        decision = desk.monitor.observe(name, value)
        assert len(desk.alerts.sent) - before <= 1
        assert decision.previous is reported  # people know the level that was
        assert decision.level >= row.level(value)  # nothing worse than reported is ever the case
        assert (decision.severity is not None) is decision.changed
        reported = decision.level
    windows = 1 + desk.now // 300
    assert len(desk.alerts.sent) <= (2 * len(row.bounds) + 1) * windows


def test_not_a_number_is_no_recovery() -> None:
    desk = Desk()
    desk.monitor.observe("drawdown_pct", 9)
    for _ in range(3):
        decision = desk.monitor.observe("drawdown_pct", math.nan)
        assert decision.level is Level.CRITICAL
        assert decision.problem == "not a number"
    assert desk.severities == [CRITICAL, WARNING]
    assert desk.monitor.observe("drawdown_pct", math.inf).level is Level.BREAKER


def test_it_never_raises() -> None:
    monitor = ThresholdMonitor()
    assert monitor.observe("no_such", 1).problem == "no such threshold"
    assert monitor.observe("vix", "high").problem == "ValueError"  # type: ignore[arg-type]
    assert monitor.observe("vix", None).problem == "TypeError"  # type: ignore[arg-type]
    assert monitor.observe(["vix"], 1).problem == "TypeError"  # type: ignore[arg-type]
    assert monitor.level("no_such") is Level.OK


def test_subjects_are_apart_and_bounded() -> None:
    desk = Desk()
    desk.monitor.observe("broker_connected", 0, subject="IBKR")
    assert desk.monitor.observe("broker_connected", 1, subject="Alpaca").level is Level.OK
    for number in range(3000):
        desk.monitor.observe("broker_connected", 1, subject=f"b{number}")
    assert len(desk.monitor._watches) <= 1000
    assert desk.monitor.level("broker_connected", subject="IBKR") is Level.CRITICAL


def test_threads_report_a_step_once() -> None:
    desk = Desk()
    threads = [
        threading.Thread(target=lambda: [desk.monitor.observe("vix", 40.0) for _ in range(200)] and None) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(desk.alerts.sent) == 1


def test_the_table_is_plain_data() -> None:
    rows = as_rows()
    assert json.loads(json.dumps(rows)) == rows
    drawdown = next(row for row in rows if row["name"] == "drawdown_pct")
    assert drawdown["metric"] == "trading_portfolio_drawdown_pct"
    bounds = drawdown["bounds"]
    assert isinstance(bounds, dict)
    assert {level: (bound["comparison"], bound["value"]) for level, bound in bounds.items()} == {
        "warning": (">", 5),
        "critical": (">", 8),
        "breaker": (">=", 10),
    }


@pytest.mark.parametrize(
    "bounds",
    [
        {},
        {"warning": Bound(">", 5), "critical": Bound(">", 4)},
        {"warning": Bound("<", -2), "critical": Bound("<", -1)},
        {"warning": Bound(">", 5), "critical": Bound("<", 8)},
        {"warning": Bound(">", 5), "hysteresis": -1.0},
    ],
)
def test_a_row_that_makes_no_sense_is_refused(bounds: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="threshold 'x'"):
        Threshold("x", "X", "x", **bounds)  # type: ignore[arg-type]


def test_bad_bounds_and_double_names_are_refused() -> None:
    with pytest.raises(ValueError, match="comparison"):
        Bound("==", 1)
    with pytest.raises(ValueError, match="two thresholds"):
        ThresholdMonitor(thresholds=[ROWS["vix"], ROWS["vix"]])
