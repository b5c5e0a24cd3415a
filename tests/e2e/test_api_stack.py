"""The viewer pipeline as a stack runs it: hardened container, first user from the secret file, command line, drift, end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import docker
import pytest
import requests

from tests.e2e.conftest import StackUnderTest

pytestmark = [pytest.mark.docker, pytest.mark.stack]


@pytest.fixture(scope="module")
def viewer(make_stack: Callable[..., StackUnderTest]) -> StackUnderTest:
    tree = {
        "name_prefix": "cnapi",
        "port_offset": 31000,
        "pipelines": {"logs": {"collector": "none"}, "viewer": None},
        "publish": ["victorialogs.http", "api.http"],
    }
    stack = make_stack("cnapi", tree)
    stack.configure()
    stack.up()
    return stack


def command(client: docker.DockerClient, viewer: StackUnderTest, *words: str) -> tuple[int, str]:
    done = client.containers.get(viewer.container("api")).exec_run(["python3", "-m", "crowsnest.api", *words])
    return done.exit_code, done.output.decode()


def signed_in(viewer: StackUnderTest) -> requests.Session:
    session = requests.Session()
    password = viewer.secret("api_admin_password").read_text()
    answer = session.post(
        f"{viewer.url('api.http')}/api/auth/login", json={"username": "admin", "password": password}, timeout=10
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["role"] == "operator"
    return session


def test_the_first_user_signs_in_with_the_secret_and_reads_what_is_stored(viewer: StackUnderTest):
    session, url = signed_in(viewer), viewer.url("api.http")
    record = {"_msg": "hello", "strategy_id": "a", "source": "strategy", "level": "INFO"}
    requests.post(
        f"{viewer.url('victorialogs.http')}/insert/jsonline?_stream_fields=strategy_id,source,level",
        data=json.dumps(record),
        headers={"Content-Type": "application/stream+json"},
        timeout=10,
    )
    deadline = time.monotonic() + 10
    while not (rows := session.get(f"{url}/api/logs/query", timeout=10).json()["rows"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert rows[0]["_msg"] == "hello"
    assert session.get(f"{url}/api/logs/health", timeout=10).json()["status"] == "healthy"


def test_the_password_is_in_no_place_but_its_file(client: docker.DockerClient, viewer: StackUnderTest):
    container = client.containers.get(viewer.container("api"))
    password = viewer.secret("api_admin_password").read_text()
    assert len(password) >= 40
    assert viewer.secret("api_admin_password").stat().st_mode & 0o077 == 0
    assert password not in json.dumps(container.attrs)
    assert password not in container.logs().decode()
    assert not [
        path for path in (viewer.folder / "state").rglob("*") if path.is_file() and password.encode() in path.read_bytes()
    ]


def test_the_command_line_works_inside_the_container(client: docker.DockerClient, viewer: StackUnderTest):
    assert command(client, viewer, "users", "add", "bob", "--strategy", "a")[0] == 0
    assert "bob" in command(client, viewer, "users", "list")[1]
    assert "intact" in command(client, viewer, "audit", "verify")[1]
    assert command(client, viewer, "users", "add", "bob")[0] == 2


def test_a_second_up_changes_nothing_and_users_stay_when_the_container_is_replaced(
    client: docker.DockerClient, viewer: StackUnderTest
):
    before = client.containers.get(viewer.container("api")).id
    viewer.up()
    assert client.containers.get(viewer.container("api")).id == before
    assert not viewer.run("drift").document["findings"]
    viewer.run("down")
    viewer.up()
    assert client.containers.get(viewer.container("api")).id != before
    assert "bob" in command(client, viewer, "users", "list")[1]
    assert signed_in(viewer)


def test_it_ends_in_order_and_in_time(client: docker.DockerClient, viewer: StackUnderTest):
    container = client.containers.get(viewer.container("api"))
    begun = time.monotonic()
    container.stop()
    assert time.monotonic() - begun < 5
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0
