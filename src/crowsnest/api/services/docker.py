"""Docker through the socket proxy, which lets through two requests: the list of containers, and the restart of named ones."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from crowsnest.api.problems import Problem

# The oldest version that the engines of Debian 12 and 13 both serve.
API_VERSION: Final = "v1.41"
LIST_SECONDS: Final = 5.0
# What Docker waits for a container's end before SIGKILL, and then for its start.
GRACE_SECONDS: Final = 60
RESTART_SECONDS: Final = GRACE_SECONDS + 30.0
PREFIX_LABEL: Final = "crowsnest.name_prefix"
COMPONENT_LABEL: Final = "crowsnest.component"
_HEALTH: Final = re.compile(r"\((healthy|unhealthy|health: starting)\)")


class DockerClient:
    """Asks the proxy."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url, self._prefix = url, prefix
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of connections."""
        if self._session:
            await self._session.close()

    async def containers(self) -> list[dict[str, Any]]:
        """Containers of this stack, running or not.

        Raises:
            Problem: Docker does not answer.
        """
        filters = json.dumps({"label": [f"{PREFIX_LABEL}={self._prefix}"]})
        _, body = await self._ask("GET", "/containers/json", LIST_SECONDS, {"all": "1", "filters": filters})
        return [_shown(one) for one in body]

    async def restart(self, container: str) -> None:
        """Restart a container; it runs again when this returns.

        Raises:
            Problem: the proxy refuses, there is none of that name, or Docker does not answer.
        """
        path = f"/containers/{quote(container, safe='')}/restart"
        status, body = await self._ask("POST", path, RESTART_SECONDS, {"t": str(GRACE_SECONDS)})
        if status == 404:
            raise Problem("not-found", f"there is no container {container}", "see the list of services")
        if status == 403:
            raise Problem("forbidden", f"the socket proxy does not restart {container}", "name it in the stack's settings")
        if status >= 300:
            raise Problem("docker-unavailable", f"Docker answers {status}: {str(body)[:200]}")

    async def _ask(self, method: str, path: str, seconds: float, query: dict[str, str]) -> tuple[int, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        url = f"{self._url}/{API_VERSION}{path}"
        timeout = aiohttp.ClientTimeout(total=seconds, connect=2)
        try:
            async with self._session.request(method, url, params=query, timeout=timeout) as answer:
                text = await answer.text()
                if method == "GET" and answer.status != 200:
                    raise Problem("docker-unavailable", f"Docker answers {answer.status}")
                return answer.status, json.loads(text) if text.startswith(("[", "{")) else text
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise Problem("docker-unavailable", f"the socket proxy does not answer: {error or type(error).__name__}") from None


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    found = _HEALTH.search(one["Status"])
    return {
        "component": one["Labels"].get(COMPONENT_LABEL, ""),
        "container": one["Names"][0].lstrip("/"),
        "image": one["Image"],
        "state": one["State"],
        "health": "none" if found is None else found[1].removeprefix("health: "),
        "status": one["Status"],
    }
