"""Alerts: cost of `send` on the caller's thread with the server up, dead and blackholed, and what a storm becomes.

    PYTHONPATH=src:. python tests/bench/bench_alerts.py

Ratios are to one logging call into a NullHandler, from the same run.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable

from crowsnest.alerts import AlertManager, AlertSettings, AlertSeverity
from tests.alert_sink import AlertSink, unused_url
from tests.log_sink import BlackHole

_CALLS = 1_000
_ROUNDS = 9


def _microseconds(call: Callable[[int], object]) -> float:
    rounds = []
    for number in range(_ROUNDS):
        begun = time.perf_counter()
        for index in range(_CALLS):
            call(number * _CALLS + index)
        rounds.append((time.perf_counter() - begun) / _CALLS * 1e6)
    return statistics.median(rounds)


def _send(url: str | None) -> float:
    manager = AlertManager(["log"], settings=AlertSettings())
    if url is not None:
        manager.configure_slack(url)
    try:
        return _microseconds(
            lambda number: manager.send(AlertSeverity.WARNING, "Drawdown Warning", f"5.{number} %", {"strategy_id": "ema"})
        )
    finally:
        manager.close(timeout=0.1)


def _storm() -> str:
    with AlertSink() as sink:
        manager = AlertManager(["log"], settings=AlertSettings())
        manager.configure_slack(sink.slack_url)
        for number in range(10_000):
            severity = AlertSeverity.CRITICAL if number % 1_000 == 500 else AlertSeverity.WARNING
            manager.send(severity, f"alert {number}", "order rejected")
        manager.close(timeout=10)
        critical = sum("CRITICAL" in text for text in sink.texts)
        residual = manager.stats()["slack"].residual
        return f"{len(sink.texts)} messages, {critical} of 10 CRITICAL among them, ledger residual {residual}"


def main() -> None:
    """Print the figures."""
    logger = logging.getLogger("crowsnest.alerts")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.NullHandler())
    floor = _microseconds(lambda number: logger.warning("%s", number))
    print(f"{'logging call, NullHandler':<34}{floor:7.1f} us   1.0")
    with AlertSink() as sink, BlackHole() as hole:
        cases = {"log only": None, "Slack up": sink.slack_url, "Slack dead": unused_url(), "Slack blackholed": f"{hole.url}/x"}
        for name, url in cases.items():
            cost = _send(url)
            print(f"{'send, ' + name:<34}{cost:7.1f} us {cost / floor:5.1f}")
    print(f"storm of 10,000 alerts: {_storm()}")


if __name__ == "__main__":
    main()
