"""Every example of docs/structured-logging.md runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from crowsnest.logs.__main__ import main
from crowsnest.logs.setup import _PARSERS, LoggingSettings
from tests.log_sink import LogSink

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/structured-logging.md").read_text()
BLOCKS = re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [(marks.strip(), code) for language, marks, code in BLOCKS if language == "python"]
RECIPES = {"freqtrade": next(code for language, _, code in BLOCKS if language == "json" and "log_config" in code),
           "hummingbot": next(code for language, _, code in BLOCKS if language == "yaml")}  # fmt: skip


@pytest.fixture
def sink() -> Iterator[LogSink]:
    with LogSink() as sink:
        yield sink


def run(code: str, folder: Path, sink: LogSink) -> str:
    environment = {**os.environ, "VICTORIALOGS_URL": sink.url, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_page_has_examples() -> None:
    assert len(PYTHON) >= 4


@pytest.mark.parametrize(("marks", "code"), PYTHON, ids=[str(number) for number in range(len(PYTHON))])
def test_an_example_runs(marks: str, code: str, tmp_path: Path, sink: LogSink) -> None:
    if "nautilus" in marks and find_spec("nautilus_trader") is None:
        pytest.skip("nautilus_trader is not installed")
    run(code, tmp_path, sink)
    if "get_logger" in code:
        first, second = [json.loads(line) for line in (tmp_path / "logs/backend.log").read_text().splitlines()]
        shown = json.loads(next(code for language, _, code in BLOCKS if language == "json" and "order_submitted" in code))
        assert first.keys() == second.keys() == shown.keys()
        own = {"timestamp", "_time", "boot", "seq"}
        assert all(first[name] == second[name] == shown[name] for name in shown.keys() - own)
        assert [record["seq"] for record in sink.records] == [1, 2]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_configures_logging(name: str, tmp_path: Path, sink: LogSink) -> None:
    text = RECIPES[name].replace("http://127.0.0.1:9428", sink.url)
    tree = json.loads(text)["log_config"] if name == "freqtrade" else yaml.safe_load(text)
    code = f"""
import logging, logging.config
logging.config.dictConfig({tree!r})
logging.getLogger("strategy.my_strategy").info("entry", extra={{"pair": "BTC/USDT", "api_key": "hunter2"}})
"""
    run(code, tmp_path, sink)
    (record,) = sink.records
    assert (record["_msg"], record["app"], record["strategy_id"], record["api_key"]) == (
        "entry",
        name,
        "my_strategy",
        "[redacted]",
    )
    (line,) = (tmp_path / tree["handlers"]["crowsnest"]["file"]).read_text().splitlines()
    assert (json.loads(line)["boot"], json.loads(line)["seq"]) == (record["boot"], record["seq"])


def test_every_setting_is_in_the_table() -> None:
    for name in LoggingSettings.__dataclass_fields__:
        assert f"`{name}`" in PAGE
    for name in _PARSERS:
        assert f"CROWSNEST_LOG_{name.upper()}" in PAGE or f"…_{name.upper()}" in PAGE


def test_every_option_of_a_shell_example_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["reconcile", "--help"])
    known = capsys.readouterr().out
    shell = "".join(code for language, _, code in BLOCKS if language == "sh")
    for option in set(re.findall(r"--[a-z-]+", shell + PAGE[PAGE.index("## Reconcile") : PAGE.index("## Recipes")])):
        assert option in known
