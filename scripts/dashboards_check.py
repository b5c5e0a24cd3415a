"""`make dashboards-check`: asks every question of every panel, variable and annotation of the running stack's stores.

Prints the question as it is sent, the store, and the first values; and for each dashboard how many panels have data. What is
not there is named. Grafana itself is not needed: macros and variables are filled in as its plugins do it
(scripts/grafana_macros.py).
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import docker
import psycopg
import requests

from infra import grafana, health
from infra import settings as stack_settings
from infra.catalogue import catalogue
from infra.settings import PROJECT, Settings
from scripts import grafana_macros as macros

TIMEOUT_SECONDS = 30
# Metrics that a stack may lack, and why. A panel of which nothing else is missing is not held against the stack.
LATER = {
    "crowsnest_backup_last_success_timestamp_seconds": "a backup writes it",
    "crowsnest_restore_test_success": "a trial restore writes it",
    "crowsnest_drift_findings": "a drift check writes it",
    "node_textfile_mtime_seconds": "jobs leave files",
}
# Metrics without which a panel has its data, because another stands beside them with `or`.
ELSEWHERE = {
    "vector_component_sent_events_total": "stacks whose collector is Vector",
    "loki_write_sent_entries_total": "stacks whose collector is Alloy",
    "loki_write_dropped_entries_total": "appears with the first line that is dropped",
    "loki_process_custom_nautilus_metric_lines_total": "appears with the first line that is refused",
    "ticks_dead_letters_total": "appears with the first row that is set aside",
    "crowsnest_metrics_folded_labels_total": "appears with the first value that is folded",
}


class StoreError(RuntimeError):
    """A store refused a question or did not answer. The message is the store's."""


@dataclass
class Answer:
    """What came back: values by series, and how long it took."""

    values: dict[str, list[float]] = field(default_factory=dict)
    rows: int = 0
    seconds: float = 0.0

    @property
    def has_data(self) -> bool:
        """Whether there is anything to draw."""
        return self.rows > 0 or any(math.isfinite(value) for values in self.values.values() for value in values)

    @property
    def shown(self) -> str:
        """The first values."""
        first = list(self.values.items())[:3]
        said = ", ".join(f"{name or 'value'} {values[-1]:.6g}" for name, values in first if values)
        return f"{len(self.values)} series: {said}" if self.values else f"{self.rows} rows"


