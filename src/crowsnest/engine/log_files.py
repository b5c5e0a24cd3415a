"""NautilusTrader's own log: warnings to stdout, everything as JSON lines into files that end at a size.

The writer is NautilusTrader's (Rust), with a queue and a thread of its own, so a line costs a strategy microseconds whatever
the disk does. A file is never renamed or cut: a full one stays, and the next has another name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nautilus_trader.config import LoggingConfig

MAX_BYTES: Final = 20 * 1024 * 1024
KEPT_FILES: Final = 10
# What the kernel says to itself about each event, a dozen lines an order, would push the strategies' lines out of the files.
_TALKATIVE: Final = (
    "BacktestEngine", "BacktestDataIterator", "Cache", "DataClient-SIM", "DataEngine", "ExecClient-SIM", "ExecEngine",
    "MessageBus", "OrderEmulator", "OrderMatchingEngine(SIM)", "Portfolio", "RiskEngine", "SimulatedExchange(SIM)",
)  # fmt: skip


def logging_config(folder: Path | None) -> LoggingConfig:
    """The log's configuration; without a folder there are no files. Files of earlier processes are removed down to the limit.

    Raises:
        OSError: the folder cannot be used.
    """
    if folder is None:
        return LoggingConfig(log_level="WARNING", log_colors=False)
    folder.mkdir(parents=True, exist_ok=True)
    prune(folder)
    return LoggingConfig(
        log_level="WARNING",
        # Metric lines are DEBUG: at any higher level they are not written.
        log_level_file="DEBUG",
        log_directory=str(folder),
        log_file_format="json",
        log_file_max_size=MAX_BYTES,
        log_file_max_backup_count=KEPT_FILES,
        log_component_levels=dict.fromkeys(_TALKATIVE, "WARNING"),
        log_colors=False,
    )


def prune(folder: Path) -> None:
    """Remove the oldest files beyond the limit: the writer knows only those of its own process."""
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for file in files[: -KEPT_FILES or None]:
        file.unlink(missing_ok=True)
