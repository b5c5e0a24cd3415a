"""Action plugin ``stream_command``: run a command on the target and show each of its lines while it runs.

Ansible shows the output of a command only when the task has ended. This plugin starts the command detached on the
target, with its output in a file there, and asks for the new lines until an exit status is there. It needs nothing of
the target but a POSIX shell, and works the same over every connection, with become, with or without a terminal.

Arguments:
    argv (list of str, required): the command; no shell sees it.
    chdir (str): folder to run it in.

Returns ``rc``, ``stdout_lines`` and ``changed`` (always true; a task narrows it with ``changed_when``). Fails when the
exit status is not 0. Does nothing in check mode. An interrupted play sends SIGTERM to the command; a lost connection
does not end it.
"""

from __future__ import annotations

import shlex
import signal
import time
from typing import Any, NoReturn

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

SECONDS_BETWEEN_LOCAL_LOOKS = 0.5
SECONDS_BETWEEN_REMOTE_LOOKS = 2.0
LOOKS_THAT_MAY_FAIL = 10
STATUS = "@exit-status "

display = Display()


class ActionModule(ActionBase):
    """See the module's docstring."""

    _VALID_ARGS = frozenset({"argv", "chdir"})
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the command to its end."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        argv = [str(word) for word in self._task.args.get("argv") or []]
        if not argv:
            raise AnsibleActionFail("argv: a command is required")
        if self._task.check_mode:
            return {**result, "changed": False, "skipped": True, "msg": f"check mode: not run: {shlex.join(argv)}"}

        # The default callback names a task when it has ended; without its name the lines would hang in the air.
        display.display(f"\n{self._task.get_name()}: {shlex.join(argv)}")
        folder = self._shell("mktemp -d").strip()
        try:
            self._start(argv, folder)
            lines, status = self._follow(folder)
        finally:
            self._shell(f"rm -rf {shlex.quote(folder)}")
        result.update(rc=status, changed=True)
        if status == 0:
            result["stdout_lines"] = lines
        else:
            # The lines stand right above; only the last one is repeated.
            result.update(failed=True, msg=f"exit status {status}: {lines[-1] if lines else 'no output'}")
        return result

    def _start(self, argv: list[str], folder: str) -> None:
        """Start the command in a session of its own, so that neither a lost connection nor a closed terminal ends it."""
        chdir = str(self._task.args.get("chdir") or "/")
        # Python buffers its output when it is not a terminal; lines would come in lumps.
        script = (
            f"cd {shlex.quote(chdir)} && PYTHONUNBUFFERED=1 {self._compute_environment_string()} {shlex.join(argv)}"
            f"; echo $? >{folder}/status.new; mv {folder}/status.new {folder}/status"
        )
        command = f"setsid sh -c {shlex.quote(script)} >{folder}/output 2>&1 </dev/null & echo $! >{folder}/pid"
        self._shell(command)

    def _follow(self, folder: str) -> tuple[list[str], int]:
        """Show lines as they come. Returns all of them, and the exit status."""
        local = self._connection.transport == "local"
        pause = SECONDS_BETWEEN_LOCAL_LOOKS if local else SECONDS_BETWEEN_REMOTE_LOOKS
        lines: list[str] = []
        failed_looks = 0

        def stop(number: int, _frame: object) -> NoReturn:
            # The command must not go on unseen. The shell that started it in the background made it ignore SIGINT.
            self._low_level_execute_command(f"kill -TERM -$(cat {folder}/pid)")
            raise SystemExit(128 + number)

        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while True:
                # The status is read before the output, so that no line can come after it.
                look = (
                    f"printf '{STATUS}%s\\n' \"$(cat {folder}/status 2>/dev/null)\"; tail -n +{len(lines) + 1} {folder}/output"
                )
                try:
                    _, _, answer = self._shell(look).partition(STATUS)
                    failed_looks = 0
                except AnsibleActionFail:
                    failed_looks += 1
                    if failed_looks > LOOKS_THAT_MAY_FAIL:
                        raise
                    time.sleep(pause)
                    continue
                # A terminal between here and there, as sudo gets one over ssh, ends lines with CRLF.
                status, _, output = answer.replace("\r\n", "\n").partition("\n")
                new = output.splitlines(keepends=True)
                if not status and new and not new[-1].endswith("\n"):
                    new.pop()  # unfinished; complete the next time
                for line in new:
                    display.display(f"  {line.rstrip()}")
                    lines.append(line.rstrip())
                if status:
                    return lines, int(status)
                time.sleep(pause)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _shell(self, command: str) -> str:
        """Run a short command on the target, as the task's user."""
        answer = self._low_level_execute_command(command)
        if answer["rc"] != 0:
            raise AnsibleActionFail(f"{command}: exit status {answer['rc']}: {answer['stdout']}{answer['stderr']}")
        return str(answer["stdout"])
