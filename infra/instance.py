"""A running store as its backup sees it: the stack's own container, or a scratch one made from its image and settings."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.types import Mount

from infra import health
from infra.catalogue import Component
from infra.errors import Failed
from infra.health import HEALTHY
from infra.settings import Settings

# What a store may take to answer: it dumps, checks or counts all it has.
ANSWER_SECONDS = 3600
LAST_CHARACTERS = 600
POLL_SECONDS = 0.5
TRIAL_LABEL = "crowsnest.trial"


@dataclass(frozen=True)
class Instance:
    """One running store.

    Args:
        client: the daemon; its timeout has to allow for commands that say nothing for long.
        component: entry of the catalogue.
        container: name of its container.
        folder: where its data is on this machine.
    """

    client: docker.DockerClient
    component: Component
    container: str
    folder: Path

    def run(self, script: str, *arguments: str) -> str:
        """What a shell script prints in the container, as the component's user. Arguments are ``$1`` and so on.

        Raises:
            Failed: it ended with an error, with its last words, or the container does not run.
        """
        try:
            done = self.client.containers.get(self.container).exec_run(
                ["sh", "-c", script, "sh", *arguments], user=self.component.user, demux=True
            )
        except APIError as error:
            if error.status_code in (404, 409):
                raise Failed(f"{self.component.name} does not run; `make status` shows what does") from None
            raise Failed(f"{self.component.name}: {str(error)[:LAST_CHARACTERS]}") from None
        except requests.RequestException as error:
            raise Failed(f"{self.component.name}: {str(error)[:LAST_CHARACTERS]}") from None
        out, err = ((part or b"").decode(errors="replace") for part in done.output)
        if done.exit_code != 0:
            raise Failed(f"{self.component.name}: {(err or out).strip()[-LAST_CHARACTERS:] or f'ended with {done.exit_code}'}")
        return out

    def named_file(self, variable: str) -> Path:
        """Where on this machine the file is that an environment variable of the container names.

        Raises:
            Failed: there is no such variable or file.
        """
        try:
            actual = self.client.api.inspect_container(self.container)
        except NotFound:
            raise Failed(f"{self.component.name} does not run; `make status` shows what does") from None
        inside = Path(dict(word.split("=", 1) for word in actual["Config"]["Env"] or []).get(variable, "/"))
        # The innermost first: a store's configuration may stand in its data folder.
        for place in sorted(actual["Mounts"], key=lambda one: -len(one["Destination"])):
            if inside.is_relative_to(place["Destination"]):
                return Path(place["Source"]) / inside.relative_to(place["Destination"])
        raise Failed(f"{self.component.name}: its container has no file {variable}")

    def ask(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str | int] | None = None,
        login: tuple[str, str] | None = None,
    ) -> requests.Response:
        """The answer of the store's own interface, given to who has logged in where that is needed.

        Raises:
            Failed: it refuses, or does not answer.
        """
        try:
            base = health.address(self.client.api.inspect_container(self.container), self.component, "http")
        except NotFound:
            base = None
        if base is None:
            raise Failed(f"{self.component.name} does not run; `make status` shows what does")
        try:
            with requests.Session() as session:
                session.trust_env = False  # never by a proxy
                answer = session.request(
                    method, f"{base}{path}", params=dict(parameters or {}), auth=login, timeout=ANSWER_SECONDS
                )
        except requests.RequestException as error:
            raise Failed(f"{self.component.name} did not answer {path}: {type(error).__name__}") from None
        if answer.status_code >= 400:
            raise Failed(f"{self.component.name} refused {path}: {answer.status_code} {answer.text.strip()[:LAST_CHARACTERS]}")
        return answer

    @property
    def is_healthy(self) -> bool:
        """Whether it answers its health check."""
        try:
            actual = self.client.api.inspect_container(self.container)
        except NotFound:
            return False
        probe = self.component.probe
        if probe.http:
            return bool(actual["State"]["Running"]) and health.answers(actual, self.component, probe.http)
        return bool(actual["State"].get("Health", {}).get("Status") == HEALTHY)

    def wait(self, seconds: float) -> None:
        """Wait until it is healthy.

        Raises:
            Failed: with its last log lines, when it is not in time.
        """
        deadline = time.monotonic() + seconds
        while not self.is_healthy:
            if time.monotonic() > deadline:
                words = health.last_words(self.client, self.container)
                raise Failed(f"{self.component.name} did not become healthy in {seconds:.0f} s; its last log lines:", *words)
            time.sleep(POLL_SECONDS)


@contextmanager
def scratch(instance: Instance, settings: Settings, folder: Path, flags: Mapping[str, str]) -> Iterator[Instance]:
    """The same store on other data, alone on a network that nothing leaves. Removed at the end, whatever happened.

    Image, command, limits and configuration are those of the one that runs.

    Args:
        instance: the one that runs.
        settings: the stack.
        folder: the data.
        flags: those of its command that are given other values, such as its retention.

    Raises:
        Failed: it does not become healthy.
    """
    name = f"{instance.container}-trial"
    clear(instance.client, settings)
    labels = {TRIAL_LABEL: settings.name_prefix}
    network = instance.client.networks.create(f"{settings.name_prefix}-trial", internal=True, labels=labels)
    try:
        try:
            actual = instance.client.api.inspect_container(instance.container)
        except NotFound:
            raise Failed(f"{instance.component.name} does not run, so there is nothing to try its restore on") from None
        made = instance.client.containers.create(
            **_like(actual, instance.component, folder, flags), name=name, network=network.name, labels=labels
        )
        made.start()
        copy = Instance(instance.client, instance.component, name, folder)
        copy.wait(instance.component.probe.start_seconds + settings.health_timeout_seconds)
        yield copy
    finally:
        clear(instance.client, settings)


def clear(client: docker.DockerClient, settings: Settings) -> None:
    """Remove scratch containers and networks, also those that a killed trial left."""
    mine = {"label": f"{TRIAL_LABEL}={settings.name_prefix}"}
    for container in client.containers.list(all=True, filters=mine, ignore_removed=True):
        _remove(container)
    for network in client.networks.list(filters=mine):
        network.remove()


def _remove(container: Container) -> None:
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return


def _like(actual: dict[str, Any], component: Component, folder: Path, flags: Mapping[str, str]) -> dict[str, Any]:
    """What a container of the same kind is made with. Its data is the folder; whatever else it sees is read-only."""
    config, host = actual["Config"], actual["HostConfig"]
    mounts = [
        Mount(place["Destination"], place["Source"], type="bind", read_only=True)
        for place in actual["Mounts"]
        if place["Destination"] != component.data and place["Type"] == "bind"
    ]
    check = config.get("Healthcheck")
    return {
        "image": actual["Image"],
        "command": [changed(word, flags) for word in config["Cmd"] or []],
        "entrypoint": config["Entrypoint"],
        "environment": config["Env"],
        "user": config["User"],
        "hostname": config["Hostname"],
        "healthcheck": _lower_first(check) if check else None,
        "mounts": [*mounts, Mount(str(component.data), str(folder), type="bind")],
        "tmpfs": host["Tmpfs"],
        "read_only": host["ReadonlyRootfs"],
        "cap_drop": host["CapDrop"],
        "cap_add": host["CapAdd"],
        "security_opt": host["SecurityOpt"],
        "mem_limit": host["Memory"],
        "memswap_limit": host["MemorySwap"],
        "nano_cpus": host["NanoCpus"],
        "pids_limit": component.limits.pids,
        "shm_size": host["ShmSize"],
        "init": True,
    }


def changed(word: str, flags: Mapping[str, str]) -> str:
    """An argument, with another value where it is one of the flags."""
    flag, sign, _ = word.partition("=")
    return f"{flag}={flags[flag]}" if sign and flag in flags else word


def _lower_first(check: Mapping[str, Any]) -> dict[str, Any]:
    """Docker's spelling of a health check as the client takes it: ``StartPeriod`` is ``start_period``."""
    names = {"Test": "test", "Interval": "interval", "Timeout": "timeout", "StartPeriod": "start_period", "Retries": "retries"}
    return {names[key]: value for key, value in check.items() if key in names}
