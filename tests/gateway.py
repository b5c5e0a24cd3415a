"""The gateway's configuration as the role renders it for a stack, for tests of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible.plugins.filter.core import regex_replace

from infra.catalogue import PROJECT_ROOT, catalogue
from infra.gateway import TOOLS
from infra.settings import Settings, parse

ROLE = PROJECT_ROOT / "roles" / "gateway"
COMPONENT = catalogue()["caddy"]
# What Grafana would be told; it has an entry of the catalogue when its pipeline does.
GRAFANA = {"name": "grafana", "upstream": "grafana:3000", **TOOLS["grafana"].model_dump(exclude={"title"})}


def stack(gateway: dict[str, Any] | None = None, **tree: Any) -> Settings:
    pipelines = {"logs": {"collector": "none"}, "viewer": None, "metrics": {"containers": "none"}, "gateway": gateway}
    return parse("some", {"pipelines": pipelines, **tree})


def caddyfile(settings: Settings, **values: Any) -> str:
    """The file for a stack's settings; `values` are the role's variables that differ."""
    described: Any = settings.describe()["gateway"]
    facts = {
        "gateway_names": described["names"],
        "gateway_https_port": described["https_port"],
        "gateway_container_https_port": COMPONENT.ports["https"].container,
        "gateway_container_http_port": COMPONENT.ports["http"].container,
        "gateway_container_status_port": COMPONENT.ports["status"].container,
        "gateway_container_data_directory": COMPONENT.data,
        "gateway_api": f"api:{catalogue()['api'].ports['http'].container}",
        "gateway_own_authority": described["own_authority"],
        "gateway_acme_email": described["acme"].get("email", ""),
        "gateway_acme_directory": described["acme"].get("directory", ""),
        "gateway_tools": described["tools"],
    }
    environment = jinja2.Environment(
        trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    environment.filters["regex_replace"] = regex_replace
    environment.tests["match"] = lambda text, pattern: re.match(pattern, text) is not None
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    text = (ROLE / "templates/Caddyfile.j2").read_text()
    return environment.from_string(text).render({"ansible_managed": "Ansible managed", **defaults, **facts, **values})


def write(folder: Path, text: str) -> Path:
    file = folder / "Caddyfile"
    file.write_text(text)
    return file
