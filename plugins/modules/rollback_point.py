#!/usr/bin/python
"""Ansible module: keeps what a role is about to replace, and brings it back.

A rollback point is a folder below ``/var/lib/crowsnest/rollback`` with the files, units, packages and kernel parameters that
a role touches, as they were before the role touched them for the first time. What is kept is never overwritten: the role may
run a hundred times, the point stays the machine as its owner left it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: rollback_point
short_description: Keep what a role replaces, and bring it back
description:
  - With C(state=kept), notes how the named things are. Things noted before are left as they were noted.
  - With C(state=restored), removes the packages that were not there, installs those that were, puts files, units and
    kernel parameters back, and forgets the point.
options:
  name: {description: Name of the point; the role's., type: str, required: true}
  state: {description: What to do., type: str, required: true, choices: [kept, restored]}
  paths:
    description: Files, links and folders. Of a folder, only that it is there and its mode and owner.
    type: list
    elements: path
  packages: {description: Debian packages., type: list, elements: str}
  units: {description: systemd units; whether they are enabled, masked and active., type: list, elements: str}
  sysctl: {description: Kernel parameters; their running values., type: list, elements: str}
  directory: {description: Where points are kept., type: path, default: /var/lib/crowsnest/rollback}
"""
EXAMPLES = """
- name: Keep what the role replaces
  rollback_point:
    name: journal
    state: kept
    paths: [/etc/systemd/journald.conf.d/crowsnest.conf]
    units: [systemd-journald.service]
"""

