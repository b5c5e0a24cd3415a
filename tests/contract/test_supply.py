"""The supply against a real Docker daemon: images that were built run as they will be run, and get healthy.

The official way is tested with Debian's `docker-registry`, a real registry on loopback; skipped where it is not installed.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import docker.errors
import pytest
from docker.models.containers import Container

from infra import health
from infra.catalogue import PROJECT_ROOT, Component, Upstream, catalogue
from infra.pipelines.logs import COLLECTOR_COMMANDS
from supply import images, keys, lock, recipe, registry
from supply.errors import SupplyError
from tests.gateway import caddyfile, stack
from tests.role_files import rendered

pytestmark = pytest.mark.docker

BUILT = [name for name, component in catalogue().components.items() if component.packages]
PASSWORD = "correct horse"
GATEWAY_COMMAND = ["run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
REDIS_CONFIGURATION = """\
bind 0.0.0.0
dir /data
save 60 1
user default off
user probe on >probe ~* -@all +ping
user app on >secret ~* &* +@all
"""
QUESTDB = ["-Xmx128m", "-m", "io.questdb/io.questdb.ServerMain", "-d", str(catalogue()["questdb"].data)]
TELEGRAF_CONFIGURATION = f"""\
[[inputs.internal]]
[[inputs.tail]]
files = ["/var/log/none"]
data_format = "json"
[[outputs.influxdb_v2]]
urls = ["http://127.0.0.1:1"]
bucket = "none"
namepass = ["none"]
[[outputs.socket_writer]]
address = "udp://127.0.0.1:1"
data_format = "influx"
namepass = ["none"]
[[outputs.prometheus_client]]
listen = ":{catalogue()["telegraf"].ports["metrics"].container}"
"""
API = {
    "VICTORIALOGS_URL": "http://127.0.0.1:1",
    "CROWSNEST_API_HOST": "0.0.0.0",
    "CROWSNEST_API_PORT": str(catalogue()["api"].ports["http"].container),
    "CROWSNEST_API_DATABASE": f"{catalogue()['api'].data}/api.sqlite3",
    "CROWSNEST_API_ADMIN_PASSWORD_FILE": "/run/secrets/password",
}
RELAY = {
    "CROWSNEST_TICKS_QUESTDB_URL": "http://127.0.0.1:1",
    "CROWSNEST_TICKS_QUESTDB_USER": "crowsnest",
    "CROWSNEST_TICKS_QUESTDB_PASSWORD_FILE": "/run/secrets/password",
    "CROWSNEST_TICKS_HOST": "0.0.0.0",
    "CROWSNEST_TICKS_PORT": str(catalogue()["ticks-relay"].ports["http"].container),
    "CROWSNEST_TICKS_RETENTION": "1d",
    "CROWSNEST_TICKS_RETENTION_SIZE": "1GiB",
}


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@dataclasses.dataclass
class Runner:
    """Starts containers the way the platform does, and removes them."""

    client: docker.DockerClient
    folder: Path

    def image(self, name: str) -> str:
        return images.ensure(catalogue()[name], "packages", self.client, print).reference

    def data(self, component: Component) -> Path:
        path = self.folder / component.name
        path.mkdir(exist_ok=True)
        os.chown(path, component.owner, component.uid)
        return path

    def readable(self, component: Component, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o400)
        os.chown(path, component.owner, component.uid)
        return path

    def start(
        self, component: Component, command: list[str], *, files: dict[str, Path] | None = None, **options: object
    ) -> Container:
        """Start it; ``files`` are mounted read-only, by their path in the container."""
        mounts = [docker.types.Mount(target, str(path), type="bind", read_only=True) for target, path in (files or {}).items()]
        if component.data:
            mounts.append(docker.types.Mount(component.data, str(self.data(component)), type="bind"))
        container: Container = self.client.containers.run(
            self.image(component.name), command, name=f"cnsup-{component.name}", detach=True,
            network_mode="bridge" if component.probe.http else "none",
            mounts=mounts, user=component.user, read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"],
            tmpfs={path: f"size={size}m" for path, size in component.tmpfs.items()}, shm_size=f"{component.shm_mb}m",
            mem_limit=f"{component.limits.memory_mb}m", pids_limit=component.limits.pids, **options,
        )  # fmt: skip
        return container

    def healthy(self, container: Container, component: Component) -> None:
        deadline = time.monotonic() + component.probe.start_seconds
        while True:
            container.reload()
            assert container.status in ("created", "running"), container.logs().decode()
            if probed(container, component):
                return
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.3)

    def stop(self, container: Container, component: Component) -> int:
        """End it with the catalogue's signal; its exit code."""
        container.kill(component.stop.signal)
        code = container.wait(timeout=component.stop.grace_seconds)["StatusCode"]
        container.remove()
        return int(code)


