#!/usr/bin/python
"""Ansible module ``secret_file``: a file with a random secret, made once.

The secret is made, written and forgotten in this process. Nothing of it is returned, logged or passed as an argument.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: secret_file
short_description: A file with a random secret, made once
description:
  - Writes 32 random bytes in URL-safe base64, without an end of line, to a file that is missing or empty.
  - A file with content keeps it. Owner, group and mode are set in both cases.
options:
  path:
    description: The file. Its folder must be there and must be writable for trusted users only.
    type: path
    required: true
extends_documentation_fragment: [ansible.builtin.files]
author: [Crowsnest]
"""

RANDOM_BYTES = 32


def is_missing(path: Path) -> bool:
    """Whether there is no secret: no file, or one that an interrupted write or a full disk left empty."""
    return not path.exists() or path.stat().st_size == 0


def write_secret(module: AnsibleModule, path: Path, attributes: dict) -> None:
    """Put a new secret in place at once: a reader sees all of it or nothing, also after a power failure."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)  # left by an interrupted run
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_urlsafe(RANDOM_BYTES))
        stream.flush()
        os.fsync(stream.fileno())
    module.set_fs_attributes_if_different({**attributes, "path": str(draft)}, changed=False)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}},
        add_file_common_args=True,
        supports_check_mode=True,
    )
    path = Path(module.params["path"])
    attributes = module.load_file_common_arguments(module.params)
    missing = is_missing(path)
    if missing and not module.check_mode:
        try:
            write_secret(module, path, attributes)
        except OSError as error:
            module.fail_json(msg=f"cannot write {path}: {error.strerror}")
    changed = missing
    if path.exists():
        changed = module.set_fs_attributes_if_different(attributes, changed)
    module.exit_json(changed=changed, path=str(path))


if __name__ == "__main__":
    main()