# States of `systemctl is-enabled` that somebody chose; the others follow from the unit file.
CHOSEN = {"enabled": "enable", "disabled": "disable", "masked": "mask"}
INSTALLED = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"]
APT = ["apt-get", "--yes", "--quiet", "--option", "DPkg::Lock::Timeout=120"]
DEPENDENCIES = [
    "apt-cache", "depends", "--recurse", "--installed",
    *(f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")),
]  # fmt: skip


class RollbackPoint:
    """One point on disk: ``state.json`` and the contents of files."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.folder = Path(module.params["directory"]) / module.params["name"]
        self.index = self.folder / "state.json"
        self.kept = json.loads(self.index.read_text(encoding="utf-8")) if self.index.exists() else {}
        self.warnings: list[str] = []

    def run(self, *argv: str, check: bool = True) -> str:
        """Standard output of a command, stripped."""
        environment = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        return self.module.run_command(list(argv), check_rc=check, environ_update=environment)[1].strip()

    def installed(self) -> set[str]:
        """Names of the packages that are installed."""
        lines = self.run(*INSTALLED, check=False).splitlines()
        return {line.split(" ", 1)[1] for line in lines if line.startswith("installed ")}

    # keeping

    def keep(self) -> bool:
        """Note what was not noted before.

        Returns:
            Whether there was anything to note.
        """
        looks = {"paths": self.look_at_path, "units": self.look_at_unit, "sysctl": self.look_at_sysctl}
        new = {
            kind: [name for name in self.module.params[kind] or [] if name not in self.kept.get(kind, {})]
            for kind in (*looks, "packages")
        }
        if not any(new.values()):
            return False
        if self.module.check_mode:
            return True
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if new["packages"]:
            installed = self.installed()
            self.kept.setdefault("all_packages", sorted(installed))
            self.kept.setdefault("packages", {}).update({name: name in installed for name in new["packages"]})
        for kind, look in looks.items():
            self.kept.setdefault(kind, {}).update({name: look(name) for name in new[kind]})
        self.write()
        return True

    def look_at_path(self, name: str) -> dict[str, object]:
        """What a path is, with the content of a file copied into the point."""
        path = Path(name)
        try:
            found = path.lstat()
        except FileNotFoundError:
            return {"kind": "absent"}
        entry: dict[str, object] = {"uid": found.st_uid, "gid": found.st_gid, "mode": stat.S_IMODE(found.st_mode)}
        if stat.S_ISLNK(found.st_mode):
            return {**entry, "kind": "link", "target": str(path.readlink())}
        if stat.S_ISDIR(found.st_mode):
            return {**entry, "kind": "folder"}
        shutil.copyfile(path, self.content(name))
        self.content(name).chmod(0o600)
        return {**entry, "kind": "file"}

    def look_at_unit(self, name: str) -> dict[str, str]:
        """Whether a unit is enabled and active, in systemd's words."""
        return {question: self.run("systemctl", f"is-{question}", name, check=False) for question in ("enabled", "active")}

    def look_at_sysctl(self, name: str) -> str | None:
        """The running value, or None where the kernel has no such parameter."""
        return self.run("sysctl", "--values", "--ignore", name, check=False) or None

    def content(self, name: str) -> Path:
        """Where the content of a file is kept."""
        return self.folder / hashlib.sha256(name.encode()).hexdigest()[:24]

    def write(self) -> None:
        """The index, whole or not at all."""
        new = self.index.with_suffix(".new")
        new.write_text(json.dumps(self.kept, indent=1, sort_keys=True), encoding="utf-8")
        new.chmod(0o600)
        new.replace(self.index)

    # restoring

    def restore(self) -> bool:
        """Bring everything back, and forget the point.

        Returns:
            Whether there was a point.
        """
        if not self.kept or self.module.check_mode:
            return bool(self.kept)
        self.remove_packages()
        self.install_packages()
        # Files of a folder before the folder when it goes, after it when it comes.
        paths = self.kept.get("paths", {})
        for name in sorted((name for name, entry in paths.items() if entry["kind"] == "absent"), reverse=True):
            self.remove(Path(name))
        for name in sorted(name for name, entry in paths.items() if entry["kind"] != "absent"):
            self.put_back(name, paths[name])
        for name, value in self.kept.get("sysctl", {}).items():
            if value is not None:
                self.run("sysctl", "--quiet", "--write", f"{name}={value}", check=False)
        if self.kept.get("units"):
            self.run("systemctl", "daemon-reload")
            for name, entry in self.kept["units"].items():
                self.restore_unit(name, entry)
        shutil.rmtree(self.folder)
        return True

    def remove_packages(self) -> None:
        """Packages that were not there, and what was installed only for them."""
        extra = [name for name in sorted(self.installed()) if self.kept.get("packages", {}).get(name) is False]
        if not extra:
            return
        # Not apt's autoremove: it leaves what another package merely recommends, or could do without, and it takes along
        # what an administrator has stopped needing.
        needed = {line for line in self.run(*DEPENDENCIES, *extra).splitlines() if not line.startswith((" ", "<"))}
        automatic = set(self.run("apt-mark", "showauto").splitlines())
        self.run(*APT, "purge", *extra)
        came_along = (needed & automatic & self.installed()) - set(self.kept["all_packages"])
        if unneeded := self.without_others(came_along):
            self.run(*APT, "purge", *sorted(unneeded))

    def without_others(self, names: set[str]) -> set[str]:
        """Those that can go while everything else stays."""

        def taken_along(*some: str) -> set[str]:
            lines = self.run(*APT, "--simulate", "purge", *some).splitlines()
            return {line.split()[1] for line in lines if line.startswith(("Purg ", "Remv "))}

        if not names or taken_along(*sorted(names)) <= names:
            return names
        return {name for name in names if taken_along(name) <= names}

    def install_packages(self) -> None:
        """Packages that were there, and that one of the role's took the place of."""
        installed = self.installed()
        gone = [name for name, was_there in self.kept.get("packages", {}).items() if was_there and name not in installed]
        if gone:
            self.run(*APT, "update")
            self.run(*APT, "install", "--no-install-recommends", *sorted(gone))

    def remove(self, path: Path) -> None:
        """A path that was not there before. A folder that holds something stays."""
        if path.is_dir() and not path.is_symlink():
            try:
                path.rmdir()
            except OSError:
                self.warnings.append(f"{path} is not empty and stays")
        else:
            path.unlink(missing_ok=True)

    def put_back(self, name: str, entry: dict[str, object]) -> None:
        """A path as it was, whole or not at all."""
        path = Path(name)
        if entry["kind"] == "folder":
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}.rollback")
            new.unlink(missing_ok=True)
            if entry["kind"] == "link":
                new.symlink_to(str(entry["target"]))
            else:
                shutil.copyfile(self.content(name), new)
            self.own(new, entry)
            new.replace(path)
        self.own(path, entry)

    def own(self, path: Path, entry: dict[str, object]) -> None:
        """Owner and mode as they were."""
        os.chown(path, int(str(entry["uid"])), int(str(entry["gid"])), follow_symlinks=False)
        if entry["kind"] != "link":
            path.chmod(int(str(entry["mode"])))

    def restore_unit(self, name: str, entry: dict[str, str]) -> None:
        """A unit as it was; one that ran is restarted, so that it reads the files that came back."""
        if (
            self.run("systemctl", "show", "--property", "LoadState", "--value", name) == "not-found"
            and entry["enabled"] != "masked"
        ):
            return
        if entry["enabled"] != "masked":
            self.run("systemctl", "unmask", name, check=False)
        if entry["enabled"] in CHOSEN:
            self.run("systemctl", CHOSEN[entry["enabled"]], name, check=False)
        self.run("systemctl", "restart" if entry["active"] == "active" else "stop", name, check=False)
        now = self.run("systemctl", "is-active", name, check=False)
        if entry["active"] == "active" and now != "active":
            self.warnings.append(f"{name} ran before and is {now} now: journalctl -u {name}")


def main() -> None:
    """Entry point of the module."""
    lists = {name: {"type": "list", "elements": "str", "default": []} for name in ("packages", "units", "sysctl")}
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "required": True, "choices": ["kept", "restored"]},
            "paths": {"type": "list", "elements": "path", "default": []},
            "directory": {"type": "path", "default": "/var/lib/crowsnest/rollback"},
            **lists,
        },
        supports_check_mode=True,
    )
    point = RollbackPoint(module)
    changed = point.keep() if module.params["state"] == "kept" else point.restore()
    for warning in point.warnings:
        module.warn(warning)
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