def probed(container: Container, component: Component) -> bool:
    if component.probe.http:
        return health.answers(container.attrs, component, component.probe.http)
    return bool(container.exec_run(component.probe_command).exit_code == 0)


@pytest.fixture
def runner(client: docker.DockerClient, tmp_path: Path) -> Iterator[Runner]:
    if os.geteuid() != 0:
        pytest.skip("needs root to give folders to the components' users")
    tmp_path.chmod(0o755)

    def clean() -> None:
        for name in BUILT:
            with contextlib.suppress(docker.errors.NotFound):
                client.containers.get(f"cnsup-{name}").remove(force=True)

    clean()
    yield Runner(client, tmp_path)
    clean()


@pytest.mark.parametrize("name", BUILT)
def test_image_says_what_it_is(client: docker.DockerClient, runner: Runner, name: str) -> None:
    component = catalogue()[name]
    configuration = client.images.get(runner.image(name)).attrs["Config"]
    assert configuration["User"] == component.user
    assert configuration["Labels"]["org.opencontainers.image.title"] == name
    assert configuration["Labels"]["org.opencontainers.image.licenses"] == component.licence
    assert configuration["Labels"]["crowsnest.content_key"] == keys.image_key(component, recipe.read_image(name))
    assert set(configuration.get("ExposedPorts") or {}) == {f"{port.container}/tcp" for port in component.ports.values()}


@pytest.mark.parametrize("name", BUILT)
def test_image_has_no_file_that_raises_privileges(client: docker.DockerClient, runner: Runner, name: str) -> None:
    container = client.containers.create(runner.image(name), name=f"cnsup-{name}")
    with (
        subprocess.Popen(["docker", "export", container.id], stdout=subprocess.PIPE) as export,
        tarfile.open(fileobj=export.stdout, mode="r|") as tar,
    ):
        members = [(member.name, member.mode) for member in tar]
    assert len(members) > 50
    assert [path for path, mode in members if mode & 0o6000] == []
    assert not {"usr/bin/apt", "usr/bin/dpkg", "usr/bin/pip", "usr/bin/perl"} & {path for path, _ in members}


def test_unchanged_content_is_not_built_again(client: docker.DockerClient, runner: Runner) -> None:
    runner.image("redis")
    lines: list[str] = []
    started = time.monotonic()
    images.ensure(catalogue()["redis"], "auto", client, lines.append)
    assert time.monotonic() - started < 1
    assert len(lines) == 1
    assert "on this machine" in lines[0]


def test_plan_is_cheap(client: docker.DockerClient) -> None:
    images.plan(catalogue()["trader"], "auto", client)
    started = time.monotonic()
    for _ in range(5):
        images.plan(catalogue()["trader"], "auto", client)
    assert (time.monotonic() - started) / 5 < 0.05


def test_victorialogs(runner: Runner) -> None:
    component = catalogue()["victorialogs"]
    command = ["-storageDataPath=/data", "-retentionPeriod=1d"]
    container = runner.start(component, command)
    runner.healthy(container, component)
    assert b"v1.121.0-crowsnest" in container.logs()
    assert runner.stop(container, component) == 0


def redis_configuration(runner: Runner) -> Path:
    return runner.readable(catalogue()["redis"], "redis.conf", REDIS_CONFIGURATION)


