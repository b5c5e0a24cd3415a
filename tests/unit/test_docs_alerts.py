"""docs/client-alerts.md: its examples run as they stand, and its table is the one in the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crowsnest.alerts import THRESHOLDS, DropReason, Level
from tests.alert_sink import AlertSink, Reply

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "client-alerts.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
EXPECTED = [
    ["⚠️ CRITICAL: Kill Switch Activated"],
    ["ℹ️ INFO: Model retrained", "🔵 INFO: Model retrained"],  # noqa: RUF001
    ["🔶 WARNING: Drawdown Warning"],
    ["⚠️ CRITICAL: VIX Circuit Breaker", "⚠️ CRITICAL: Broker Disconnected"],
    [],
]


def test_every_example_is_tested() -> None:
    assert len(BLOCKS) == len(EXPECTED)


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_an_example_runs_and_its_messages_arrive(number: int) -> None:
    with AlertSink() as sink:
        sink.default = Reply(body=b'{"ok":true}')
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "SLACK_WEBHOOK_URL": sink.slack_url,
            "TELEGRAM_BOT_TOKEN": "123456789:ABCdefGHIjklMNOpqrsTUVwxyz",
            "TELEGRAM_CHAT_ID": "-1001234567890",
            "TELEGRAM_API_URL": sink.url,
        }
        command = [sys.executable, "-W", "error", "-c", BLOCKS[number]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, done.stderr
        firsts = [text.splitlines()[0] for text in sink.texts]
    assert set(EXPECTED[number]) <= set(firsts), firsts


def test_the_documented_table_is_the_code_s() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)? ?\| (.*?) ?\| (.*?) ?\| (.*?) ?\| (.*?) \|$", TEXT, re.MULTILINE)
    documented = [tuple(cell.strip("| ") for cell in row) for row in rows]

    def shown(row_level: object) -> str:
        return f"{row_level.comparison} {row_level.value:g}" if row_level is not None else ""  # type: ignore[attr-defined]

    assert documented == [
        (
            row.name,
            row.metric or "",
            *(shown(row.bounds.get(level)) for level in (Level.WARNING, Level.CRITICAL, Level.BREAKER)),
            f"{row.hysteresis:g}",
        )
        for row in THRESHOLDS
    ]


def test_every_reason_is_documented() -> None:
    assert [reason.value for reason in DropReason if f"`{reason.value}`" not in TEXT] == []
