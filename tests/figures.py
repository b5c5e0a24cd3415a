"""Measured values, printed in pytest's summary; docs/figures.md holds the last ones."""

from __future__ import annotations

import pytest

FIGURES: list[str] = []


def figure(name: str, value: object) -> None:
    """Keep a measured value for the summary."""
    FIGURES.append(f"{name}: {value}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