def test_redis(runner: Runner) -> None:
    component = catalogue()["redis"]
    files = {"/etc/redis/redis.conf": redis_configuration(runner)}
    call = ["redis-cli", "--no-auth-warning", "--user", "app", "--pass", "secret"]
    container = runner.start(component, [], files=files)
    runner.healthy(container, component)
    assert container.exec_run([*call, "set", "key", "kept"]).output == b"OK\n"
    assert runner.stop(container, component) == 0
    container = runner.start(component, ["--loglevel", "notice"], files=files)
    runner.healthy(container, component)
    assert container.exec_run([*call, "get", "key"]).output == b"kept\n"
    assert runner.stop(container, component) == 0


@dataclasses.dataclass(frozen=True)
class Least:
    """The least that a component starts with: arguments, environment, and files by their path in the container."""

    command: list[str] = dataclasses.field(default_factory=list)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    entrypoint: list[str] | None = None


def with_file(component: Component, name: str, text: str, option: str, *more: str) -> Least:
    """Started with one configuration file."""
    path = f"{component.config}/{name}"
    return Least([*(f"{option}{path}".split(" ")), *more], files={path: text})


def listening(component: Component) -> str:
    return f"--web.listen-address=:{component.ports['http'].container}"


def of_log_metrics(component: Component) -> Least:
    values = {"port": component.ports["http"].container, "container_data_directory": component.data, "kept": "24h"}
    facts = {f"{component.name}_{name}": value for name, value in values.items()}
    name = f"{component.name}.yaml"
    return with_file(component, name, rendered(component.name, f"{name}.j2", **facts), "-config.file=")


def of_socket_proxy(component: Component) -> Least:
    assert component.probe.http
    text = rendered(
        "socket_proxy",
        "haproxy.cfg.j2",
        socket_proxy_port=component.ports["http"].container,
        socket_proxy_health_path=component.probe.http.path,
        socket_proxy_restartable=["none"],
        socket_proxy_socket=next(iter(component.host_paths)),
    )
    return with_file(component, "haproxy.cfg", text, "-f ")


# Java says that it was asked to end by a signal; programs of Go that do not listen for one end with 2.
ENDS_WITH = {"questdb": 128 + signal.SIGTERM, "node-exporter": 2, "postgres-exporter": 2}
LEAST: dict[str, Callable[[Component], Least]] = {
    "victorialogs": lambda one: Least([f"-storageDataPath={one.data}"]),
    "redis": lambda one: Least(files={f"{one.config}/redis.conf": REDIS_CONFIGURATION}),
    "alloy": lambda one: Least(COLLECTOR_COMMANDS[one.name](one), files={f"{one.config}/config.alloy": "logging {}\n"}),
    "caddy": lambda one: Least(GATEWAY_COMMAND, files={f"{one.config}/Caddyfile": caddyfile(stack())}, entrypoint=["caddy"]),
    "api": lambda _: Least(["serve"], API, {"/run/secrets/password": PASSWORD}),
    "socket-proxy": of_socket_proxy,
    "mimir": of_log_metrics,
    "loki": of_log_metrics,
    "questdb": lambda _: Least(QUESTDB),
    "telegraf": lambda one: with_file(one, "telegraf.conf", TELEGRAF_CONFIGURATION, "--config "),
    "ticker": lambda one: Least(environment={"LOG_FILE_NAME": f"{one.data}/trader.logs"}),
    "ticks-relay": lambda _: Least([], RELAY, {"/run/secrets/password": PASSWORD}),
    "prometheus": lambda one: with_file(
        one, "prometheus.yml", "global: {}\n", "--config.file=", f"--storage.tsdb.path={one.data}", listening(one)
    ),
    "alertmanager": lambda one: with_file(
        one,
        "alertmanager.yml",
        "route: {receiver: none}\nreceivers: [{name: none}]\n",
        "--config.file=",
        f"--storage.path={one.data}",
        "--cluster.listen-address=",
        listening(one),
    ),
    "node-exporter": lambda one: Least([listening(one)]),
    "blackbox-exporter": lambda one: with_file(one, "blackbox.yml", "modules: {}\n", "--config.file=", listening(one)),
    "postgres-exporter": lambda one: Least([listening(one)], {"DATA_SOURCE_URI": "127.0.0.1:1/none"}),
}


