#!/usr/bin/python
"""Ansible module ``database_role``: a role of PostgreSQL in a container that may log in, and what it may do.

The password is read from its file and written to psql's standard input. Nothing of it is returned, logged or passed as an
argument.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: database_role
short_description: A role of PostgreSQL in a container that may log in, and what it may do
description:
  - Makes the role, sets its password, and gives it what is named, where it does not have all of that already.
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
  member_of:
    description: Roles whose rights it has.
    type: list
    elements: str
    default: []
  owns_schema:
    description: Schema that is its own, made where it is missing; empty for none.
    type: str
    default: ""
  connections:
    description: How many it may have at once.
    type: int
    default: 5
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


def is_ready(given: dict) -> str:
    """SQL, asked by the role itself, that answers t when nothing has to be done."""
    conditions = ["NOT rolsuper", f"rolconnlimit = {given['connections']}"]
    conditions += [f"pg_has_role('{name}', 'MEMBER')" for name in given["member_of"]]
    if given["owns_schema"]:
        conditions.append(
            f"EXISTS (SELECT FROM pg_namespace WHERE nspname = '{given['owns_schema']}' AND nspowner = pg_roles.oid)"
        )
    return f"SELECT {' AND '.join(conditions)} FROM pg_roles WHERE rolname = current_user;\n"  # noqa: S608 - checked names


def statements(given: dict, password: str) -> str:
    """SQL that makes the role what it should be; safe to repeat."""
    role, schema, quoted = given["role"], given["owns_schema"], password.replace("'", "''")
    rights = [f"GRANT {name} TO {role};" for name in given["member_of"]]
    if schema:
        rights += [f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role};", f"ALTER SCHEMA {schema} OWNER TO {role};"]
    return f"""
SELECT 'CREATE ROLE {role}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec
ALTER ROLE {role} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION
    CONNECTION LIMIT {given["connections"]} PASSWORD '{quoted}';
{chr(10).join(rights)}
"""  # noqa: S608 - psql binds no variables in a password's place; the names were checked, the password is quoted


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
            "member_of": {"type": "list", "elements": "str", "default": []},
            "owns_schema": {"type": "str", "default": ""},
            "connections": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    given = module.params
    if not is_running(given["container"]) or module.check_mode:
        module.exit_json(changed=False, msg=f"{given['container']} does not run, or this is check mode")
    port = str(given["port"])
    try:
        password = Path(given["password_file"]).read_text(encoding="utf-8").strip()
        asked = run(given["container"], SHELL, [port, given["role"], given["database"]], f"{password}\n{is_ready(given)}")
        if asked.returncode == 0 and asked.stdout.strip() == "t":
            module.exit_json(changed=False)
        arguments = [port, given["superuser"], given["database"], given["superuser_secret"]]
        made = run(given["container"], FROM_FILE, arguments, statements(given, password))
    except (OSError, subprocess.TimeoutExpired) as error:
        module.fail_json(msg=f"cannot make the role {given['role']}: {type(error).__name__}")
    if made.returncode != 0:
        # psql repeats a statement it refuses, and with it the password.
        reason = made.stderr.replace(password, "…").strip().splitlines()
        module.fail_json(msg=f"cannot make the role {given['role']}: {reason[0] if reason else 'psql gave no reason'}")
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
