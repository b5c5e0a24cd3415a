"""Action plugin ``debian_packages``: install the packages that are missing.

Like ``ansible.builtin.apt``, but asks dpkg first: where nothing is missing no package list is fetched, and check mode works on
a clean machine, which may have no lists and must not get any.

Arguments:
    names (list of str, required): the packages.

Returns ``missing``: those that were not installed before. Never removes, upgrades or takes recommended packages along.
"""

from __future__ import annotations

import shlex
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

FORMAT = "${db:Status-Status} ${Package}\\n"


class ActionModule(ActionBase):
    """See the module's docstring."""

    _VALID_ARGS = frozenset({"names"})
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask, and install."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        names = self._task.args.get("names")
        if not isinstance(names, list):
            raise AnsibleActionFail("names: a list of packages is required")
        missing = self._missing([str(name) for name in names])
        result.update(changed=bool(missing), missing=missing)
        if missing and self._task.check_mode:
            result["msg"] = f"{', '.join(missing)} would be installed"
        elif missing:
            arguments = {"name": missing, "install_recommends": False, "update_cache": True}
            result.update(self._execute_module("ansible.builtin.apt", arguments, task_vars=task_vars))
        return result

    def _missing(self, names: list[str]) -> list[str]:
        if not names:
            return []
        # Its exit status says that dpkg does not know one of them, which is an answer.
        answer = self._low_level_execute_command(shlex.join(["dpkg-query", "--show", "--showformat", FORMAT, *names]))
        if answer["rc"] not in (0, 1):
            raise AnsibleActionFail(f"dpkg-query: exit status {answer['rc']}: {answer['stdout']}{answer['stderr']}")
        # A package of several architectures has a line each; the name is all that counts.
        installed = {line.split()[1] for line in str(answer["stdout"]).splitlines() if line.startswith("installed ")}
        return [name for name in names if name not in installed]
