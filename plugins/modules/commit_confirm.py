#!/usr/bin/python
"""Ansible module: a change that undoes itself unless it is confirmed.

Before a change that may lock everyone out (sshd, firewall), ``armed`` keeps the files as they are and starts a timer. The
role then makes the change, opens a fresh connection and says ``confirmed``, which stops the timer. When nobody gets through,
the timer puts the files back and runs the commands that make them hold. It survives a reboot in between.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: commit_confirm
short_description: A change that undoes itself unless it is confirmed
description:
  - With C(state=armed), keeps files as they are and starts a timer that brings them back and runs C(commands).
    When the timer runs already, the files kept first stay and the timer starts anew.
  - With C(state=confirmed), stops the timer. Fails when it has fired, which means that the change was undone.
options:
  name: {description: Name of the change; the role's., type: str, required: true}
  state: {description: What to do., type: str, required: true, choices: [armed, confirmed]}
  paths: {description: Files to bring back; those that are not there yet are removed again., type: list, elements: path}
  commands: {description: Shell commands that apply the files once they are back., type: list, elements: str}
  seconds: {description: Time to confirm in., type: int, default: 45}
  directory: {description: Where files are kept until then., type: path, default: /var/lib/crowsnest/commit-confirm}
"""
EXAMPLES = """
- name: Arm the way back
  commit_confirm:
    name: ssh
    state: armed
    paths: [/etc/ssh/sshd_config.d/00-crowsnest.conf]
    commands: [systemctl reload ssh.service]
"""

UNITS = Path("/etc/systemd/system")
SERVICE = """# Temporary: undoes a change of {name} that was not confirmed.
[Unit]
Description=Undo the unconfirmed change of {name}
DefaultDependencies=no

[Service]
Type=oneshot
ExecStart=/bin/sh {script}
"""
TIMER = """# Temporary: see {unit}.service.
[Unit]
Description=Time left to confirm the change of {name}

[Timer]
OnActiveSec={seconds}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


class Change:
    """One change that waits to be confirmed: a folder with files and a script, a service and a timer."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.name: str = module.params["name"]
        self.folder = Path(module.params["directory"]) / self.name
        self.script = self.folder / "revert.sh"
        self.reverted = self.folder / "reverted"
        self.unit = f"crowsnest-revert-{self.name}"
        self.service, self.timer = UNITS / f"{self.unit}.service", UNITS / f"{self.unit}.timer"

    def systemctl(self, *argv: str, check: bool = True) -> str:
        """Standard output of systemctl, stripped."""
        return self.module.run_command(["systemctl", *argv], check_rc=check)[1].strip()

    def arm(self) -> None:
        """Keep the files and start the timer."""
        if not self.script.exists() or self.reverted.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, mode=0o700)
            self.write(self.script, "\n".join(self.revert_lines()) + "\n")
        values = {"name": self.name, "unit": self.unit, "script": self.script, "seconds": self.module.params["seconds"]}
        self.write(self.service, SERVICE.format(**values), 0o644)
        self.write(self.timer, TIMER.format(**values), 0o644)
        self.systemctl("daemon-reload")
        self.systemctl("enable", "--quiet", self.timer.name)
        self.systemctl("restart", self.timer.name)

    def revert_lines(self) -> list[str]:
        """The script that undoes the change. One line that fails does not keep the others from running."""
        lines = ["# Undoes a change that was not confirmed."]
        for number, path in enumerate(map(Path, self.module.params["paths"])):
            if path.exists():
                kept = self.folder / str(number)
                self.module.preserved_copy(str(path), str(kept))
                lines.append(f"cp --preserve=all {shlex.quote(str(kept))} {shlex.quote(str(path))}")
            else:
                lines.append(f"rm -f {shlex.quote(str(path))}")
        lines += self.module.params["commands"]
        # The unit files go last: removing them does not end the service that runs this.
        units = f"{shlex.quote(str(self.timer))} {shlex.quote(str(self.service))}"
        return [
            *lines,
            f"touch {shlex.quote(str(self.reverted))}",
            f"systemctl disable {self.timer.name}",
            f"rm -f {units}",
            "systemctl daemon-reload",
        ]

    def write(self, path: Path, text: str, mode: int = 0o600) -> None:
        """A file, whole or not at all."""
        new = path.with_name(f".{path.name}.new")
        new.write_text(text, encoding="utf-8")
        new.chmod(mode)
        new.replace(path)

    def confirm(self) -> bool:
        """Stop the timer.

        Returns:
            Whether a change was waiting.
        """
        if not self.folder.exists():
            return False
        self.systemctl("stop", self.timer.name, check=False)
        if self.reverted.exists() or self.systemctl("is-active", self.service.name, check=False) == "activating":
            self.module.fail_json(
                msg=f"The change of {self.name} was undone: no fresh connection came through within "
                f"{self.module.params['seconds']} s. The machine is as it was before. Compare the address, port and user of "
                "this connection with the role's variables."
            )
        self.systemctl("disable", "--quiet", self.timer.name, check=False)
        self.timer.unlink(missing_ok=True)
        self.service.unlink(missing_ok=True)
        self.systemctl("daemon-reload")
        shutil.rmtree(self.folder)
        return True


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "required": True, "choices": ["armed", "confirmed"]},
            "paths": {"type": "list", "elements": "path", "default": []},
            "commands": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "int", "default": 45},
            "directory": {"type": "path", "default": "/var/lib/crowsnest/commit-confirm"},
        },
        supports_check_mode=True,
    )
    change = Change(module)
    if module.params["seconds"] < 10:
        module.fail_json(msg=f"seconds is {module.params['seconds']}: give the fresh connection at least 10")
    if module.check_mode:
        module.exit_json(changed=False)
    if module.params["state"] == "armed":
        change.arm()
        module.exit_json(changed=True)
    module.exit_json(changed=change.confirm())


if __name__ == "__main__":
    main()
