#!/usr/bin/python
"""Ansible module ``password_document``: a JSON object in which every key has the content of a secret's file.

The secret is read, written and forgotten in this process. Nothing of it is returned, logged or passed as an argument.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: password_document
short_description: A JSON object in which every key has the content of a secret's file
description:
  - Writes the object when it differs from what is there.
options:
  source:
    description: File that holds the secret.
    type: path
    required: true
  path:
    description: File to write. Its folder must be there and must be writable for trusted users only.
    type: path
    required: true
  keys:
    description: Keys of the object.
    type: list
    elements: str
    required: true
extends_documentation_fragment: [ansible.builtin.files]
author: [Crowsnest]
"""


def write(path: Path, text: str) -> None:
    """Put the text in place at once."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)  # left by an interrupted run
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "path": {"type": "path", "required": True},
            "keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
        },
        add_file_common_args=True,
        supports_check_mode=True,
    )
    source, path = Path(module.params["source"]), Path(module.params["path"])
    if not source.exists() and module.check_mode:  # on a clean machine check mode has made no secret
        module.exit_json(changed=True, path=str(path))
    try:
        secret = source.read_text(encoding="utf-8").strip()
        if not secret:
            module.fail_json(msg=f"{source} is empty: run the secrets role first")
        text = json.dumps(dict.fromkeys(module.params["keys"], secret), indent=1) + "\n"
        changed = not path.exists() or path.read_text(encoding="utf-8") != text
        if changed and not module.check_mode:
            write(path, text)
    except OSError as error:
        module.fail_json(msg=f"cannot make {path} from {source}: {error.strerror}")
    attributes = module.load_file_common_arguments(module.params)
    if path.exists():
        changed = module.set_fs_attributes_if_different(attributes, changed)
    module.exit_json(changed=changed, path=str(path))


if __name__ == "__main__":
    main()
