"""Alloy itself, with the role's files, makes of each line of the table the record that stands beside it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import docker
import pytest

from infra.catalogue import PROJECT_ROOT, catalogue
from infra.pipelines.logs import COLLECTOR_COMMANDS
from supply import images
from tests.containers.lines import TIME, Line, lines

from .delivery import log_store

pytestmark = pytest.mark.docker

DOCKER_PIECE_BYTES = 16_384  # Docker cuts longer lines
STREAM_FIELDS = ("source", "container_name", "level")
SECONDS_TO_COME = 60


def identity(line: Line) -> str:
    """The id of the container that prints this line, and nothing else."""
    return hashlib.sha256(line.name.encode()).hexdigest()


def as_docker_writes(line: Line) -> str:
    """The lines of Docker's json-file."""
    if line.dead_letter is not None:
        return f"{line.text}\n"
    written = []
    for text in line.text.split("\n"):
        data = text.encode("utf-8", "surrogateescape") + b"\n"
        pieces = [data[at : at + DOCKER_PIECE_BYTES] for at in range(0, len(data), DOCKER_PIECE_BYTES)]
        for piece in pieces:
            entry = {"log": piece.decode("utf-8", "replace"), "stream": line.stream, "attrs": {"tag": line.name}, "time": TIME}
            written.append(json.dumps(entry) + "\n")
    return "".join(written)


def place(folder: Path, url: str) -> None:
    """The role's files, by the role."""
    variables = {
        "alloy_config_directory": str(folder),
        "alloy_uid": catalogue()["alloy"].uid,
        "alloy_url": url,
        "alloy_docker_containers_directory": catalogue()["alloy"].container_logs,
    }
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "roles": [{"role": "alloy"} | variables]}]
    playbook = folder.parent / "alloy.yml"
    playbook.write_text(json.dumps(play), encoding="utf-8")
    subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "--inventory=localhost,", playbook],
        cwd=PROJECT_ROOT, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ANSIBLE_ROLES_PATH": str(PROJECT_ROOT / "roles")},
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Records by container, once all that is to come has come."""
    folder, client = tmp_path_factory.mktemp("alloy"), docker.from_env()
    for line in lines():
        home = folder / "containers" / identity(line)
        home.mkdir(parents=True)
        (home / f"{identity(line)}-json.log").write_text(as_docker_writes(line), encoding="utf-8")
    (folder / "config").mkdir()
    (folder / "data").mkdir()
    alloy = catalogue()["alloy"]
    mounts = {folder / "containers": alloy.container_logs, folder / "config": alloy.config, folder / "data": alloy.data}
    with log_store(client) as store:
        place(folder / "config", store.url)
        container = client.containers.run(
            images.ensure(alloy, "packages", client, print).reference, COLLECTOR_COMMANDS["alloy"](alloy), detach=True,
            volumes={str(source): {"bind": target, "mode": "rw"} for source, target in mounts.items()},
        )  # fmt: skip
        try:
            wanted = sum("drop_rule" not in line.record for line in lines())
            deadline = time.monotonic() + SECONDS_TO_COME
            while len(store.rows("*")) < wanted and time.monotonic() < deadline:
                time.sleep(1)
            time.sleep(3)  # one too many would come now
            rows = store.rows("*")
        finally:
            container.remove(force=True, v=True)
    client.close()
    names = {row["container_name"] for row in rows}
    return {name: [row for row in rows if row["container_name"] == name] for name in names}


# A text of several lines that no collector joins: docs/delivery.md says so.
PRINTED = [line for line in lines() if line.name != "private key"]


@pytest.mark.parametrize("line", [pytest.param(line, id=line.name) for line in PRINTED])
def test_a_line_becomes_its_record(stored: dict[str, list[dict[str, Any]]], line: Line):
    name = line.name if line.dead_letter is None else identity(line)[:12]
    rows = stored.get(name, [])
    if "drop_rule" in line.record:
        assert rows == []
        return
    [row] = rows
    record = {key: value for key, value in line.expected.items() if key not in ("_time", "raw")} | {"container_name": name}
    fields = {key: value for key, value in row.items() if key not in {"_time", "_stream", "_stream_id", *line.characters}}

    assert fields == {key: as_stored(value) for key, value in record.items()}
    assert row["_stream"] == "{" + ",".join(f'{key}="{record[key]}"' for key in sorted(STREAM_FIELDS)) + "}"
    if line.dead_letter is None:
        assert row["_time"].rstrip("Z") == TIME.rstrip("Z")


def as_stored(value: object) -> str:
    """VictoriaLogs keeps texts. Alloy writes a whole number without a fraction: 105.0 is 105."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
