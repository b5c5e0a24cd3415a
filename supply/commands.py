"""Run a build command: output to a log, a sign of life while it takes long, one clear line when it fails."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from supply.errors import Say, SupplyError

HEARTBEAT_SECONDS = 20.0
# When we are killed, the command is asked to end. (Files are closed but for the cache's lock, which it holds until it has.)
UNTIL_WE_END = ("setpriv", "--pdeathsig", "TERM", "--")


def run(
    command: Sequence[str | Path],
    *,
    what: str,
    log: Path,
    say: Say,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_seconds: float | None = None,
) -> None:
    """Run to the end.

    Raises:
        SupplyError: when it cannot be started, fails or takes longer than ``timeout_seconds``; names the log.
    """
    if shutil.which(command[0], path=(environment or os.environ).get("PATH")) is None:
        raise SupplyError(f"{what}: {command[0]} cannot be started: it is not installed")
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*UNTIL_WE_END, *map(str, command)], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=environment, cwd=folder, start_new_session=True, close_fds=False,
        )  # fmt: skip
        try:
            while True:
                elapsed = time.monotonic() - started
                left = None if timeout_seconds is None else timeout_seconds - elapsed
                if left is not None and left <= 0:
                    raise SupplyError(f"{what}: gave up after {elapsed:.0f} s; see {log}")
                try:
                    status = process.wait(HEARTBEAT_SECONDS if left is None else min(HEARTBEAT_SECONDS, left))
                    break
                except subprocess.TimeoutExpired:
                    say(f"{what}: still at it after {time.monotonic() - started:.0f} s")
        finally:
            _end(process)
    if status != 0:
        raise SupplyError(f"{what}: {_reason(log, status)}; see {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no child or grandchild behind when we are interrupted; they get time to clean up after themselves."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _reason(log: Path, status: int) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if any("no space left on device" in line.lower() for line in lines):
        return f"the disk that holds {log.parent.parent} is full; free some space or set CROWSNEST_CACHE_DIR"
    mismatch = next((line for line in lines if "checksum mismatch" in line or "DO NOT MATCH THE HASHES" in line), None)
    if mismatch:
        return mismatch
    errors = [line for line in lines if line.startswith(("E:", "ERROR", "error:", "go: "))]
    return (errors or lines or [f"exit code {status}"])[-1]
