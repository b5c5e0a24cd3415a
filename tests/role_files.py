"""A role's file as Ansible renders it, for tests of the component that reads it."""

from __future__ import annotations

import re
from typing import Any

import jinja2
import yaml

from infra.catalogue import PROJECT_ROOT


def rendered(role: str, template: str, **values: Any) -> str:
    """Text of a role's template with the role's defaults; ``values`` are variables that have none, or that differ.

    Raises:
        jinja2.UndefinedError: a variable without default is missing.
    """
    folder = PROJECT_ROOT / "roles" / role
    defaults = yaml.safe_load((folder / "defaults" / "main.yml").read_text(encoding="utf-8")) or {}
    environment = jinja2.Environment(
        trim_blocks=True, autoescape=False, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["regex_escape"] = re.escape
    text = (folder / "templates" / template).read_text(encoding="utf-8")
    return environment.from_string(text).render({"ansible_managed": "test", **defaults, **values})