def started(runner: Runner, component: Component) -> Container:
    """The component with the least that it needs."""
    if component.name == "postgresql":
        return Postgres(runner).start()
    least = LEAST.get(component.name, lambda _: Least())(component)
    files = {
        path: runner.readable(component, f"{component.name}-{Path(path).name}", text) for path, text in least.files.items()
    }
    options = {"entrypoint": least.entrypoint} if least.entrypoint else {}
    return runner.start(component, least.command, files=files, environment=least.environment, **options)


@pytest.mark.parametrize("name", BUILT)
def test_same_container_starts_again(runner: Runner, name: str) -> None:
    """As after a crash or a reboot: its tmpfs folders must be writable the second time too."""
    component = catalogue()[name]
    container = started(runner, component)
    for _ in range(3):
        runner.healthy(container, component)
        container.kill("SIGKILL")
        container.wait()
        container.start()
    runner.healthy(container, component)
    assert runner.stop(container, component) == ENDS_WITH.get(name, 0)


def test_trader(runner: Runner) -> None:
    component = catalogue()["trader"]
    container = runner.start(component, [])
    runner.healthy(container, component)
    assert runner.stop(container, component) == 0


def test_questdb_keeps_acknowledged_rows_through_a_kill(runner: Runner) -> None:
    """With its native libraries from beside the jars: the container's own folders run nothing."""
    component = catalogue()["questdb"]
    container = started(runner, component)
    runner.healthy(container, component)

    def ask(path: str, body: bytes | None = None) -> str:
        address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        token = base64.b64encode(f"crowsnest:{PASSWORD}".encode()).decode()
        url = f"http://{address}:{component.ports['http'].container}{path}"
        request = urllib.request.Request(url, body, headers={"Authorization": f"Basic {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())

    ask("/write", b"row x=1 1763700000000000000\n")
    container.kill("SIGKILL")
    container.wait()
    container.start()
    runner.healthy(container, component)
    deadline = time.monotonic() + 20
    while '"count":1' not in (found := ask("/exec?query=select+*+from+row")) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert '"count":1' in found
    assert component.packages
    assert component.packages.version in ask("/exec?query=select+build()")
    assert runner.stop(container, component) in (0, 143)


def test_telegraf_has_the_plugins_that_are_used(runner: Runner) -> None:
    component = catalogue()["telegraf"]
    container = started(runner, component)
    runner.healthy(container, component)
    assert component.packages
    assert component.packages.version.removeprefix("v").encode() in container.logs()
    assert runner.stop(container, component) == 0


class Postgres:
    """PostgreSQL as the platform starts it."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.component = catalogue()["postgresql"]
        self.cluster = runner.data(self.component) / "17" / "docker"
        self.password = runner.readable(self.component, "password", PASSWORD)

    def start(self, *command: str) -> Container:
        secret = "/run/secrets/postgresql_password"
        environment = {"POSTGRES_USER": "crowsnest", "POSTGRES_DB": 'crows"nest', "POSTGRES_PASSWORD_FILE": secret}
        return self.runner.start(self.component, list(command), environment=environment, files={secret: self.password})

    def ready(self, *command: str) -> Container:
        container = self.start(*command)
        self.runner.healthy(container, self.component)
        return container

    def sql(self, container: Container, statement: str, password: str = PASSWORD) -> tuple[int, str]:
        command = ["psql", "-h", "127.0.0.1", "-U", "crowsnest", "-d", 'crows"nest', "-Atc", statement]
        result = container.exec_run(command, environment={"PGPASSWORD": password})
        return int(result.exit_code), result.output.decode()

    def stop(self, container: Container) -> int:
        return self.runner.stop(container, self.component)


@pytest.fixture
def postgres(runner: Runner) -> Postgres:
    return Postgres(runner)


def test_postgresql_keeps_data_over_a_clean_restart(postgres: Postgres) -> None:
    container = postgres.ready("-c", "max_connections=33")
    assert postgres.sql(container, "create table fill as select 7 as price")[0] == 0
    for setting, value in [("max_connections", "33"), ("data_checksums", "on"), ("password_encryption", "scram-sha-256")]:
        assert postgres.sql(container, f"show {setting}") == (0, f"{value}\n")
    assert postgres.stop(container) == 0
    container = postgres.ready()
    assert postgres.sql(container, "select price from fill") == (0, "7\n")
    assert "automatic recovery" not in container.logs().decode()
    assert postgres.stop(container) == 0


def test_postgresql_wants_the_password_everywhere(postgres: Postgres) -> None:
    container = postgres.ready()
    code, output = postgres.sql(container, "select 1", password="wrong")
    assert (code, "password authentication failed" in output) == (2, True)
    assert container.exec_run(["psql", "-w", "-U", "crowsnest", "-d", "postgres", "-c", "select 1"]).exit_code == 2
    assert PASSWORD not in container.logs().decode()
    assert postgres.stop(container) == 0


def test_postgresql_survives_an_interrupted_first_start(postgres: Postgres) -> None:
    container = postgres.start()
    unfinished = postgres.cluster.with_name("docker.unfinished")
    deadline = time.monotonic() + 30
    while not (unfinished / "PG_VERSION").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    container.remove(force=True)
    assert not postgres.cluster.exists()
    container = postgres.ready()
    assert "an earlier first start was interrupted" in container.logs().decode()
    assert not unfinished.exists()
    assert postgres.sql(container, "select 1") == (0, "1\n")
    assert postgres.stop(container) == 0


def test_postgresql_never_touches_files_it_does_not_know(postgres: Postgres) -> None:
    postgres.cluster.mkdir(parents=True)
    (postgres.cluster / "precious").write_text("data")
    for path in (postgres.cluster, postgres.cluster.parent):
        os.chown(path, postgres.component.uid, postgres.component.uid)
    container = postgres.start()
    assert container.wait(timeout=20)["StatusCode"] == 1
    assert "holds files but no cluster" in container.logs().decode()
    assert (postgres.cluster / "precious").read_text() == "data"


def test_postgresql_without_password_says_so(runner: Runner) -> None:
    container = runner.start(catalogue()["postgresql"], [])
    assert container.wait(timeout=20)["StatusCode"] == 1
    assert "set POSTGRES_PASSWORD_FILE" in container.logs().decode()


# A redis of its own, so that no running stack's image is touched: another licence is another content key.
BUILD_OF_ITS_OWN = """
import docker
from infra.catalogue import catalogue
from supply import images
component = catalogue()["redis"].model_copy(update={"licence": "of a test"})
images.ensure(component, "packages", docker.from_env(), print)
"""


def test_interrupted_build_resumes(client: docker.DockerClient, tmp_path: Path) -> None:
    """Kill a build while packages are unpacked; the next one ends well and leaves nothing unfinished."""
    cache = tmp_path / "cache"
    cache.mkdir()
    tmp_path.chmod(0o755)
    reference = images.packages_reference(catalogue()["redis"].model_copy(update={"licence": "of a test"}))
    build = [sys.executable, "-c", BUILD_OF_ITS_OWN]
    environment = {**os.environ, "CROWSNEST_CACHE_DIR": str(cache), "PYTHONPATH": str(PROJECT_ROOT)}
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.images.remove(reference)
    try:
        with subprocess.Popen(build, env=environment, stdout=subprocess.PIPE) as process:
            while not list(cache.glob("tmp/mmdebstrap/*")):
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        assert not list(cache.glob("artifacts/redis/*"))
        subprocess.run(build, env=environment, check=True)
        assert client.images.get(reference).tags == [reference]
        assert not (cache / "tmp").exists()
    finally:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.remove(reference)


@dataclasses.dataclass
class Registry:
    """A registry of its own on loopback, filled with small images."""

    client: docker.DockerClient
    address: str

    def push(self, tag: str, content: str) -> str:
        """Push an image that differs by its label; its digest in the registry."""
        repository = f"{self.address}/team/redis"
        built = images.ensure(catalogue()["redis"], "packages", self.client, print).reference
        container = self.client.containers.create(built, name="cnsup-push")
        container.commit(repository=repository, tag=tag, changes=f"LABEL content={content}")
        container.remove()
        answer = list(self.client.images.push(repository, tag=tag, stream=True, decode=True))
        assert not [event for event in answer if "error" in event], answer
        digest = next(event["aux"]["Digest"] for event in answer if "aux" in event)
        self.forget_local()
        return str(digest)

    def forget_local(self) -> None:
        """Remove every local image of this registry, so that the next use must pull."""
        for image in self.client.images.list():
            names = [*image.tags, *(image.attrs.get("RepoDigests") or [])]
            for name in names:
                if name.startswith(f"{self.address}/"):
                    with contextlib.suppress(docker.errors.ImageNotFound):
                        self.client.images.remove(name, force=True)

    def component(self, tag: str) -> Component:
        upstream = Upstream(image=f"{self.address}/team/redis", version=tag)
        return catalogue()["redis"].model_copy(update={"upstream": upstream})


@pytest.fixture
def local_registry(client: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("needs docker-registry (Debian package of that name)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = tmp_path / "registry.yml"
    settings.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    )
    registry.forget()
    monkeypatch.setattr(lock, "PATH", tmp_path / "catalogue.lock")
    with subprocess.Popen([program, "serve", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        served = Registry(client, f"127.0.0.1:{port}")
        yield served
        served.forget_local()
        process.terminate()
    registry.forget()


def test_unlocked_pull_is_pinned_to_what_came(client: docker.DockerClient, local_registry: Registry) -> None:
    digest = local_registry.push("1.0", "first")
    component, lines = local_registry.component("1.0"), list[str]()
    chosen = images.ensure(component, "upstream", client, lines.append)
    assert chosen.reference == f"{local_registry.address}/team/redis:1.0@{digest}"
    assert client.images.get(chosen.reference).labels["content"] == "first"
    assert "run `make lock`" in "\n".join(lines)
    assert images.plan(component, "upstream", client).reference == chosen.reference


def test_lock_holds_against_a_tag_that_moves(client: docker.DockerClient, local_registry: Registry) -> None:
    first = local_registry.push("1.0", "first")
    component = local_registry.component("1.0")
    lock.write([component], client, print, accept_moved=False)
    assert lock.read().digest(component) == first
    second = local_registry.push("1.0", "second")
    assert second != first
    chosen = images.ensure(component, "upstream", client, print)
    assert chosen.reference.endswith(f"1.0@{first}")
    assert client.images.get(chosen.reference).labels["content"] == "first"
    with pytest.raises(SupplyError, match="tags moved"):
        lock.write([component], client, print, accept_moved=False)
    lock.write([component], client, print, accept_moved=True)
    assert lock.read().digest(component) == second


def test_tag_that_does_not_exist_is_named(client: docker.DockerClient, local_registry: Registry) -> None:
    local_registry.push("1.0", "first")
    component = local_registry.component("9.9")
    with pytest.raises(SupplyError, match=r"team/redis:9\.9 does not exist"):
        lock.write([component], client, print, accept_moved=False)
    assert not lock.PATH.exists()
    with pytest.raises(SupplyError, match=r"team/redis:9\.9 does not exist"):
        images.ensure(component, "upstream", client, print)


def test_auto_prefers_the_image_built_here_then_pulls(client: docker.DockerClient, local_registry: Registry) -> None:
    local_registry.push("1.0", "first")
    component = local_registry.component("1.0")
    assert images.ensure(component, "auto", client, print).supply == "packages"
    other = component.model_copy(update={"licence": "another, hence another key"})
    assert images.ensure(other, "auto", client, print).supply == "upstream"


def test_registry_that_is_away_fails_fast_and_once(client: docker.DockerClient) -> None:
    registry.forget()
    upstream = Upstream(image="127.0.0.1:1/team/redis", version="1.0")
    component = catalogue()["redis"].model_copy(update={"upstream": upstream})
    started = time.monotonic()
    for _ in range(3):
        with pytest.raises(SupplyError, match="cannot be reached"):
            images.ensure(component, "upstream", client, print)
    assert time.monotonic() - started < registry.PROBE_SECONDS + 1
    registry.forget()
