"""The engine's settings and heartbeat; nothing here needs NautilusTrader."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crowsnest.engine.heartbeat import Heartbeat, age_seconds
from crowsnest.engine.settings import HELP, PREFIX, EngineSettings, SettingsError

SRC = Path(__file__).parents[2] / "src"


def test_defaults_are_those_of_an_empty_environment() -> None:
    assert EngineSettings.from_environment({}) == EngineSettings()
    assert EngineSettings.from_environment({PREFIX + "BARS_PER_SECOND": " "}).bars_per_second == 20


def test_every_variable_is_read() -> None:
    settings = EngineSettings.from_environment(
        {
            "VICTORIALOGS_URL": "http://logs:1",
            PREFIX + "BARS_PER_SECOND": "0",
            PREFIX + "STRATEGIES": "mean_reversion, ema_cross",
            PREFIX + "PROGRESS_SECONDS": "0.5",
            PREFIX + "HEARTBEAT_FILE": "/run/beat",
            PREFIX + "METRICS_HOST": "127.0.0.1",
            PREFIX + "DAYS": "200",
            PREFIX + "MAX_LOOPS": "2",
            "PATH": "/bin",
        }
    )
    assert settings == EngineSettings(
        "http://logs:1",
        0.0,
        ("mean_reversion", "ema_cross"),
        0.5,
        Path("/run/beat"),
        days=200,
        max_loops=2,
        metrics_host="127.0.0.1",
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BARS_PER_SECOND", "fast"),
        ("BARS_PER_SECOND", "-1"),
        ("BARS_PER_SECOND", "nan"),
        ("BARS_PER_SECOND", "inf"),
        ("BARS_PER_SECOND", "0.01"),
        ("STRATEGIES", "ema_cross,unknown"),
        ("STRATEGIES", "ema_cross,ema_cross"),
        ("STRATEGIES", ","),
        ("PROGRESS_SECONDS", "0"),
        ("DAYS", "1.5"),
        ("MAX_LOOPS", "-1"),
    ],
)
def test_an_unusable_value_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=PREFIX + variable):
        EngineSettings.from_environment({PREFIX + variable: value})


def test_an_unknown_variable_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"unknown variable CROWSNEST_ENGINE_SPEED; known are .*BARS_PER_SECOND"):
        EngineSettings.from_environment({PREFIX + "SPEED": "5"})


def test_help_names_every_variable() -> None:
    with pytest.raises(SettingsError) as caught:
        EngineSettings.from_environment({PREFIX + "X": ""})
    known = str(caught.value).rpartition("known are ")[2].split(", ")
    assert all(variable in HELP for variable in known)


def test_a_heartbeat_beats_at_most_once_a_second(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    assert age_seconds(path) is None
    heartbeat = Heartbeat(path)
    heartbeat.beat()
    os.utime(path, (0, 0))
    heartbeat.beat()
    assert age_seconds(path) == pytest.approx(time.time(), abs=10)


@pytest.mark.parametrize(("age", "code"), [(None, 1), (0, 0), (100, 1)])
def test_checking_the_heartbeat_is_cheap(tmp_path: Path, age: float | None, code: int) -> None:
    path = tmp_path / "heartbeat"
    if age is not None:
        path.touch()
        os.utime(path, (time.time() - age, time.time() - age))
    environment = {"PYTHONPATH": str(SRC), PREFIX + "HEARTBEAT_FILE": str(path)}
    command = [sys.executable, "-X", "importtime", "-m", "crowsnest.engine", "--check-heartbeat", "30"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    for heavy in ("nautilus_trader", "msgspec", "crowsnest.logs", "http.client"):
        assert heavy not in done.stderr


def test_bad_settings_exit_2_with_one_line() -> None:
    environment = {"PYTHONPATH": str(SRC), PREFIX + "TYPO": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "crowsnest.engine"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("crowsnest.engine: unknown variable CROWSNEST_ENGINE_TYPO")
    assert done.stderr.count("\n") == 1
