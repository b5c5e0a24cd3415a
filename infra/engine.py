"""The Pulumi engine over the Automation API: inline program, file backend, one workspace below ``paths.state``."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pulumi import automation
from pulumi.automation._stack import StackInitMode
from pulumi.automation.events import EngineEvent

from infra.checkpoint import Checkpoint
from infra.settings import PROJECT, Settings

OnEvent = Callable[[EngineEvent], None]
Program = Callable[[], None]

# A killed deployment's engine notices that its program is gone within this time and gives up its lock.
LOCK_PATIENCE_SECONDS = 20
# Logs, history entries and backups kept of earlier runs, in files.
KEPT_FILES = 200


class EngineError(RuntimeError):
    """The engine failed. Its diagnostics have been sent to the event callback."""


class LockedError(RuntimeError):
    """Another deployment of this stack is running on this machine. One line that names it."""


class _Stack(automation.Stack):
    """A stack that does not start the engine three more times after each operation to read back what `Engine` never uses."""

    def outputs(self) -> automation.OutputMap:
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:  # noqa: ARG002 the SDK's signature
        return automation.UpdateSummary("update", datetime.now(UTC), "", {}, {}, "succeeded")


class Engine:
    """One stack's engine.

    Args:
        settings: the stack.
        command: the ``pulumi`` executable.
        provider: folder of the Docker provider's executable, or None where the official plugin is installed.
    """

    def __init__(self, settings: Settings, command: Path, provider: Path | None) -> None:
        self._settings = settings
        self._folder = settings.folders.state
        workspace = self._folder / "workspace"
        workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        folders = [str(folder) for folder in (provider, command.parent) if folder]
        os.environ["PATH"] = os.pathsep.join([*folders, os.environ["PATH"]])
        # Without files of metadata beside the state: the engine makes one empty and then writes it, and a kill between the two
        # leaves a state that cannot be read.
        backend = automation.ProjectBackend(url=f"file://{self._folder}?metadata=skip")
        workspace_of_stack = automation.LocalWorkspace(
            work_dir=str(workspace),
            pulumi_home=str(pulumi_home(settings)),
            project_settings=automation.ProjectSettings(name=PROJECT, runtime="python", backend=backend),
            env_vars={
                "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._passphrase_file()),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            },
        )
        self._prune()
        self._remove_metadata()
        self._stack = _Stack(settings.stack, workspace_of_stack, StackInitMode.CREATE_OR_SELECT)

    def _passphrase_file(self) -> Path:
        """Encrypts what the state would hold secret; made once, readable by its owner alone."""
        path = self._folder / "passphrase"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32))
        return path

    def _prune(self) -> None:
        """The engine keeps a log, a history entry and a backup of every run for ever; frequent checks add up."""
        for folder in (
            self._folder / "home" / "logs",
            self._folder / ".pulumi" / "history",
            self._folder / ".pulumi" / "backups",
        ):
            files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime)
            for path in files[:-KEPT_FILES]:
                path.unlink(missing_ok=True)

    def _remove_metadata(self) -> None:
        """Files of metadata that a plain `pulumi up` has left. Nothing reads what is in them, but an empty one is an error."""
        for path in (self._folder / ".pulumi").rglob("*.attrs"):
            path.unlink(missing_ok=True)

    def checkpoint(self) -> Checkpoint:
        """The stack's last known state."""
        return Checkpoint.of(self._stack.export_stack())

    def forget_pending(self) -> None:
        """Drop what a killed deployment noted as begun; what it left on the daemon is removed by `repair`."""
        exported = self._stack.export_stack()
        content = {**(exported.deployment or {}), "pending_operations": []}
        self._stack.import_stack(automation.Deployment(version=exported.version, deployment=content))

    def up(self, program: Program, on_event: OnEvent, *, replace: Sequence[str], refresh: bool = True) -> None:
        """Converge.

        Raises:
            EngineError: when any resource failed.
        """
        self._run(lambda: self._stack.up(program=program, on_event=on_event, refresh=refresh, replace=list(replace) or None))

    def preview(self, program: Program, on_event: OnEvent, *, refresh: bool = True) -> None:
        """Say what `up` would do, through events; nothing is changed.

        Raises:
            EngineError: when the program or the provider failed.
        """
        self._run(lambda: self._stack.preview(program=program, on_event=on_event, refresh=refresh))

    def down(self, on_event: OnEvent) -> None:
        """Remove everything but the protected volumes.

        Raises:
            EngineError: when any resource could not be removed.
        """
        self._run(lambda: self._stack.destroy(on_event=on_event, exclude_protected=True))

    def forget(self) -> None:
        """Remove the stack's state, whatever it still holds."""
        self._stack.workspace.remove_stack(self._settings.stack, force=True)

    def _run(self, operation: Callable[[], object]) -> None:
        try:
            operation()
        except automation.ConcurrentUpdateError as error:
            raise LockedError(f"another deployment of stack {self._settings.stack} has just begun; try again later") from error
        except automation.CommandError as error:
            raise EngineError(_last_words(str(error))) from error

    def clear_stale_lock(self, say: Callable[[str], None]) -> None:
        """Remove the lock of a deployment that was killed; wait a little for an engine that is still giving up.

        Raises:
            LockedError: when the deployment that holds the lock is alive.
        """
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while locks := self._locks():
            alive = [lock for lock, content in locks.items() if _alive(content)]
            for lock in set(locks) - set(alive):
                say(f"removing the lock of a deployment that was killed (pid {locks[lock]['pid']})")
                lock.unlink(missing_ok=True)
            if not alive:
                return
            holder = locks[alive[0]]
            if not _orphaned(int(holder["pid"])) or time.monotonic() > deadline:
                raise LockedError(
                    f"another deployment of stack {self._settings.stack} is running"
                    f" (pid {holder['pid']}, since {holder['timestamp']}); wait for it to end"
                )
            time.sleep(0.2)

    def _locks(self) -> dict[Path, dict[str, str]]:
        folder = self._folder / ".pulumi" / "locks"
        found = {}
        for path in folder.rglob(f"{PROJECT}/{self._settings.stack}/*.json"):
            try:
                found[path] = json.loads(path.read_text())
            except (FileNotFoundError, json.JSONDecodeError):  # just removed, or being written
                continue
        return found


def pulumi_home(settings: Settings) -> Path:
    """Where the engine keeps its plugins and credentials; never the user's own ``~/.pulumi``."""
    return settings.folders.state / "home"


def _alive(lock: dict[str, str]) -> bool:
    """Whether the holder may be running. Another machine's cannot be checked, so it counts as running."""
    return lock["hostname"] != socket.gethostname() or Path(f"/proc/{lock['pid']}").exists()


def _orphaned(pid: int) -> bool:
    """Whether a process lost its parent: an engine whose deployment was killed, about to end."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
    parent = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))
    return parent == 1


def _last_words(text: str) -> str:
    """The engine's error lines without its banner."""
    lines = [line.strip() for line in text.splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error:")]
    telling = [line for line in errors if line != "update failed" and not line.endswith("occurred:")]
    return "; ".join(dict.fromkeys(telling)) or "the engine could not do everything; its messages are above"
