"""Keep one open report of drift in the project's issues, on GitHub or GitLab: opened when there is drift or a check broke,
brought up to date while there is, closed when there is none. Run by CI every night with the report of ``.ci/drift``.

``python -m scripts.open_report github|gitlab report.json``; where, and with which right, is in the environment CI gives.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABEL = "drift"
TITLE = "What runs is not what was declared"
TIMEOUT_SECONDS = 30
# Both refuse longer texts; what differs first is the most telling.
SHOWN = 200


@dataclass(frozen=True)
class Tracker:
    """The issues of one project.

    Args:
        issues: address of its issues.
        headers: who asks.
        number: name of an issue's number there.
        opened: how an open issue is asked for.
        text: name of an issue's text there.
        update: the method that changes an issue.
        close: what closes an issue.
        labels: labels of a new issue, in the form that is taken there.
    """

    issues: str
    headers: Mapping[str, str]
    number: str
    opened: str
    text: str
    update: str
    close: Mapping[str, str]
    labels: object


def github(environment: Mapping[str, str]) -> Tracker:
    """As GitHub Actions describes it."""
    return Tracker(
        f"{environment['GITHUB_API_URL']}/repos/{environment['GITHUB_REPOSITORY']}/issues",
        {"Authorization": f"Bearer {environment['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"},
        number="number", opened="open", text="body", update="PATCH", close={"state": "closed"}, labels=[LABEL],
    )  # fmt: skip


def gitlab(environment: Mapping[str, str]) -> Tracker:
    """As GitLab CI describes it."""
    return Tracker(
        f"{environment['CI_API_V4_URL']}/projects/{environment['CI_PROJECT_ID']}/issues",
        {"PRIVATE-TOKEN": environment["DRIFT_REPORT_TOKEN"]},
        number="iid", opened="opened", text="description", update="PUT", close={"state_event": "close"}, labels=LABEL,
    )  # fmt: skip


TRACKERS: dict[str, Callable[[Mapping[str, str]], Tracker]] = {"github": github, "gitlab": gitlab}


def text_of(document: Mapping[str, Any]) -> str:
    """The report as an issue's text; empty when there is nothing to say."""
    lines: list[str] = []
    for layer in document.get("layers", []):
        lines += [
            f"{one['resource']}: {one['property']} is {one['actual']}, declared {one['declared']}" for one in layer["findings"]
        ]
        if layer["error"]:
            lines.append(f"{layer['layer']} could not be looked at: {layer['error']}")
    if not document.get("layers"):
        lines.append(f"the check broke: {document.get('message', 'it gave no report')}")
    shown = [f"    {line[:1000]}" for line in "\n".join(lines[:SHOWN]).splitlines()]
    if len(lines) > SHOWN:
        shown.append(f"    … and {len(lines) - SHOWN} more")
    return "\n".join(["`make drift` says:", "", *shown, "", "`make up` puts the declared state back."]) if lines else ""


def keep(tracker: Tracker, text: str) -> str:
    """Open, bring up to date or close the one report. What was done, in words.

    Raises:
        OSError: the tracker refuses, or does not answer.
    """
    found = _call(tracker, "GET", f"{tracker.issues}?labels={LABEL}&state={tracker.opened}")
    number = found[0][tracker.number] if found else None
    if number is None and not text:
        return "no drift, and no report is open"
    if number is None:
        made = _call(tracker, "POST", tracker.issues, {"title": TITLE, tracker.text: text, "labels": tracker.labels})
        return f"opened report {made[tracker.number]}"
    change = {tracker.text: text} if text else dict(tracker.close)
    _call(tracker, tracker.update, f"{tracker.issues}/{number}", change)
    return f"{'brought up to date' if text else 'closed'} report {number}"


def _call(tracker: Tracker, method: str, url: str, body: Mapping[str, object] | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    headers = {**tracker.headers, "Content-Type": "application/json", "User-Agent": "crowsnest"}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - CI's own address
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        return json.load(answer)


def main() -> int:
    """Exit code 1 when the report could not be kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracker", choices=TRACKERS)
    parser.add_argument("report", type=Path)
    options = parser.parse_args()
    try:
        lines = options.report.read_text(encoding="utf-8").splitlines()
        document = json.loads(lines[-1]) if lines else {}
        print(keep(TRACKERS[options.tracker](os.environ), text_of(document)))
    except KeyError as error:
        print(f"failed: {error} is not in the environment", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
