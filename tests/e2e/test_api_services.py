"""Services through the API, the real socket proxy and the real Docker: what may be restarted, and what may not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from crowsnest.api.services.docker import COMPONENT_LABEL, PREFIX_LABEL
from infra.catalogue import catalogue
from infra.health import answers
from supply import images
from tests.e2e.api_support import Api, Session, running_api, wait_until
from tests.role_files import rendered

pytestmark = pytest.mark.docker

NOWHERE = "http://127.0.0.1:9"
PREFIX = f"cnsvc{os.getpid()}"
REFUSED = 403


def configuration(restartable: list[str]) -> str:
    """The proxy's configuration, as the role makes it."""
    component = catalogue()["socket-proxy"]
    assert component.probe.http
    return rendered(
        "socket_proxy",
        "haproxy.cfg.j2",
        socket_proxy_port=component.ports["http"].container,
        socket_proxy_health_path=component.probe.http.path,
        socket_proxy_restartable=restartable,
        socket_proxy_socket=next(iter(component.host_paths)),
    )


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def containers(client: Any) -> Iterator[dict[str, Any]]:
    """Two containers of a stack, one of another."""
    made: dict[str, Any] = {}
    image = images.packages_reference(catalogue()["redis"])
    try:
        for name, prefix in (("alloy", PREFIX), ("trader", PREFIX), ("foreign", "another")):
            made[name] = client.containers.run(
                image,
                ["redis-server", "--save", ""],
                name=f"{PREFIX}-{name}",
                detach=True,
                network_mode="none",
                labels={PREFIX_LABEL: prefix, COMPONENT_LABEL: name},
            )
        for container in made.values():
            container.reload()  # when it was started
        yield made
    finally:
        for container in made.values():
            container.remove(force=True, v=True)


@pytest.fixture(scope="module")
def proxy(client: Any, containers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    component = catalogue()["socket-proxy"]
    folder = tmp_path_factory.mktemp("proxy")
    folder.chmod(0o755)
    (folder / "haproxy.cfg").write_text(configuration([f"{PREFIX}-alloy"]), encoding="utf-8")
    mounts = [docker.types.Mount(str(component.config), str(folder), type="bind", read_only=True)]
    mounts += [
        docker.types.Mount(str(target), str(source), type="bind", read_only=True)
        for target, source in component.host_paths.items()
    ]
    container = client.containers.run(
        images.packages_reference(component),
        ["-f", f"{component.config}/haproxy.cfg"],
        name=f"{PREFIX}-proxy",
        user=component.user,
        detach=True,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        mem_limit=f"{component.limits.memory_mb}m",
        pids_limit=component.limits.pids,
        tmpfs=dict.fromkeys(component.tmpfs, "size=4m"),
        mounts=mounts,
    )
    try:
        assert component.probe.http
        deadline = time.monotonic() + 60
        container.reload()
        while not answers(container.attrs, component, component.probe.http):
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.2)
            container.reload()
        address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        yield f"http://{address}:{component.ports['http'].container}"
    finally:
        container.remove(force=True, v=True)


@pytest.fixture(scope="module")
def api(proxy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = {
        "CROWSNEST_API_DOCKER_URL": proxy,
        "CROWSNEST_API_NAME_PREFIX": PREFIX,
        # More than the proxy lets through: what counts in the end is the proxy.
        "CROWSNEST_API_RESTARTABLE": "alloy,trader",
        "CROWSNEST_API_SILENT": "alloy",
    }
    with running_api(tmp_path_factory.mktemp("api"), NOWHERE, **settings) as api:
        yield api


@pytest.fixture(scope="module")
def operator(api: Api) -> Session:
    return api.login()


def restart(session: Session, component: str, reason: str = "it hangs") -> Any:
    return session.post(f"/api/services/{component}/restart", json={"reason": reason}, timeout=120)


def test_the_stack_s_containers_are_shown_and_no_others(operator: Session) -> None:
    services = operator.get("/api/services").json()["services"]
    assert [(one["component"], one["state"], one["restartable"], one["has_records"]) for one in services] == [
        ("alloy", "running", True, False),
        ("trader", "running", True, True),
    ]


def test_a_restart_is_done_and_in_the_audit_log(operator: Session, containers: dict[str, Any]) -> None:
    before = containers["alloy"].attrs["State"]["StartedAt"]
    answer = restart(operator, "alloy", "it no longer reads")
    assert answer.status_code == 200, answer.text
    containers["alloy"].reload()
    assert containers["alloy"].attrs["State"]["StartedAt"] > before
    assert containers["alloy"].status == "running"
    done, begun = operator.get("/api/audit", limit=2).json()["rows"]
    assert (begun["outcome"], done["outcome"]) == ("allowed", "done")
    assert begun["action"] == "services.restart"
    assert begun["detail"] == {"component": "alloy", "reason": "it no longer reads"}


def test_what_the_stack_does_not_name_is_refused_before_docker_is_asked(operator: Session, containers: dict[str, Any]) -> None:
    before = {name: container.attrs["State"]["StartedAt"] for name, container in containers.items() if name != "alloy"}
    for component in ("foreign", "socket-proxy", "api", "no-such-thing"):
        answer = restart(operator, component)
        assert answer.status_code == REFUSED
        assert "those that are: alloy, trader" in answer.json()["detail"]
    for name, started in before.items():
        containers[name].reload()
        assert containers[name].attrs["State"]["StartedAt"] == started


def test_what_the_proxy_does_not_name_is_refused_by_it(operator: Session, containers: dict[str, Any]) -> None:
    started = containers["trader"].attrs["State"]["StartedAt"]
    answer = restart(operator, "trader")
    assert answer.status_code == REFUSED
    assert "the socket proxy does not restart" in answer.json()["detail"]
    containers["trader"].reload()
    assert containers["trader"].attrs["State"]["StartedAt"] == started
    assert operator.get("/api/audit", limit=1).json()["rows"][0]["outcome"] == "failed:forbidden"


def test_viewers_look_and_restart_nothing(api: Api) -> None:
    viewer = api.add_user("victor")
    assert viewer.get("/api/services").status_code == 200
    assert restart(viewer, "alloy").status_code == REFUSED


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501], ids=["empty", "blank", "long"])
def test_without_a_reason_nothing_is_restarted(operator: Session, reason: str) -> None:
    assert restart(operator, "alloy", reason).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1.41/containers/{prefix}-trader/restart"),
        ("POST", "/v1.41/containers/{prefix}-alloy/stop"),
        ("POST", "/v1.41/containers/create"),
        ("GET", "/v1.41/containers/{prefix}-alloy/json"),
        ("GET", "/v1.41/info"),
    ],
)
def test_the_proxy_itself_lets_nothing_else_through(proxy: str, method: str, path: str) -> None:
    import requests

    answer = requests.request(method, proxy + path.format(prefix=PREFIX), timeout=10)
    assert answer.status_code == REFUSED


def test_without_docker_the_api_says_so_and_does_not_wait(tmp_path: Path) -> None:
    settings = {"CROWSNEST_API_DOCKER_URL": NOWHERE, "CROWSNEST_API_RESTARTABLE": "alloy"}
    with running_api(tmp_path, NOWHERE, **settings) as api:
        session = api.login()
        begun = time.monotonic()
        answer = session.get("/api/services")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:crowsnest:problem:docker-unavailable")
        assert restart(session, "alloy").status_code == 503
        assert time.monotonic() - begun < 15
        wait_until(lambda: session.get("/api/audit", limit=1).json()["rows"][0]["outcome"] == "failed:docker-unavailable", 5)
