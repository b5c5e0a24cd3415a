"""The Docker daemon a stack runs on: connection with a bound, identity, clear errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

TIMEOUT_SECONDS = 30


class DaemonError(RuntimeError):
    """The Docker daemon cannot be used. One line that says what to do."""


def connect(host: str) -> docker.DockerClient:
    """A client for a daemon that answers.

    Raises:
        DaemonError: when nothing answers at `host`.
    """
    try:
        client = docker.DockerClient(base_url=host, timeout=TIMEOUT_SECONDS)
        client.ping()
    except DockerException as error:
        raise DaemonError(
            f"no Docker daemon answers at {host}; start it (`make up` installs and starts one) or correct docker_host"
        ) from error
    return client


@dataclass(frozen=True)
class Daemon:
    """What tells one daemon from another: daemons before version 23 on one machine share their id."""

    id: str
    data_root: Path

    @property
    def identity(self) -> str:
        """One line, kept in the state."""
        return f"{self.id} with data in {self.data_root}"


def read(client: docker.DockerClient) -> Daemon:
    """What the daemon says of itself."""
    info = client.info()
    return Daemon(info["ID"], Path(info["DockerRootDir"]))
