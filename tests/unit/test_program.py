"""The Pulumi program under mocks: what each stack declares, and that every container keeps every hardening rule."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from infra import settings as stack_settings
from infra.catalogue import catalogue
from infra.checkpoint import CONTAINER, IMAGE, NETWORK, VOLUME
from infra.daemon import Daemon
from infra.platform import declare
from infra.service import go_duration


class Recorder(Mocks):
    """Keeps every resource that is declared; knows no function calls."""

    def __init__(self) -> None:
        self.declared: list[MockResourceArgs] = []

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict]:
        self.declared.append(args)
        outputs = {**args.inputs, "imageId": f"sha256:{args.name}"} if args.typ == IMAGE else args.inputs
        return f"{args.name}-id", outputs

    def call(self, args: MockCallArgs) -> dict:
        raise AssertionError(f"unexpected call {args.token}")

    def of_type(self, token: str) -> dict[str, dict]:
        return {one.inputs["name"]: one.inputs for one in self.declared if one.typ == token}


@contextmanager
def event_loops() -> Iterator[None]:
    """Event loops for the SDK, closed at the end: its mocks make one in each thread that answers a call, and leave it open."""
    loops: list[asyncio.AbstractEventLoop] = []

    def give_thread_its_own() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loops.append(loop)
        asyncio.set_event_loop(loop)
        return loop

    try:
        with ThreadPoolExecutor(initializer=give_thread_its_own) as executor:
            give_thread_its_own().set_default_executor(executor)
            yield
    finally:
        asyncio.set_event_loop(None)
        for loop in loops:
            loop.close()


def declared(stack: str) -> Recorder:
    return of_settings(stack_settings.read(stack))


def of_tree(tree: dict) -> Recorder:
    return of_settings(stack_settings.parse("some", tree))


def of_settings(settings: stack_settings.Settings) -> Recorder:
    recorder = Recorder()

    @pulumi.runtime.test
    def program() -> None:
        declare(settings, lambda component: f"local/{component.name}:1", Daemon("DAEMON", Path("/srv/docker")))

    with event_loops():
        pulumi.runtime.set_mocks(recorder, project="crowsnest", stack=settings.stack)
        program()
    return recorder


STACKS = stack_settings.stack_names()
FULL = declared("full")


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_declares_exactly_its_components(stack):
    settings = stack_settings.read(stack)
    recorder = declared(stack)
    assert set(recorder.of_type(CONTAINER)) == {settings.container_name(one) for one in settings.components}
    assert set(recorder.of_type(VOLUME)) == {settings.container_name(one) for one in settings.components if one.data}
    used = {name for inputs in recorder.of_type(CONTAINER).values() for name in (n["name"] for n in inputs["networksAdvanced"])}
    assert used == set(recorder.of_type(NETWORK))


@pytest.mark.parametrize("name", FULL.of_type(CONTAINER))
def test_every_container_keeps_every_rule(name):
    inputs = FULL.of_type(CONTAINER)[name]
    component = catalogue()[inputs["hostname"]]
    assert inputs["image"].startswith("sha256:")
    assert inputs["user"] == f"{component.owner}:{component.uid}"
    assert inputs["readOnly"] is True
    assert inputs["tmpfs"]
    excepted = {exception.rule: exception for exception in component.exceptions}
    adds = excepted["cap_drop"].capabilities if "cap_drop" in excepted else []
    assert inputs["capabilities"] == {"drops": ["ALL"]} | ({"adds": adds} if adds else {})
    assert component.owner or "non_root" in excepted
    assert inputs["securityOpts"] == ["no-new-privileges:true"]
    assert inputs["memory"] == inputs["memorySwap"] == component.limits.memory_mb
    assert float(inputs["cpus"]) == component.limits.cpus
    assert inputs["healthcheck"]["tests"][0] == ("CMD" if component.probe.test else "NONE")
    assert inputs["logDriver"] == "json-file"
    assert {"max-size", "max-file", "tag"} == set(inputs["logOpts"])
    assert inputs["restart"] == "unless-stopped"
    assert inputs["stopTimeout"] == inputs["destroyGraceSeconds"] == component.stop.grace_seconds
    assert inputs["removeVolumes"] is False
    assert inputs["mustRun"] is inputs["init"] is True
    assert inputs["wait"] is bool(component.probe.test)
    assert "volumes" not in inputs
    assert {label["label"]: label["value"] for label in inputs["labels"]}["crowsnest.pids_limit"] == str(component.limits.pids)


def test_every_port_is_on_loopback():
    ports = [port for inputs in FULL.of_type(CONTAINER).values() for port in inputs.get("ports", [])]
    assert ports
    assert {port["ip"] for port in ports} == {"127.0.0.1"}
    assert len({port["external"] for port in ports}) == len(ports)


def test_with_a_gateway_nothing_else_has_a_port():
    assert {inputs["hostname"] for inputs in FULL.of_type(CONTAINER).values() if inputs.get("ports")} == {"caddy"}
    opened = of_tree({"pipelines": {"logs": None, "viewer": None, "gateway": {"listen": "0.0.0.0"}}}).of_type(CONTAINER)
    assert {port["ip"] for port in opened["crowsnest-caddy"]["ports"]} == {"0.0.0.0"}


def test_pages_of_tools_point_to_the_gateway_where_there_is_one():
    gateway = FULL.of_type(CONTAINER)["crowsnest-full-prometheus"]["command"]
    assert {"--web.external-url=https://localhost:10443/prometheus/", "--web.route-prefix=/"} <= set(gateway)
    alone = of_tree({"pipelines": {"metrics": {"containers": "none"}}}).of_type(CONTAINER)
    assert not any(
        "external-url" in word for name in ("prometheus", "alertmanager") for word in alone[f"crowsnest-{name}"]["command"]
    )
    tools = [one for one in FULL.of_type(CONTAINER)["crowsnest-full-api"]["envs"] if one.startswith("CROWSNEST_API_TOOLS=")]
    assert tools == [
        "CROWSNEST_API_TOOLS=VictoriaLogs=/victorialogs/select/vmui/,Prometheus=/prometheus/,Alertmanager=/alertmanager/"
    ]


def test_only_published_containers_reach_a_network_that_leaves_the_host():
    internal = {name for name, inputs in FULL.of_type(NETWORK).items() if inputs["internal"]}
    for inputs in FULL.of_type(CONTAINER).values():
        outside = {network["name"] for network in inputs["networksAdvanced"]} - internal
        # Notifications leave the host, and the gateway asks an authority; nothing else does by itself.
        assert bool(outside) == (bool(inputs.get("ports")) or inputs["hostname"] == "alertmanager")


def test_no_secret_value_can_be_in_a_declaration():
    for inputs in FULL.of_type(CONTAINER).values():
        for variable in inputs.get("envs", []):
            key, _, value = variable.partition("=")
            # Of QuestDB, a copy that its role placed for it.
            assert "PASSWORD" not in key or value.startswith(("/run/secrets/", f"{catalogue()['questdb'].config}/"))


def test_retention_reaches_the_store_by_time_and_size():
    command = FULL.of_type(CONTAINER)["crowsnest-full-victorialogs"]["command"]
    assert "-retentionPeriod=14d" in command
    assert "-retention.maxDiskSpaceUsageBytes=20GiB" in command


def test_retention_of_metrics_reaches_the_store_by_time_and_size():
    command = FULL.of_type(CONTAINER)["crowsnest-full-prometheus"]["command"]
    assert "--storage.tsdb.retention.time=30d" in command
    assert "--storage.tsdb.retention.size=10GB" in command


def test_retention_of_ticks_reaches_the_relay_by_time_and_size():
    variables = FULL.of_type(CONTAINER)["crowsnest-full-ticks-relay"]["envs"]
    assert "CROWSNEST_TICKS_RETENTION=30d" in variables
    assert "CROWSNEST_TICKS_RETENTION_SIZE=10GiB" in variables


def test_who_reads_the_price_log_sees_the_folder_in_which_it_is_written_and_may_only_read_it():
    ((folder, _),) = catalogue()["telegraf"].reads.items()
    (mount,) = [mount for mount in FULL.of_type(CONTAINER)["crowsnest-full-telegraf"]["mounts"] if mount["target"] == folder]
    ticker = FULL.of_type(CONTAINER)["crowsnest-full-ticker"]
    (data,) = [mount["target"] for mount in ticker["mounts"] if mount["type"] == "volume"]

    assert (mount["type"], mount["readOnly"]) == ("bind", True)
    assert mount["source"] == str(stack_settings.read("full").folders.data / "ticker" / "logs")
    assert f"LOG_FILE_NAME={data}/logs/trader.logs" in ticker["envs"]


def test_the_sources_profile_has_no_relay_and_its_own_rotation():
    inputs = of_tree({"pipelines": {"ticks": {"profile": "source"}}}).of_type(CONTAINER)
    assert set(inputs) == {"crowsnest-questdb", "crowsnest-telegraf", "crowsnest-ticker"}
    assert "CROWSNEST_TICKER_ROTATION=rename" in inputs["crowsnest-ticker"]["envs"]
    assert "CROWSNEST_TICKER_ROTATION=segments" in FULL.of_type(CONTAINER)["crowsnest-full-ticker"]["envs"]


def test_who_deletes_series_is_never_on_a_port_of_the_host():
    tree = {"pipelines": {"metrics": {"containers": "none"}}}
    published = of_tree({**tree, "publish": ["prometheus.http"]}).of_type(CONTAINER)["crowsnest-prometheus"]
    assert "--web.enable-admin-api" not in published["command"]
    assert "--web.enable-admin-api" in of_tree(tree).of_type(CONTAINER)["crowsnest-prometheus"]["command"]


def test_a_process_of_this_machine_is_reached_by_its_gateway():
    target = {"job": "alpha-oracle-api", "address": "host.docker.internal:9999", "labels": {"service": "api"}}
    inputs = of_tree({"pipelines": {"metrics": {"containers": "none", "targets": [target]}}}).of_type(CONTAINER)
    prometheus = inputs["crowsnest-prometheus"]
    assert prometheus["hosts"] == [{"host": "host.docker.internal", "ip": "host-gateway"}]
    assert "crowsnest-edge" in {network["name"] for network in prometheus["networksAdvanced"]}
    assert "hosts" not in inputs["crowsnest-alertmanager"]


def test_an_exporter_runs_only_where_its_subject_does():
    names = set(
        of_tree({"pipelines": {"metrics": {"containers": "none"}, "trading": {"components": ["redis"]}}}).of_type(CONTAINER)
    )
    assert "crowsnest-redis-exporter" in names
    assert "crowsnest-postgres-exporter" not in names


def test_alloy_is_declared_once_however_many_pipelines_use_it():
    tree = {"pipelines": {"metrics": {"containers": "alloy"}, "logs": {"collector": "alloy"}}}
    assert "crowsnest-alloy" in of_tree(tree).of_type(CONTAINER)
    assert "crowsnest-alloy" in of_tree({"pipelines": {"metrics": {"containers": "alloy"}}}).of_type(CONTAINER)


def test_the_collector_reads_what_docker_keeps_and_nothing_else_of_the_host():
    mounts = {mount["target"]: mount for mount in FULL.of_type(CONTAINER)["crowsnest-full-alloy"]["mounts"]}
    logs = mounts["/var/lib/docker/containers"]
    assert (logs["source"], logs["readOnly"]) == ("/srv/docker/containers", True)
    assert not any("docker.sock" in mount["source"] for mount in mounts.values())


def test_the_reader_of_the_traders_logs_sees_them_read_only_and_no_other_data():
    inputs = FULL.of_type(CONTAINER)["crowsnest-full-alloy-trader"]
    binds = {mount["target"]: mount for mount in inputs["mounts"] if mount["type"] == "bind"}
    data = stack_settings.read("full").folders.data
    assert {target: (mount["source"], mount["readOnly"]) for target, mount in binds.items()} == {
        "/etc/alloy": (str(stack_settings.read("full").folders.config / "alloy-trader"), True),
        "/var/log/trader": (str(data / "trader" / "logs"), True),
    }
    assert "adds" not in inputs["capabilities"]


def test_go_knows_the_memory_limit_of_the_stores():
    tree = {"pipelines": {"log_metrics": None}, "memory_mb": {"loki": 1000}}
    inputs = of_tree(tree).of_type(CONTAINER)
    assert inputs["crowsnest-loki"]["envs"] == ["GOMEMLIMIT=800MiB"]
    assert inputs["crowsnest-mimir"]["command"] == ["-config.file=/etc/mimir/mimir.yaml"]


def test_volumes_never_change_with_the_stack():
    for stack in ("demo", "prod"):
        inputs = declared(stack).of_type(VOLUME)["crowsnest-postgresql"]
        assert inputs["driverOpts"]["device"] == str(stack_settings.read(stack).folders.data / "postgresql")
        assert {label["label"] for label in inputs["labels"]} == {"crowsnest.name_prefix", "crowsnest.component"}


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (3725, "1h2m5s")])
def test_durations_are_written_as_docker_reads_them_back(seconds, text):
    assert go_duration(seconds) == text
