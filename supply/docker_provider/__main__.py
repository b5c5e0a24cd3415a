"""Start the provider: print the port that it serves on, and stop when told to or when the engine is gone."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import types
from pathlib import Path

PARENT_POLL_SECONDS = 1.0


def _skip_loading_the_sdk() -> None:
    """Make only the SDK's generated messages importable; loading all of `pulumi` would double the start-up time."""
    found = importlib.util.find_spec("pulumi")
    if found is None or found.origin is None:
        raise SystemExit("the Python package pulumi is not installed where the docker provider runs")
    root = Path(found.origin).parent
    for name, directory in (("pulumi", root), ("pulumi.runtime", root / "runtime")):
        package = types.ModuleType(name)
        package.__path__ = [str(directory)]
        sys.modules[name] = package


def _stop_without_parent(stopped: threading.Event) -> None:
    """A killed engine cannot stop its plugins."""
    parent = os.getppid()
    while not stopped.wait(PARENT_POLL_SECONDS):
        if os.getppid() != parent:
            stopped.set()


def main() -> None:
    """Serve until a signal or the end of the parent process; the exit code is 0."""
    _skip_loading_the_sdk()
    from supply.docker_provider.server import serve  # only after the line above

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    threading.Thread(target=_stop_without_parent, args=(stopped,), daemon=True).start()
    serve(stopped, lambda port: print(port, flush=True))
    # Requests that still wait for the daemon must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