class Stores:
    """The stores of a running stack, reached as the machine reaches its containers."""

    def __init__(self, settings: Settings, client: docker.DockerClient) -> None:
        self._settings = settings
        self._client = client
        self._names: dict[str, set[str]] = {}
        running = {component.name for component in settings.components}
        self.there = [name for name, one in grafana.DATASOURCES.items() if one.component in running]
        if not settings.has_trading_database and "postgresql" in self.there:
            self.there.remove("postgresql")

    def scrape_seconds(self, store: str) -> int:
        """How often a store gets a sample."""
        pipelines = self._settings.pipelines
        if store == "mimir" and pipelines.log_metrics:
            return pipelines.log_metrics.scrape_seconds
        return pipelines.metrics.scrape_seconds if pipelines.metrics else 15

    def _url(self, store: str) -> str:
        one = grafana.DATASOURCES[store]
        base = health.container_url(self._client, self._settings, catalogue()[one.component], one.port)
        if base is None:
            raise StoreError(f"{one.component} does not run; `make up` starts it")
        return base + one.path

    def _get(self, store: str, path: str, **parameters: object) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            try:
                response = session.get(self._url(store) + path, params=parameters, timeout=TIMEOUT_SECONDS)  # type: ignore[arg-type]
            except requests.RequestException as error:
                raise StoreError(f"{type(error).__name__}") from None
        if response.status_code >= 400:
            raise StoreError(f"{response.status_code}: {response.text.strip()[:300]}")
        return response

    def metric_names(self, store: str) -> set[str]:
        """All names of metrics that a store has."""
        if store not in self._names:
            self._names[store] = set(self._get(store, "/api/v1/label/__name__/values").json()["data"])
        return self._names[store]

    def ask(self, question: macros.Question) -> Answer:
        """Ask a store.

        Raises:
            StoreError: it refused, or did not answer.
        """
        ways = {"loki": self._loki, "victorialogs": self._logs, "postgresql": self._sql, "questdb": self._sql}
        begun = time.perf_counter()
        answer = ways.get(question.store, self._prometheus)(question)
        answer.seconds = time.perf_counter() - begun
        return answer

    def _prometheus(self, question: macros.Question) -> Answer:
        span = question.span
        if question.mode == "instant":
            tree = self._get(question.store, "/api/v1/query", query=question.text, time=span.end).json()
        else:
            step = {"start": span.start, "end": span.end, "step": question.step_seconds}
            tree = self._get(question.store, "/api/v1/query_range", query=question.text, **step).json()
        return Answer(_series(tree["data"]["result"]))

    def _loki(self, question: macros.Question) -> Answer:
        span, nanoseconds = question.span, 1_000_000_000
        if question.mode == "instant":
            moment = {"time": int(span.end * nanoseconds)}
            data = self._get("loki", "/loki/api/v1/query", query=question.text, **moment).json()["data"]
        else:
            window = {"start": int(span.start * nanoseconds), "end": int(span.end * nanoseconds)}
            more = {"step": f"{question.step_seconds}s", "limit": 200}
            data = self._get("loki", "/loki/api/v1/query_range", query=question.text, **window, **more).json()["data"]
        if data["resultType"] == "streams":
            return Answer(rows=sum(len(stream["values"]) for stream in data["result"]))
        return Answer(_series(data["result"]))

    def _logs(self, question: macros.Question) -> Answer:
        span = question.span
        window = {"start": int(span.start), "end": int(span.end)}
        if question.mode == "instant":
            text = self._get("victorialogs", "/select/logsql/query", query=question.text, limit=200, **window).text
            return Answer(rows=len(text.splitlines()))
        if question.mode == "stats":
            filtered = f"_time:[{window['start']}, {window['end']}] {question.text}"
            tree = self._get("victorialogs", "/select/logsql/stats_query", query=filtered, time=window["end"]).json()
        else:
            step = {"step": f"{question.step_seconds}s"}
            tree = self._get("victorialogs", "/select/logsql/stats_query_range", query=question.text, **window, **step).json()
        return Answer(_series(tree["data"]["result"]))

    def _sql(self, question: macros.Question) -> Answer:
        names, rows = self.rows(question.store, question.text)
        if question.mode == "table":
            return Answer(rows=len(rows))
        values: dict[str, list[float]] = {}
        for line in rows:
            row = dict(zip(names, line, strict=True))
            if "time" not in row:
                raise StoreError("a time series needs a column `time`")
            values.setdefault(str(row.get("metric", "")), []).append(float(row["value"]))
        return Answer(values)

    def rows(self, store: str, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Rows of a database, as the user by whom Grafana asks."""
        one = grafana.DATASOURCES[store]
        place = self._url(store).removeprefix("http://").split(":")
        user, secret, database = self._reader(store)
        password = self._settings.secret_file(secret).read_text(encoding="utf-8").strip()
        try:
            with psycopg.connect(
                host=place[0], port=catalogue()[one.component].ports[one.port].container, user=user, password=password,
                dbname=database, connect_timeout=5, autocommit=True,
            ) as connection:  # fmt: skip
                # As text in one message: QuestDB knows no prepared statement of some of these.
                cursor = connection.execute(text.encode())
                return [column.name for column in cursor.description or []], cursor.fetchall()
        except psycopg.Error as error:
            raise StoreError(str(error).strip()) from None

    def _reader(self, store: str) -> tuple[str, str, str]:
        """User, secret and database; where there is no Grafana, nobody has made its user of PostgreSQL."""
        if store == "questdb":
            return grafana.TICKS_READER, "questdb_readonly_password", grafana.TICKS_DATABASE
        if self._settings.pipelines.dashboards:
            return grafana.ROLE, catalogue()[grafana.NAME].secrets[-1], PROJECT
        return PROJECT, catalogue()["postgresql"].secrets[0], PROJECT

    def values(self, variable: Mapping[str, Any], span: macros.Span) -> list[str]:
        """What a variable may be set to, which is what `All` means."""
        if variable["type"] != "query":
            return [str(variable["current"]["value"])]
        store, text = macros.variable_question(variable)
        if store in ("postgresql", "questdb"):
            return [str(row[0]) for row in self.rows(store, text)[1]]
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", text)
        if found is None:
            raise StoreError(f"{text!r} is not label_values(selector, label)")
        selector, label = found.groups()
        window = {"start": int(span.start), "end": int(span.end)}
        if store == "loki":
            nanoseconds = {name: value * 1_000_000_000 for name, value in window.items()}
            return list(self._get(store, f"/loki/api/v1/label/{label}/values", query=selector, **nanoseconds).json()["data"])
        return list(self._get(store, f"/api/v1/label/{label}/values", **{"match[]": selector}, **window).json()["data"])


def _series(result: list[dict[str, Any]]) -> dict[str, list[float]]:
    made: dict[str, list[float]] = {}
    for series in result:
        name = ",".join(str(value) for key, value in series["metric"].items() if key != "__name__")
        samples = series.get("values") or [series["value"]]
        made.setdefault(name, []).extend(_number(value) for _, value in samples)
    return made


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass
class Finding:
    """What became of one panel."""

    dashboard: str
    panel: str
    state: str
    seconds: float
    said: list[str]


@dataclass
class Check:
    """Everything that was asked."""

    findings: list[Finding] = field(default_factory=list)

    def count(self, *states: str) -> int:
        """How many panels ended so."""
        return sum(finding.state in states for finding in self.findings)

    @property
    def asked(self) -> int:
        """Panels that the stack should be able to fill."""
        return self.count("data", "empty", "failed")


def run(settings: Settings, client: docker.DockerClient, since_seconds: int = 0, say: Callable[[str], None] = print) -> Check:
    """Ask everything, and say what came back.

    Args:
        settings: of the stack that runs.
        client: where it runs.
        since_seconds: length of the time range; 0 for each dashboard's own.
        say: takes the lines.
    """
    stores, check = Stores(settings, client), Check()
    for path in sorted(grafana.DASHBOARDS.glob("*.json")):
        tree = macros.load(path.read_text(encoding="utf-8"))
        if absent := sorted(_stores_of(tree) - set(stores.there)):
            say(f"\n{tree['title']} ({tree['uid']}): left out, the stack has no {', '.join(absent)}")
            continue
        say(f"\n{tree['title']} ({tree['uid']})")
        found = list(_dashboard(stores, tree, since_seconds, say))
        check.findings += found
        mine = Check(found)
        say(
            f"  {mine.count('data')} of {mine.asked} panels have data"
            + (f", {mine.count('later')} later" if mine.count("later") else "")
        )
    slowest = sorted(finding.seconds for finding in check.findings)
    p95 = slowest[int(0.95 * (len(slowest) - 1))] if slowest else 0.0
    say(f"\nall dashboards: {check.count('data')} of {check.asked} panels have data, {check.count('later')} later;")
    say(f"seconds of a panel: p95 {p95:.2f}, slowest {slowest[-1] if slowest else 0:.2f}")
    return check


def _stores_of(tree: Mapping[str, Any]) -> set[str]:
    targets = [target for panel in macros.panels(tree) for target in panel["targets"]]
    asked = [*targets, *(one for one in tree["templating"].get("list", []) if one["type"] == "query")]
    return {str(one["datasource"]["uid"]).removeprefix("crowsnest-") for one in asked}


def _dashboard(stores: Stores, tree: Mapping[str, Any], since_seconds: int, say: Callable[[str], None]) -> Iterator[Finding]:
    end = time.time()
    length = since_seconds or macros.seconds(tree["time"]["from"].removeprefix("now-"))
    values: dict[str, list[str]] = {}
    for variable in tree["templating"].get("list", []):
        try:
            values[variable["name"]] = stores.values(variable, macros.Span(end - length, end, 15))
        except StoreError as error:
            say(f"  variable {variable['name']}: {error}")
            values[variable["name"]] = []
        if not values[variable["name"]]:
            say(f"  variable {variable['name']} has no value")
            values[variable["name"]] = ["nothing"]
    for annotation in tree["annotations"]["list"]:
        if "expr" in annotation:
            yield from _annotation(
                stores, tree, annotation, macros.Span(end - length, end, stores.scrape_seconds("prometheus")), say
            )
    for panel in macros.panels(tree):
        yield _panel(stores, tree, panel, (end - length, end), values, say)


def _annotation(
    stores: Stores, tree: Mapping[str, Any], annotation: Mapping[str, Any], span: macros.Span, say: Callable[[str], None]
) -> Iterator[Finding]:
    """An annotation may have nothing to tell, but not fail, and not ask for what nobody makes."""
    target = {"datasource": annotation["datasource"], "expr": annotation["expr"]}
    try:
        stores.ask(macros.question(target, {}, span, {}))
    except (StoreError, ValueError) as error:
        say(f"  FAILED   annotation {annotation['name']}: {error}")
        yield Finding(tree["uid"], f"annotation {annotation['name']}", "failed", 0.0, [str(error)])


def _panel(
    stores: Stores,
    tree: Mapping[str, Any],
    panel: Mapping[str, Any],
    window: tuple[float, float],
    values: macros.Values,
    say: Callable[[str], None],
) -> Finding:
    said, missing, states, longest = [], set[str](), [], 0.0
    for target in panel["targets"]:
        store = str(target["datasource"]["uid"]).removeprefix("crowsnest-")
        span = macros.Span(*window, stores.scrape_seconds(store))
        try:
            question = macros.question(target, panel, span, values)
            if store in ("prometheus", "mimir"):
                missing |= macros.metrics(question.text) - stores.metric_names(store) - set(ELSEWHERE) - {"ALERTS"}
            answer = stores.ask(question)
        except (StoreError, ValueError) as error:
            said.append(f"{store}: {error}")
            states.append("failed")
            continue
        longest = max(longest, answer.seconds)
        states.append("data" if answer.has_data else "empty")
        said.append(f"{store} {1000 * answer.seconds:.0f} ms  {question.text}\n             {answer.shown}")
    state = next((one for one in ("failed", "empty") if one in states), "data")
    if missing:
        state = "later" if missing <= set(LATER) else "empty"
        said.append("nobody makes " + ", ".join(f"{name}{_why(name)}" for name in sorted(missing)))
    say(f"  {'ok' if state == 'data' else state.upper():8} {panel['title']}")
    for line in said:
        say(f"             {line}")
    return Finding(tree["uid"], panel["title"], state, longest, said)


def _why(name: str) -> str:
    return f" ({LATER[name]})" if name in LATER else ""


def main() -> int:
    """0 when every panel has data, 1 when one has none, 2 when the stack cannot be asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--since", default="", help="length of the time range, such as 24h; without it each dashboard's own")
    options = parser.parse_args()
    try:
        settings = stack_settings.read(options.stack)
        client = docker.from_env(timeout=60)
        check = run(settings, client, macros.seconds(options.since) if options.since else 0)
    except (stack_settings.SettingsError, StoreError, ValueError, docker.errors.DockerException) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    for finding in check.findings:
        if finding.state in ("empty", "failed"):
            print(f"{finding.dashboard}: {finding.panel}: {finding.state}")
    return 0 if check.count("data") == check.asked else 1


if __name__ == "__main__":
    sys.exit(main())
