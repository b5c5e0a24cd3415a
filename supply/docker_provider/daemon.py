"""The connection to the Docker daemon: every call has a timeout, and every failure becomes one clear line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import requests
from docker import APIClient, auth
from docker.errors import APIError, DockerException, NotFound

from supply.docker_provider.errors import ProviderError

CALL_TIMEOUT = 60
"""Seconds that one call may take, beyond the time that it is told to wait for a container."""
CONNECT_TIMEOUT = 10
PULL_TIMEOUT = 1800
"""Seconds that pulling one image may take."""
PULL_SILENCE = 180
"""Seconds that a pull may go without any progress."""
RELEASE_TIMEOUT = 30
"""Seconds to wait for what still uses a volume or network, or for a removal that has begun, to go away."""
CONNECTIONS = 32

__all__ = ["APIError", "Daemon", "NotFound", "connect", "explain"]


class Daemon(APIClient):  # type: ignore[misc]  # the client is untyped
    """The low-level Docker client with what it lacks. Safe to use from several threads."""

    def update_resources(self, container: str, resources: dict[str, Any]) -> None:
        """Change a container's limits or restart policy, given as the API names them."""
        self._call(f"/containers/{container}/update", resources)

    def attach_network(self, network: str, container: str, endpoint: dict[str, Any]) -> None:
        """Attach a container; `endpoint` is an endpoint configuration as the API takes it."""
        self._call(f"/networks/{network}/connect", {"Container": container, "EndpointConfig": endpoint})

    def pull_image(self, name: str, platform: str | None, timeout: float = PULL_TIMEOUT) -> None:
        """Pull by name with tag or digest. Raises ProviderError when it fails or takes longer than `timeout` seconds."""
        registry, _ = auth.resolve_repository_name(name.partition("@")[0])
        header = auth.get_config_header(self, registry)
        params = {"fromImage": name, **({"platform": platform} if platform else {})}
        deadline = time.monotonic() + timeout
        response = self._post(
            self._url("/images/create"),
            params=params,
            headers={"X-Registry-Auth": header} if header else {},
            stream=True,
            timeout=min(PULL_SILENCE, timeout),
        )
        self._raise_for_status(response)
        for message in self._stream_helper(response, decode=True):
            if "error" in message:
                raise ProviderError(str(message["error"]))
            if time.monotonic() > deadline:
                raise ProviderError(f"not finished after {timeout:.0f} s")

    def _call(self, path: str, data: dict[str, Any]) -> None:
        self._raise_for_status(self._post_json(self._url(path), data=data))


def connect(host: str) -> Daemon:
    """A client of the daemon at `host` (unix:// or tcp://), which has answered. Raises ProviderError when it does not."""
    try:
        daemon = Daemon(base_url=host, version="auto", timeout=CONNECT_TIMEOUT, max_pool_size=CONNECTIONS)
    except (DockerException, requests.RequestException) as error:
        raise ProviderError(unreachable(host, error)) from error
    daemon.timeout = CALL_TIMEOUT
    return daemon


def unreachable(host: str, error: Exception) -> str:
    """One line for the user about a daemon that does not answer."""
    return (
        f"cannot reach the Docker daemon at {host}: {_innermost(error)}; start it, "
        "or set the docker provider's host to where it listens"
    )


def explain(error: Exception, host: str) -> str:
    """One line for the user about a failed call."""
    if isinstance(error, APIError):
        return f"the Docker daemon refused: {error.explanation or error}".strip().replace("\n", " ")
    if isinstance(error, requests.Timeout):
        return f"the Docker daemon at {host} did not answer in time: {_innermost(error)}"
    return unreachable(host, error)


def until_released(act: Callable[[], None], busy: Callable[[APIError], bool]) -> None:
    """Do `act`, again and again while the daemon says that the thing is still `busy`; gone already is done."""
    for last in _tries():
        try:
            return act()
        except NotFound:
            return None
        except APIError as error:
            if last or not busy(error):
                raise
    return None


def _tries() -> Iterator[bool]:
    """One item a try, half a second apart; true for the last."""
    deadline = time.monotonic() + RELEASE_TIMEOUT
    while time.monotonic() < deadline:
        yield False
        time.sleep(0.5)
    yield True


def _innermost(error: BaseException) -> str:
    """The operating system's words, from under the layers of a client library."""
    for wrapped in (error.__cause__, error.__context__, *error.args):
        if isinstance(wrapped, BaseException):
            return _innermost(wrapped)
    return (getattr(error, "strerror", None) or str(error)).strip().replace("\n", " ")
