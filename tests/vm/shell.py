"""One root shell in the machine, over one ssh connection that stays.

A command costs a fork instead of a login and a sudo, which take a second each on an emulated machine. And a change that locks
everybody else out does not lock out the one who made it to see what happens. ``vm://`` is its connection for Testinfra.
"""

from __future__ import annotations

import base64
import json
import selectors
import shlex
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import testinfra.backend
from testinfra.backend.base import BaseBackend, CommandResult

SECONDS = 300.0
# Reads commands as JSON texts, a line each; answers each with a line: exit status, output and errors.
AGENT = """
import base64, json, subprocess, sys
for line in sys.stdin.buffer:
    done = subprocess.run(["/bin/sh", "-c", json.loads(line)], stdin=subprocess.DEVNULL, capture_output=True)
    print(json.dumps([done.returncode, *(base64.b64encode(text).decode() for text in (done.stdout, done.stderr))]), flush=True)
"""


class ConnectionLostError(RuntimeError):
    """The machine did not answer; nothing is known about the command."""


class RootShell:
    """Connects when first used, and again after the connection was lost or closed."""

    def __init__(self, ssh: Sequence[str]) -> None:
        self._command = [*ssh, f"exec sudo -n python3 -u -c {shlex.quote(AGENT)}"]
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: str, *, seconds: float = SECONDS) -> tuple[int, bytes, bytes]:
        """Exit status, output and errors of a shell command.

        Raises:
            ConnectionLostError: when there is no connection, or no answer within `seconds`.
        """
        process = self._connected()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(command).encode() + b"\n")
            process.stdin.flush()
            status, *texts = json.loads(self._line(process, seconds))
        except (OSError, EOFError, ValueError) as error:
            said = self.close()
            raise ConnectionLostError(f"{command}: {error or 'no answer'} {said}") from error
        output, errors = map(base64.b64decode, texts)
        return int(status), output, errors

    def _connected(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        return self._process

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        assert process.stdout is not None
        end, line = time.monotonic() + seconds, b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0, end - time.monotonic())):
                    raise TimeoutError(f"no answer within {seconds:.0f} s")
                part = process.stdout.read(65536)
                if not part:
                    raise EOFError("the connection was closed")
                line += part
        return line

    def close(self) -> str:
        """End the connection. Returns what ssh said."""
        if self._process is None:
            return ""
        process, self._process = self._process, None
        process.kill()
        return process.communicate()[1].decode(errors="replace")


class VmBackend(BaseBackend):
    """Testinfra over a `RootShell`: ``--hosts=vm://NAME --ssh-config=FILE``. One shell serves all modules of a run."""

    NAME = "vm"
    _shells: dict[tuple[str, str], RootShell] = {}

    def __init__(self, hostspec: str, ssh_config: str = "", **options: Any) -> None:
        super().__init__(hostspec, **options)
        self.shell = self._shells.setdefault((hostspec, ssh_config), RootShell(["ssh", "-F", ssh_config, hostspec]))

    def run(self, command: str, *args: str, **_options: Any) -> CommandResult:
        text = self.quote(command, *args)
        status, output, errors = self.shell.run(text)
        return self.result(status, text.encode(), output, errors)


testinfra.backend.BACKENDS["vm"] = f"{__name__}.VmBackend"
