"""The catalogue is complete, consistent, and the only place where its values stand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

import crowsnest
from crowsnest.logs._contract import DEFAULT_VICTORIALOGS_URL
from crowsnest.metrics._tables import PLANES
from crowsnest.settings import METRICS_PORTS
from infra.catalogue import PROJECT_ROOT, Catalogue, catalogue

# Files that have to carry a version in their own format; other tests hold them equal to the catalogue.
MIRRORS = ("requirements.in", "requirements.txt", "go.mod", "go.sum", "catalogue.lock", "package-lock.json")
CODE = (".py", ".yml", ".yaml", ".toml", ".cfg", ".sh", ".j2", ".in", "Makefile", ".alloy", ".conf", ".acl", "run")


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    return [PROJECT_ROOT / line for line in listed.stdout.splitlines() if (PROJECT_ROOT / line).is_file()]


def code_files() -> list[Path]:
    return [
        path
        for path in tracked_files()
        if path.name.endswith(CODE) and path.name not in (*MIRRORS, "catalogue.yml") and "tests" not in path.parts
    ]


def changed(**replacements: object) -> dict[str, object]:
    tree = yaml.safe_load((PROJECT_ROOT / "catalogue.yml").read_text())
    for path, value in replacements.items():
        *folders, leaf = path.split("__")
        node = tree["components"]
        for folder in folders:
            node = node[folder]
        node[leaf] = value
    return tree


@pytest.mark.parametrize("component", catalogue().components.values(), ids=lambda component: component.name)
def test_every_entry_is_complete(component):
    assert component.summary
    assert component.licence
    assert bool(component.probe_command) != bool(component.probe.http)
    assert component.limits.memory_mb >= 16
    assert component.stop.grace_seconds >= 10
    # QuestDB looks in its data folder only.
    assert not component.config or component.config.startswith(("/etc/", f"{component.data}/"))
    assert set(component.networks) <= set(catalogue().networks)
    recipe = PROJECT_ROOT / "supply" / "images" / component.name
    assert recipe.is_dir() == bool(component.packages), "a recipe and `packages` go together"
    source = catalogue().image_source(component)
    assert source.packages or source.upstream
    if source is not component:
        # The folders are in the image, with the owners of the other component's.
        assert (component.config, component.tmpfs) == (source.config, source.tmpfs)
    assert not any("{" in word for word in component.probe_command)


def test_published_ports_are_unique():
    ports = [port.published for component in catalogue().components.values() for port in component.ports.values()]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize(
    ("replacements", "message"),
    [
        ({"redis__ports__resp__published": 5432}, "port 5432 is claimed by both postgresql and redis"),
        ({"redis__uid": 10020}, "uid 10020 is claimed by both postgresql and redis"),
        ({"redis__secrets": ["postgresql_password"]}, "secret postgresql_password is claimed by both"),
        ({"redis__colour": "red"}, "Extra inputs are not permitted"),
        ({"redis__ports__resp__container": 70000}, "less than or equal to 65535"),
        ({"redis__data": "data"}, "must be an absolute path"),
        ({"redis__exceptions": [{"rule": "non_root", "reason": "because"}]}, "at least 20 characters"),
        ({"trader__packages": None}, "it comes from nowhere"),
        ({"redis__probe__http": {"path": "/health"}}, "a probe is either `test` or `http`"),
        ({"alloy-trader__image_of": None}, "it comes from nowhere"),
        ({"alloy-trader__image_of": "nobody"}, "image_of: 'nobody' has no image of its own"),
        ({"redis__image_of": "alloy"}, "it runs another component's image"),
        ({"alloy-trader__reads": {"/var/log/x": "nobody/logs"}}, "reads: there is no component 'nobody' with data"),
        ({"telegraf__reads": {"/var/log/x": "ticks-relay/logs"}}, "reads: there is no component 'ticks-relay' with data"),
        ({"alloy-trader__reads": {"/var/log/x": "../etc"}}, "String should match pattern"),
        ({"victorialogs__probe__http": {"port": "admin", "path": "/health"}}, "'admin' is not one of its ports: http"),
        ({"caddy__reload": {"signal": "SIGKILL"}}, "Input should be 'SIGHUP' or 'SIGUSR1'"),
        ({"caddy__reload": {"signal": "SIGUSR1", "path": "/load"}}, "a reload is either `path` or `signal`"),
    ],
)
def test_a_bad_entry_is_refused(replacements, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        Catalogue.model_validate(changed(**replacements))


def test_no_version_or_port_stands_anywhere_else():
    versions = {upstream.version for one in catalogue().components.values() if (upstream := one.upstream)}
    versions |= {one.packages.version for one in catalogue().components.values() if one.packages}
    versions |= set(catalogue().tools.model_dump().values())
    ports = {
        str(number)
        for one in catalogue().components.values()
        for port in one.ports.values()
        for number in (port.container, port.published)
    }
    # A bare major version such as "17" is a number like any other; only dotted ones can be recognised. So are 80 and 443.
    values = {value for value in versions if "." in value} | {port for port in ports if int(port) > 1023}
    # The library is used without the catalogue: its version and its documented default address are its own.
    own = {PROJECT_ROOT / "src" / "crowsnest" / name for name in ("__init__.py", "logs/_contract.py", "settings.py")}
    pattern = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, sorted(values))) + r")(?![\w.]|:\d)")
    repeated = [
        f"{path.relative_to(PROJECT_ROOT)}:{number}: {line.strip()}"
        for path in code_files()
        if path not in own
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not repeated, "\n".join(repeated)


def test_what_the_library_has_of_its_own_equals_the_catalogue():
    assert crowsnest.__version__ == catalogue()["trader"].packages.version
    assert catalogue()["victorialogs"].url() == DEFAULT_VICTORIALOGS_URL
    planes = {name: port.container for name, port in catalogue()["trader"].ports.items()}
    assert planes == {name: METRICS_PORTS[name] for name in PLANES}


def test_nothing_names_a_registry_host():
    hosts = re.compile(
        r"proxy\.golang|sum\.golang|registry\.npmjs|files\.pythonhosted|pypi\.org|repo1?\.maven|repo\.maven|deb\.debian"
        r"|static\.crates|index\.crates"
    )
    named = [
        str(path.relative_to(PROJECT_ROOT))
        for path in tracked_files()
        if path != Path(__file__).resolve() and hosts.search(path.read_text(errors="replace"))
    ]
    assert not named
