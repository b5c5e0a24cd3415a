"""`configure_logging`: one chain for structlog and logging, the same record from both, on every output."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from crowsnest.logs.drops import DropRule
from crowsnest.logs.redact import RedactionRules
from crowsnest.logs.setup import LoggingSettings, LoggingSetup, configure_logging
from tests.log_sink import LogSink

SRC = Path(__file__).parents[2] / "src"
ROOT = logging.getLogger()
ORDER = {"symbol": "AAPL", "order_id": "abc123", "quantity": 100, "price": 150.0}


@pytest.fixture
def sink() -> Iterator[LogSink]:
    with LogSink() as sink:
        yield sink


@pytest.fixture
def configured(sink: LogSink, tmp_path: Path) -> Iterator[LoggingSetup]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield configure_logging(file=tmp_path / "logs/backend.log", console=False, victorialogs_url=sink.url)
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(setup: LoggingSetup) -> list[dict[str, Any]]:
    assert setup.settings.file is not None
    return [json.loads(line) for line in setup.settings.file.read_text().splitlines()]


def sent(setup: LoggingSetup, sink: LogSink) -> list[dict[str, Any]]:
    assert setup.victorialogs is not None
    assert setup.victorialogs.drain(5)
    return sink.records


def test_the_processors_are_those_of_the_source(configured: LoggingSetup) -> None:
    config = structlog.get_config()
    *four, _ = config["processors"]
    assert [type(each).__name__ if not hasattr(each, "__name__") else each.__name__ for each in four] == [
        "TimeStamper",
        "add_log_level",
        "StackInfoRenderer",
        "ExceptionRenderer",  # structlog's format_exc_info is an instance of it
    ]
    assert four[0].fmt == "iso"
    assert four[3] is structlog.processors.format_exc_info
    assert isinstance(configured.formatter, structlog.stdlib.ProcessorFormatter)
    assert isinstance(configured.formatter.processors[-1], structlog.processors.JSONRenderer)
    assert config["wrapper_class"] is structlog.stdlib.BoundLogger
    assert isinstance(config["logger_factory"], structlog.stdlib.LoggerFactory)
    assert config["cache_logger_on_first_use"] is True


def test_the_documented_output_keys(configured: LoggingSetup) -> None:
    structlog.get_logger("orders").info("order_submitted", **ORDER)
    (line,) = lines(configured)
    assert line["event"] == "order_submitted"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
    assert line["level"] == "info"
    assert {name: line[name] for name in ORDER} == ORDER


@pytest.mark.parametrize("logger_name", ["strategy.ema_cross", "api.main"])
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_structlog_and_logging_give_the_same_record(
    configured: LoggingSetup, sink: LogSink, logger_name: str, level: str
) -> None:
    logging.getLogger().setLevel("DEBUG")
    getattr(structlog.get_logger(logger_name), level)("filled %s", "AAPL", **ORDER, name="odd", source="elsewhere")
    getattr(logging.getLogger(logger_name), level)(
        "filled %s", "AAPL", extra={**ORDER, "field_name": "odd", "source": "elsewhere"}
    )
    own = {"timestamp", "_time", "seq"}
    in_file = [{name: value for name, value in line.items() if name not in own} for line in lines(configured)]
    in_store = [{name: value for name, value in record.items() if name not in own} for record in sent(configured, sink)]
    assert in_file[0] == in_file[1]
    assert in_store[0] == in_store[1]
    assert in_store[0]["_msg"] == in_file[0]["event"] == "filled AAPL"
    assert in_store[0]["level"] == level.upper()
    assert in_file[0]["level"] == level
    assert in_store[0]["field_name"] == "odd"
    assert in_store[0]["field_source"] == "elsewhere"
    assert in_store[0]["source"] == ("strategy" if logger_name.startswith("strategy") else "system")


def test_a_line_carries_the_identity_of_the_record_in_the_store(configured: LoggingSetup, sink: LogSink) -> None:
    for number in range(50):
        logging.getLogger("a").info("record", extra={"number": number})
    stored = {(record["boot"], record["seq"]): record["number"] for record in sent(configured, sink)}
    assert {(line["boot"], line["seq"]): line["number"] for line in lines(configured)} == stored
    assert len(stored) == 50
    times = [line["_time"] for line in lines(configured)]
    assert times == sorted(set(times))


def test_identities_hold_under_threads(configured: LoggingSetup, sink: LogSink) -> None:
    def work(worker: int) -> None:
        for number in range(100):
            structlog.get_logger("t").info("record", worker=worker, number=number)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = {(record["boot"], record["seq"]): (record["worker"], record["number"]) for record in sent(configured, sink)}
    assert {(line["boot"], line["seq"]): (line["worker"], line["number"]) for line in lines(configured)} == stored
    assert len(stored) == 400


@pytest.mark.parametrize("name", ["structlog", "logging"])
def test_a_traceback_is_in_both(configured: LoggingSetup, sink: LogSink, name: str) -> None:
    logger = structlog.get_logger("a") if name == "structlog" else logging.getLogger("a")
    try:
        raise ValueError("no position")
    except ValueError:
        logger.exception("failed")
    (line,) = lines(configured)
    (record,) = sent(configured, sink)
    assert line["exception"].endswith("ValueError: no position")
    assert record["error_traceback"] == line["exception"]


def test_what_a_caller_gets_wrong_is_logged_and_raises_nothing(configured: LoggingSetup, sink: LogSink) -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError

    logging.getLogger().handlers = [configured]  # pytest's own do raise
    loop: list[object] = []
    loop.append(loop)
    ROOT.info("%d %d", *[1])
    structlog.get_logger("a").info("%d %d", "x", 2)
    ROOT.info("odd", extra={"value": Hostile(), "loop": loop, "nan": float("nan"), "huge": 2**200, "\ud800": "\udfff", 7: 8})
    ROOT.info(Hostile())
    structlog.get_logger("a").info(Hostile(), key=Hostile())
    assert len(lines(configured)) == 5
    assert len(sent(configured, sink)) == 5
    assert configured.stats().failed == 0
    assert "log_format_error" in lines(configured)[0]
    assert "log_format_error" in lines(configured)[1]


def test_a_value_that_logs_while_it_is_logged_ends(configured: LoggingSetup) -> None:
    class Talkative:
        def __repr__(self) -> str:
            logging.getLogger("a").info("asked", extra={"value": self})
            return "talkative"

    logging.getLogger("a").info("start", extra={"value": Talkative()})
    stats = configured.stats()
    assert stats.offered == stats.logged + sum(stats.dropped_by_rule.values()) + stats.failed
    assert stats.failed == 1


def test_the_same_settings_again_change_nothing(configured: LoggingSetup, sink: LogSink, tmp_path: Path) -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    again = configure_logging(file=tmp_path / "logs/backend.log", console=False, victorialogs_url=sink.url)
    assert again is configured
    assert root.handlers == before


def test_other_settings_take_over_without_a_gap(configured: LoggingSetup, sink: LogSink, tmp_path: Path) -> None:
    stop = threading.Event()
    count = [0]

    def work() -> None:
        while not stop.is_set():
            logging.getLogger("load").info("record", extra={"number": count[0]})
            count[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    setups = [configured]
    setups += [
        configure_logging(file=tmp_path / f"logs/{number}.log", console=False, victorialogs_url=sink.url, level="DEBUG")
        for number in range(10)
    ]
    stop.set()
    thread.join()
    assert [handler for handler in logging.getLogger().handlers if isinstance(handler, LoggingSetup)] == setups[-1:]
    assert sum(setup.stats().offered for setup in setups) == count[0]
    assert sum(setup.stats().failed for setup in setups) == 0


def test_loggers_cached_before_follow_the_new_setup(configured: LoggingSetup, sink: LogSink, tmp_path: Path) -> None:
    logger = structlog.get_logger("cached").bind(strategy_id="ema")
    logger.info("first")
    new = configure_logging(file=tmp_path / "other.log", console=False, victorialogs_url=sink.url)
    logger.info("second")
    assert [line["event"] for line in lines(new)] == ["second"]


def test_a_wrong_setting_leaves_the_old_setup(configured: LoggingSetup) -> None:
    for wrong in (
        {"level": "LOUD"},
        {"max_files": 1},
        {"redaction": RedactionRules(patterns=("(",))},
        {"victorialogs_url": "ftp://x"},
    ):
        with pytest.raises(ValueError, match=r"."):
            configure_logging(**wrong)
    with pytest.raises(TypeError):
        configure_logging(colour="red")
    assert configured in logging.getLogger().handlers
    ROOT.info("still here")
    assert lines(configured)[-1]["event"] == "still here"


def test_the_environment_wins_over_defaults_and_the_program_over_it() -> None:
    environment = {
        "CROWSNEST_LOG_LEVEL": "debug",
        "CROWSNEST_LOG_FILE": "logs/frontend.log",
        "CROWSNEST_LOG_CONSOLE": "off",
        "CROWSNEST_LOG_MAX_BYTES": "1000",
        "CROWSNEST_LOG_EXTRA_FIELDS": "app=trader, desk=7",
    }
    settings = LoggingSettings.from_environment(environment, max_bytes=5)
    assert settings == LoggingSettings(
        level="DEBUG", file=Path("logs/frontend.log"), console=False, max_bytes=5, extra_fields={"app": "trader", "desk": "7"}
    )
    assert LoggingSettings.from_environment({"CROWSNEST_LOG_FILE": ""}).file is None
    assert LoggingSettings.from_environment({}) == LoggingSettings()
    assert LoggingSettings().file == Path("logs/backend.log")
    assert (LoggingSettings().max_bytes, LoggingSettings().max_files) == (100 * 1024 * 1024, 10)
    with pytest.raises(ValueError, match="CROWSNEST_LOG_CONSOLE"):
        LoggingSettings.from_environment({"CROWSNEST_LOG_CONSOLE": "perhaps"})


def test_a_secret_is_in_no_output(configured: LoggingSetup, sink: LogSink) -> None:
    structlog.get_logger("a").info("login", user="bob", password="hunter2", nested=[{"Authorization": "Bearer hunter2hunter2"}])
    logging.getLogger("a").warning("url is %s", "postgres://bob:hunter2@db/trades")
    try:
        raise RuntimeError("api_key=hunter2")
    except RuntimeError:
        ROOT.exception("failed")
    assert configured.settings.file is not None
    assert "hunter2" not in configured.settings.file.read_text()
    assert "hunter2" not in json.dumps(sent(configured, sink))
    assert len(lines(configured)) == 3


def test_dropped_records_are_counted_by_rule_and_summed_up(configured: LoggingSetup, sink: LogSink) -> None:
    for _ in range(3):
        structlog.get_logger("a").info("tick", price=1.0)
    ROOT.warning("tick")
    configured.close()
    assert configured.stats().dropped_by_rule["tick"] == 3
    assert [line["event"] for line in lines(configured)] == ["tick", "records dropped by rule"]
    assert lines(configured)[1]["dropped_by_rule"] == [{"rule": "tick", "count": 3}]


def test_rules_can_be_added(configured: LoggingSetup, sink: LogSink, tmp_path: Path) -> None:
    setup = configure_logging(
        file=tmp_path / "other.log",
        console=False,
        victorialogs_url=sink.url,
        drop_rules=(DropRule("greeks", events=frozenset({"greeks_update"})),),
        redaction=RedactionRules(names=frozenset({"account"}), patterns=(r"DU\d{6}",)),
    )
    ROOT.info("greeks_update")
    ROOT.info("tick for DU123456", extra={"account": "x-1"})
    (line,) = lines(setup)
    assert line["event"] == "tick for [redacted]"
    assert line["account"] == "[redacted]"
    assert setup.stats().dropped_by_rule == {"greeks": 1}


def test_on_a_logger_and_its_parent_it_logs_once(configured: LoggingSetup, sink: LogSink) -> None:
    child = logging.getLogger("strategy")
    child.addHandler(configured)
    try:
        logging.getLogger("strategy.ema").info("once")
        structlog.get_logger("strategy.ema").info("once, too")
    finally:
        child.removeHandler(configured)
    assert [line["event"] for line in lines(configured)] == ["once", "once, too"]
    assert [record["_msg"] for record in sent(configured, sink)] == ["once", "once, too"]


def run(code: str, sink: LogSink, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "VICTORIALOGS_URL": sink.url, "PYTHONPATH": str(SRC), **environment}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True, check=False, timeout=30
    )


def test_exit_delivers_and_a_fork_has_its_own_boot(sink: LogSink, tmp_path: Path) -> None:
    done = run(
        """
        import logging, os
        from crowsnest.logs.setup import configure_logging
        setup = configure_logging()
        logging.info("parent")
        if not (pid := os.fork()):
            logging.info("child")
            setup.victorialogs.drain(5)
            os._exit(0)
        os.waitpid(pid, 0)
        logging.info("parent again")
        """,
        sink,
        CROWSNEST_LOG_FILE=str(tmp_path / "backend.log"),
    )
    assert done.returncode == 0, done.stderr
    file_lines = [json.loads(line) for line in (tmp_path / "backend.log").read_text().splitlines()]
    assert [line["event"] for line in file_lines] == ["parent", "child", "parent again"]
    assert {(line["boot"], line["seq"]) for line in file_lines} == {(record["boot"], record["seq"]) for record in sink.records}
    assert file_lines[0]["boot"] == file_lines[2]["boot"] != file_lines[1]["boot"]
    assert [json.loads(line)["event"] for line in done.stderr.splitlines() if line.startswith("{")] == [
        "parent",
        "child",
        "parent again",
    ]


def test_importing_the_library_does_not_import_structlog(sink: LogSink) -> None:
    done = run(
        """
        import sys
        import crowsnest.logs, crowsnest.logs.__main__
        assert "structlog" not in sys.modules
        from crowsnest.logs import configure_logging
        assert "structlog" in sys.modules and callable(configure_logging)
        """,
        sink,
    )
    assert done.returncode == 0, done.stderr


def test_a_file_that_cannot_be_written_stops_nothing(sink: LogSink, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    done = run(
        """
        import logging
        from crowsnest.logs.setup import configure_logging
        setup = configure_logging(console=False)
        logging.info("hello")
        assert setup.victorialogs.drain(5)
        print(setup.stats().file.failed)
        """,
        sink,
        CROWSNEST_LOG_FILE=str(tmp_path / "blocked/backend.log"),
    )
    assert done.stdout.strip() == "1", done.stderr
    assert "line not written" in done.stderr
    assert [record["_msg"] for record in sink.records] == ["hello"]
