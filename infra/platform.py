"""The whole stack as one declaration: provider, networks, then each chosen pipeline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pulumi
import pulumi_docker as docker

from infra import daemon
from infra import settings as stack_settings
from infra.catalogue import Component
from infra.daemon import Daemon
from infra.host import Host
from infra.network import declare_networks
from infra.pipelines.dashboards import DashboardsPipeline
from infra.pipelines.gateway import GatewayPipeline
from infra.pipelines.log_metrics import LogMetricsPipeline
from infra.pipelines.logs import LogsPipeline
from infra.pipelines.metrics import MetricsPipeline
from infra.pipelines.ticks import TicksPipeline
from infra.pipelines.trading import TradingPipeline
from infra.pipelines.viewer import ViewerPipeline
from infra.settings import CONFIG_KEY, PROJECT, Settings
from supply import images

DAEMON_OUTPUT = "daemon_id"
PIPELINES = {
    "logs": LogsPipeline,
    "trading": TradingPipeline,
    "viewer": ViewerPipeline,
    "metrics": MetricsPipeline,
    "gateway": GatewayPipeline,
    "log_metrics": LogMetricsPipeline,
    "ticks": TicksPipeline,
    "dashboards": DashboardsPipeline,
}


def settings_of_running_stack() -> Settings:
    """The settings that the engine handed to this program.

    Raises:
        SettingsError: naming each key that is wrong.
    """
    tree = pulumi.Config(PROJECT).require_object(CONFIG_KEY.removeprefix(f"{PROJECT}:"))
    return stack_settings.parse(pulumi.get_stack(), tree)


def declare_as_planned(settings: Settings) -> None:
    """Declare with the images that the supply would choose now, for a plain ``pulumi up``; nothing is pulled or built.

    Raises:
        daemon.DaemonError: when the Docker daemon cannot be reached.
    """
    client = daemon.connect(settings.docker_host)
    declare(settings, lambda component: images.plan(component, settings.supply, client).reference, daemon.read(client))


def declare(settings: Settings, image_of: Callable[[Component], str], target: Daemon) -> None:
    """Declare every resource of a stack. Retention, limits and ports come from settings and catalogue alone.

    Args:
        settings: the stack's settings.
        image_of: gives the image reference of a component.
        target: the Docker daemon; its identity is kept in the state, and another daemon is refused later.
    """
    unconnected = Host(settings, docker.Provider("docker", host=settings.docker_host), target, image_of)
    host = dataclasses.replace(unconnected, networks=declare_networks(unconnected))
    for name, pipeline in settings.pipelines.enabled.items():
        PIPELINES[name](host, pipeline)
    pulumi.export(DAEMON_OUTPUT, target.identity)
    pulumi.export("urls", settings.urls)
