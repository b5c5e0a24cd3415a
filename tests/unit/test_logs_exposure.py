"""The ledger as others see it: health, and Prometheus metrics that never fall."""

from __future__ import annotations

import gc
import logging
import sys

import pytest

from crowsnest.logs import VictoriaLogsHandler, health
from crowsnest.logs._handler import ledger_of_process
from tests.log_sink import BlackHole, LogSink

RECORD = {"msg": "hello", "levelno": logging.INFO}


def test_health_follows_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    with BlackHole() as hole:
        handler = VictoriaLogsHandler(hole.url, max_records=10, flush_interval_seconds=0.01, close_timeout_seconds=0.05)
        assert handler.health()["status"] == "ok"
        handler.handle(logging.makeLogRecord(RECORD))
        assert not handler.drain(0.1)
        assert handler.health()["status"] == "ok"
        monkeypatch.setattr("crowsnest.logs._health._LATE_SECONDS", 0.01)
        assert handler.health()["status"] == "late"
        for _ in range(20):
            handler.handle(logging.makeLogRecord(RECORD))
        state = health(handler)
        assert (state["status"], state["queue_share"], state["accepted"], state["in_flight"]) == ("losing", 1.0, 21, 1)
        assert health()["status"] == "losing"
        handler.close()
        assert handler.health()["status"] == "closed"


def test_counters_of_a_process_do_not_fall_when_a_handler_goes() -> None:
    before = ledger_of_process()
    with LogSink() as sink:
        for _ in range(2):
            handler = VictoriaLogsHandler(sink.url)
            handler.handle(logging.makeLogRecord(RECORD))
            assert handler.drain(5)
            handler.close()
            handler.handle(logging.makeLogRecord(RECORD))
        del handler
        gc.collect()
    after = ledger_of_process()
    for name, difference in {"accepted": 4, "delivered": 2, "dropped_shutdown": 2, "residual": 0}.items():
        assert after[name] - before[name] == difference


def test_prometheus_names_and_values() -> None:
    prometheus_client = pytest.importorskip("prometheus_client")
    from crowsnest.logs.prometheus import LedgerCollector

    registry = prometheus_client.CollectorRegistry()
    registry.register(LedgerCollector())
    with LogSink() as sink:
        handler = VictoriaLogsHandler(sink.url, flush_interval_seconds=60)
        before = registry.get_sample_value("crowsnest_logs_accepted_total")
        handler.handle(logging.makeLogRecord(RECORD))
        assert registry.get_sample_value("crowsnest_logs_accepted_total") - before == 1
        assert registry.get_sample_value("crowsnest_logs_queue_records") >= 1
        handler.close()
    text = prometheus_client.generate_latest(registry).decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names == {
        f"crowsnest_logs_{name}"
        for name in (
            "accepted_total",
            "delivered_total",
            "dropped_total",
            "gap_records_total",
            "requests_total",
            "failed_requests_total",
            "queue_records",
            "queue_bytes",
            "in_flight",
            "undelivered_seconds",
            "ledger_residual",
        )
    }
    assert 'crowsnest_logs_dropped_total{reason="overflow"}' in text
    assert "crowsnest_logs_ledger_residual 0.0" in text


def test_the_library_does_not_import_prometheus_client() -> None:
    import subprocess

    code = "import sys, crowsnest.logs; assert 'prometheus_client' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "src"}, check=False).returncode == 0
