#!/usr/bin/python
"""Ansible module ``monitoring_role``: a role of PostgreSQL in a container that may read statistics.

The password is read from its file and written to psql's standard input. Nothing of it is returned, logged or passed as an
argument.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: monitoring_role
short_description: A role of PostgreSQL in a container that may read statistics
description:
  - Makes the role, sets its password and grants it C(pg_monitor), where its password does not open the database already.
  - Does nothing while there is no such container, or in check mode.
options:
  container:
    description: Name of the container.
    type: str
    required: true
  port:
    description: Port inside the container.
    type: int
    required: true
  superuser:
    description: Who makes the role.
    type: str
    required: true
  superuser_secret:
    description: Where the container sees the superuser's password.
    type: path
    required: true
  database:
    description: Database to connect to.
    type: str
    required: true
  role:
    description: Name of the role.
    type: str
    required: true
  password_file:
    description: File on the host with its password.
    type: path
    required: true
author: [Crowsnest]
"""

TIMEOUT_SECONDS = 60
# The first line of standard input is a password; what follows is for psql.
SHELL = (
    'IFS= read -r PGPASSWORD; export PGPASSWORD; exec psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$0" -U "$1" -d "$2"'
)
FROM_FILE = (
    'PGPASSWORD=$(cat "$3"); export PGPASSWORD; exec psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$0" -U "$1" -d "$2"'
)
READY = "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND pg_has_role('pg_monitor', 'MEMBER') AND NOT rolsuper;\n"


def run(container: str, script: str, arguments: list[str], standard_input: str) -> subprocess.CompletedProcess[str]:
    """A shell in the container."""
    return subprocess.run(
        ["docker", "exec", "-i", container, "sh", "-c", script, *arguments],
        input=standard_input, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False,
    )  # fmt: skip


def is_running(container: str) -> bool:
    """Whether there is such a container, and it runs."""
    asked = ["docker", "inspect", "--format", "{{.State.Running}}", container]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    return answer.stdout.strip() == "true"


def statements(role: str, password: str) -> str:
    """SQL that makes the role or sets its password; safe to repeat."""
    quoted = password.replace("'", "''")
    return f"""
SELECT 'CREATE ROLE {role}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec
ALTER ROLE {role} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 5 PASSWORD '{quoted}';
GRANT pg_monitor TO {role};
"""  # noqa: S608 - psql binds no variables in a password's place; the name was checked, the password is quoted


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "superuser": {"type": "str", "required": True},
            "superuser_secret": {"type": "path", "required": True, "no_log": False},
            "database": {"type": "str", "required": True},
            "role": {"type": "str", "required": True},
            "password_file": {"type": "path", "required": True, "no_log": False},
        },
        supports_check_mode=True,
    )
    given = module.params
    if not is_running(given["container"]) or module.check_mode:
        module.exit_json(changed=False, msg=f"{given['container']} does not run, or this is check mode")
    port = str(given["port"])
    try:
        password = Path(given["password_file"]).read_text(encoding="utf-8").strip()
        asked = run(given["container"], SHELL, [port, given["role"], given["database"]], f"{password}\n{READY}")
        if asked.returncode == 0 and asked.stdout.strip() == "1":
            module.exit_json(changed=False)
        arguments = [port, given["superuser"], given["database"], given["superuser_secret"]]
        made = run(given["container"], FROM_FILE, arguments, statements(given["role"], password))
    except (OSError, subprocess.TimeoutExpired) as error:
        module.fail_json(msg=f"cannot make the role {given['role']}: {type(error).__name__}")
    if made.returncode != 0:
        # psql repeats a statement it refuses, and with it the password.
        reason = made.stderr.replace(password, "…").strip().splitlines()
        module.fail_json(msg=f"cannot make the role {given['role']}: {reason[0] if reason else 'psql gave no reason'}")
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
