"""Asks a running Grafana for every target of every dashboard, as the browser does: `python -m scripts.grafana_check --url …`.

What `make dashboards-check` does without Grafana; for people who have its image. Prints what fails and what has no data.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from infra import grafana
from scripts import grafana_macros as macros

TIMEOUT_SECONDS = 60
# What the browser fills in itself before it asks; Grafana's server does the rest.
EVERYTHING = {"prometheus": ".+", "loki": ".+"}


class Grafana:
    """One server, asked as its admin."""

    def __init__(self, url: str, password: str) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.auth = ("admin", password)
        self._session.trust_env = False

    def get(self, path: str) -> Any:
        """Raises requests.RequestException."""
        answer = self._session.get(f"{self._url}{path}", timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return answer.json()

    def ask(self, target: Mapping[str, Any], since: str) -> dict[str, Any]:
        """The answer to one target: `frames`, or `error`."""
        body = {"queries": [{**target, "intervalMs": 15000, "maxDataPoints": macros.POINTS}], "from": since, "to": "now"}
        answer = self._session.post(f"{self._url}/api/ds/query", json=body, timeout=TIMEOUT_SECONDS)
        found: dict[str, Any] = answer.json().get("results", {}).get(target["refId"], {"error": answer.text[:300]})
        return found


def filled(target: Mapping[str, Any], variables: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The target with each variable set to everything."""
    made = dict(target)
    key = "rawSql" if "rawSql" in made else "expr"
    text = str(made[key])
    for one in variables:
        name = one["name"]
        if key == "rawSql":
            # A comparison with the column itself holds for every row but those without a value.
            text = text.replace(f"IN (${{{name}:sqlstring}})", "IS NOT NULL")
        else:
            value = EVERYTHING.get(made["datasource"]["type"], str(one["current"]["value"]))
            text = text.replace(f"${{{name}}}", value).replace(f"${name}", value)
    return {**made, key: text}


def problems(server: Grafana) -> Iterator[str]:
    """What is wrong, a line each."""
    for path in sorted(grafana.DASHBOARDS.glob("*.json")):
        wanted = macros.load(path.read_text(encoding="utf-8"))
        try:
            tree = server.get(f"/api/dashboards/uid/{wanted['uid']}")["dashboard"]
        except requests.RequestException as error:
            yield f"{wanted['uid']}: not there, or left out as the stack has not all of its stores ({type(error).__name__})"
            continue
        for panel in macros.panels(tree):
            answers = [
                server.ask(filled(one, tree["templating"].get("list", [])), tree["time"]["from"]) for one in panel["targets"]
            ]
            for answer in answers:
                if "error" in answer:
                    yield f"{wanted['uid']}: {panel['title']}: {answer['error']}"
            rows = [
                len(values) for answer in answers for frame in answer.get("frames", []) for values in frame["data"]["values"]
            ]
            if not any(rows):
                yield f"{wanted['uid']}: {panel['title']}: no data"


def main() -> int:
    """0 when every panel has data, 1 when one has none, 2 when Grafana does not answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="with the path, such as that of its container and /grafana")
    parser.add_argument("--password-file", required=True, type=Path, help="password of admin")
    options = parser.parse_args()
    try:
        server = Grafana(options.url, options.password_file.read_text(encoding="utf-8").strip())
        print(f"Grafana {server.get('/api/health')['version']}")
        found = list(problems(server))
    except (OSError, requests.RequestException) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    print("\n".join(found) or "every panel has data")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
