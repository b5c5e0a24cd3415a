"""A plain ``pulumi up``: the program of ``Pulumi.yaml`` under the real engine, without this project's command line.

The official Python language plugin cannot be had from package registries. It runs ``main`` as a script with the stack's
configuration set; here the Automation API does the same with the same script.
"""

from __future__ import annotations

import os
import runpy
import shutil
from pathlib import Path

import pytest
import yaml
from pulumi import automation

from infra import settings as stack_settings
from infra.catalogue import PROJECT_ROOT
from supply import tools

pytestmark = [
    pytest.mark.docker,
    # The Automation API's own language server leaves sockets and loops to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def run_main() -> None:
    main = yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text())["main"]
    runpy.run_path(str(PROJECT_ROOT / main), run_name="__main__")


@pytest.mark.parametrize("stack", ["demo", "dev"])
def test_the_project_file_and_a_stack_file_are_enough(
    stack: str, tmp_path: Path, pulumi_command: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    folders = [Path(pulumi_command).parent, tools.docker_provider("packages", print)]
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, folders), os.environ["PATH"]]))
    for name in ("Pulumi.yaml", f"Pulumi.{stack}.yaml"):
        shutil.copy(PROJECT_ROOT / name, tmp_path)
    (tmp_path / "infra").symlink_to(PROJECT_ROOT / "infra")
    environment = {
        "PULUMI_BACKEND_URL": f"file://{tmp_path}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    workspace = automation.LocalWorkspace(work_dir=str(tmp_path), program=run_main, env_vars=environment)
    planned = automation.Stack.create_or_select(stack, workspace).preview()
    settings = stack_settings.read(stack)
    images = volumes = len(settings.components)
    volumes -= sum(1 for component in settings.components if not component.data)
    networks = len({name for one in settings.components for name in one.networks} | {"edge"})
    pipelines = len(settings.pipelines.enabled)
    # Each component is a container and the Service around it; stack and provider come on top.
    expected = 2 * len(settings.components) + images + volumes + networks + pipelines + 2
    assert planned.change_summary == {automation.OpType.CREATE: expected}
