"""The examples of docs/metrics.md run, and its tables name every metric."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crowsnest.metrics import TradingMetrics, init_metrics_exporter
from crowsnest.settings import METRICS_PORTS

DOC = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], f"docs/metrics.md, example {number + 1}", "exec"), {"__name__": "example"})


def test_there_are_examples():
    assert len(EXAMPLES) == 4


def spelled_out(text: str) -> str:
    """The text with a{b,c}d written as abd acd, and a bare suffix such as `_positions_count` after what it continues."""
    for before, choices, after in re.findall(r"`(\w+)\{([a-z_,]+)\}(\w+)`", text):
        text += "".join(f" `{before}{choice}{after}`" for choice in choices.split(","))
    return text.replace("`_positions_count`", "`trading_portfolio_positions_count`")


def test_every_metric_is_described():
    text = spelled_out(DOC)
    names = set(re.findall(r"# TYPE ((?:trading|data|orders|strategy)_\w+)", TradingMetrics().exposition()))
    for plane in ("data_plane", "order_plane", "strategy_plane"):
        names |= {spec.name for spec in init_metrics_exporter(plane).specs}
    assert not sorted(name for name in names if not re.search(rf"\b{name}\b", text))


def test_the_ports_are_the_ones_in_the_table():
    assert {
        plane: int(port) for plane, port in re.findall(r"^\| `(\w+)`[^|]*\| (\d{4}) \|", DOC, re.MULTILINE)
    } == METRICS_PORTS
