"""The Docker daemon a stack runs on: connection with a bound, identity, clear errors."""

from __future__ import annotations

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


def identity(client: docker.DockerClient) -> str:
    """The daemon's own id and its data folder: daemons before version 23 on one machine share their id."""
    info = client.info()
    return f"{info['ID']} with data in {info['DockerRootDir']}"
