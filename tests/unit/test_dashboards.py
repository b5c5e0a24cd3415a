"""Dashboards: what is committed is what Python makes, the linter's rules, the grid, the SDK's types, the vocabulary."""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import re
import types
import typing
from pathlib import Path
from posixpath import normpath
from typing import Any

import pytest
from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import dashboard as models

from dashboards import rendering, vocabulary
from dashboards.__main__ import files
from dashboards.catalogue import DASHBOARDS
from dashboards.frame import COLUMNS, VocabularyError, row
from dashboards.panels import HEIGHTS, WIDTHS, Look, stat
from dashboards.queries import prom_now
from dashboards.vocabulary import Colour, Step, Unit, bounds, steps
from infra import grafana
from infra.gateway import TOOLS
from infra.settings import Metrics
from scripts import grafana_check, rules
from scripts import grafana_macros as macros

plugins.register_default_plugins()
TREES = {path.stem: json.loads(text) for path, text in files().items()}
PANELS = [(uid, panel) for uid, tree in TREES.items() for panel in macros.panels(tree)]
PANEL_NAMES = [f"{uid}: {panel['title']}" for uid, panel in PANELS]
MOST_PANELS = 25
# Panel plugins that Grafana has given up, or that only exist for dashboards of long ago.
DEPRECATED = {
    "graph",
    "singlestat",
    "table-old",
    "grafana-piechart-panel",
    "grafana-worldmap-panel",
    "heatmap-new",
    "natel-plotly-panel",
}
USED = {"timeseries", "stat", "gauge", "bargauge", "heatmap", "piechart", "state-timeline", "table", "logs"}
# Alerts that no panel can show, since nothing makes their metric yet, or it has no number.
SHOWN_NOWHERE = {
    "MetricsDisagreeWithDatabase": "nothing writes crowsnest_reconcile_difference_ratio",
}
every_dashboard = pytest.mark.parametrize("uid", TREES)
every_panel = pytest.mark.parametrize(("uid", "panel"), PANELS, ids=PANEL_NAMES)


def seconds(text: str) -> int:
    return macros.seconds(text)


# What is committed


def test_what_is_committed_is_what_python_makes() -> None:
    made = files()
    assert {path.name: path.read_text(encoding="utf-8") for path in grafana.DASHBOARDS.glob("*.json")} == {
        path.name: text for path, text in made.items()
    }, "run `make docs`"


def test_every_dashboard_that_was_asked_for_is_there() -> None:
    titles = {tree["title"] for tree in TREES.values()}
    assert titles >= {
        *("Trading Overview", "Risk Metrics", "Execution Quality", "ML Model Performance"),
        *("Data plane", "Order plane", "Strategy plane", "Strategy latency", "Price", "Logs", "Order lifecycle"),
        *("Feed health", "Reconciliation", "Pipeline health and loss ledger", "Alerting health", "Containers and host"),
        *("Capacity and retention", "Backups and drift"),
    }


@pytest.mark.parametrize(
    ("uid", "titles"),
    [
        ("crowsnest-trading", ("Equity over time", "Daily P&L", "Open positions", "Order success rate")),
        ("crowsnest-risk", ("Day trades used (PDT)", "Circuit breakers tripped", "Kill switches", "Drawdown over time")),
        ("crowsnest-execution", ("Slippage histogram", "Fill latency histogram", "Order types")),
        ("crowsnest-model", ("Accuracy", "Drift (PSI)", "Feature importance", "Prediction confidence distribution")),
    ],
)
def test_the_panels_of_the_source_are_there(uid: str, titles: tuple[str, ...]) -> None:
    assert set(titles) <= {panel["title"] for panel in macros.panels(TREES[uid])}


# The linter


@every_panel
def test_a_question_has_a_unit(uid: str, panel: dict[str, Any]) -> None:
    if panel["type"] != "logs":
        unit = panel["fieldConfig"]["defaults"]["unit"]
        assert unit in {one.value for one in Unit}


@every_panel
def test_no_panel_is_of_a_deprecated_type(uid: str, panel: dict[str, Any]) -> None:
    assert panel["type"] in USED - DEPRECATED


@every_panel
def test_a_panel_says_what_it_means(uid: str, panel: dict[str, Any]) -> None:
    assert re.match(r"^[A-Z0-9`].{9,}[.]$", panel["description"], re.DOTALL)
    assert panel["title"]


@every_panel
def test_a_datasource_is_named_by_its_uid_and_never_by_an_address(uid: str, panel: dict[str, Any]) -> None:
    known = {grafana.uid(name): one.type for name, one in grafana.DATASOURCES.items()}
    for target in panel["targets"]:
        assert known[target["datasource"]["uid"]] == target["datasource"]["type"]
    stores = {target["datasource"]["uid"] for target in panel["targets"]}
    expected = stores if len(stores) == 1 else {"-- Mixed --"}
    assert {panel["datasource"]["uid"]} == expected
    assert not re.search(r"https?://", json.dumps(panel))


@every_panel
def test_every_question_can_be_filled_in(uid: str, panel: dict[str, Any]) -> None:
    """A variable that the dashboard does not have, or a macro that nobody knows, is an error here."""
    chosen = {one["name"]: ["some"] for one in TREES[uid]["templating"].get("list", [])}
    for target in panel["targets"]:
        asked = macros.question(target, panel, macros.Span(0, 3600, 15), chosen)
        assert asked.text


@every_panel
def test_questions_of_a_panel_have_letters_of_their_own(uid: str, panel: dict[str, Any]) -> None:
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == sorted(set(letters))


@every_dashboard
def test_every_variable_is_used(uid: str) -> None:
    asked = json.dumps([panel["targets"] for panel in macros.panels(TREES[uid])])
    for variable in TREES[uid]["templating"].get("list", []):
        assert re.search(rf"\$\{{?{variable['name']}\b", asked), variable["name"]


@every_dashboard
def test_a_dashboard_can_be_taken_in(uid: str) -> None:
    assert 1 <= len(list(macros.panels(TREES[uid]))) <= MOST_PANELS


@every_dashboard
def test_nothing_is_asked_more_often_than_there_are_samples(uid: str) -> None:
    assert seconds(TREES[uid]["refresh"]) >= Metrics().scrape_seconds
    for panel in macros.panels(TREES[uid]):
        assert "interval" not in panel or seconds(panel["interval"]) >= Metrics().scrape_seconds


@every_dashboard
def test_titles_of_a_dashboard_differ(uid: str) -> None:
    titles = [panel["title"] for panel in TREES[uid]["panels"]]
    assert len(titles) == len(set(titles))


def test_uids_are_those_of_the_alerts_links() -> None:
    assert {alert.dashboard for alert in rules.alerts()} <= set(TREES)
    assert all(path.stem == tree["uid"] for path, tree in zip(files(), TREES.values(), strict=True))
    assert all(8 <= len(uid) <= 40 for uid in TREES)


# The grid


@every_dashboard
def test_the_grid_has_no_overlap_and_no_hole(uid: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    bottom = 0
    for panel in TREES[uid]["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken[x, y]}"
                taken[x, y] = panel["title"]
        bottom = max(bottom, place["y"] + place["h"])
    assert len(taken) == COLUMNS * bottom


@every_panel
def test_sizes_are_of_a_small_set(uid: str, panel: dict[str, Any]) -> None:
    assert panel["gridPos"]["w"] in WIDTHS
    assert panel["gridPos"]["h"] in set(HEIGHTS.values())


@every_dashboard
def test_rows_tell_a_story_from_the_symptom_to_the_cause(uid: str) -> None:
    """Each row asks a question; the first is answered by numbers at a glance."""
    panels = TREES[uid]["panels"]
    rows = [index for index, panel in enumerate(panels) if panel["type"] == "row"]
    assert rows[0] == 0
    assert all(panels[index]["title"].endswith("?") for index in rows)
    assert len(rows) >= 2
    glance = {"timeseries"} if uid == "crowsnest-ticks" else {"stat", "gauge", "table"}
    assert panels[1]["type"] in glance


def test_a_line_that_does_not_fill_the_grid_is_refused() -> None:
    panel = stat("Half", "Only half of a line.", Unit.COUNT, prom_now("up"), look=Look(width=12))
    half = type(DASHBOARDS[0])(uid="crowsnest-half", title="Half", description="-", rows=(row("Why?", (panel,)),))
    with pytest.raises(VocabularyError, match="add up to 24"):
        half.render({"crowsnest-half": "Half"})


# Links and annotations


@every_dashboard
def test_links_lead_to_dashboards_that_exist(uid: str) -> None:
    links = [one for one in TREES[uid]["links"] if one.get("url", "").startswith("/d/")]
    assert {one["url"].removeprefix("/d/") for one in links} <= set(TREES) - {uid}
    assert links


@every_dashboard
def test_the_viewer_is_one_click_away(uid: str) -> None:
    (viewer,) = (one for one in TREES[uid]["links"] if one["title"] == "Log viewer")
    path = viewer["url"].split("?")[0]
    # Grafana puts its own path before it, and the browser takes it away again.
    assert normpath(TOOLS[grafana.NAME].path + path) == "/logs"
    assert viewer["targetBlank"] is True


def test_links_of_values_leave_grafana_in_a_tab_of_their_own() -> None:
    for panel in (panel for _, panel in PANELS):
        for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", []):
            assert link["targetBlank"] is True
            assert link["url"].startswith("/../")


@every_dashboard
def test_what_happened_to_everything_is_marked(uid: str) -> None:
    marks = {one["name"]: one for one in TREES[uid]["annotations"]["list"]}
    assert {"Kill switch", "Deploys and restarts", "Outages"} <= set(marks)
    assert all(one["enable"] and one["datasource"]["uid"] == grafana.uid("prometheus") for one in marks.values())


# The SDK's types


def accepts(kind: Any, value: Any) -> bool:
    """Whether a value is of an annotated type, as far as the SDK says."""
    if kind in (Any, object) or isinstance(kind, (str, typing.ForwardRef, typing.TypeVar)):
        return True
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(accepts(one, value) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(accepts(arguments[0], one) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(accepts(arguments[1], one) for one in value.values())
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        return value in {one.value for one in kind} or isinstance(value, kind)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not inspect.isclass(kind) or isinstance(value, (kind, dict))


def wrong_types(thing: Any, where: str, seen: list[str]) -> None:
    """Every attribute of the SDK's objects against its annotation, at any depth."""
    if isinstance(thing, list):
        for number, one in enumerate(thing):
            wrong_types(one, f"{where}[{number}]", seen)
    elif type(thing).__module__.startswith("grafana_foundation_sdk.models"):
        space = vars(importlib.import_module(type(thing).__module__))
        hints = typing.get_type_hints(type(thing), space)
        for name, value in vars(thing).items():
            if value is not None and name in hints and not accepts(hints[name], value):
                seen.append(f"{where}.{name}: {value!r} is no {hints[name]}")
            wrong_types(value, f"{where}.{name}", seen)


@every_dashboard
def test_the_schema_knows_every_key_and_every_type(uid: str) -> None:
    """Read into the SDK's classes, which are made from Grafana's schema, and written again: what it does not know is lost."""
    tree = json.loads(json.dumps(TREES[uid]))
    for panel in tree["panels"]:
        if panel.get("datasource", {}).get("uid") == "-- Mixed --":
            del panel["datasource"]  # the SDK would take all targets for those of one store
    read = models.Dashboard.from_json(tree)
    assert json.loads(json.dumps(read, cls=encoder.JSONEncoder)) == tree
    seen: list[str] = []
    wrong_types(read, uid, seen)
    assert not seen


def test_a_key_that_grafana_does_not_know_is_found() -> None:
    tree = json.loads(json.dumps(TREES["crowsnest-risk"]))
    tree["panels"][1]["fieldConfig"]["defaults"]["units"] = "s"
    assert json.loads(json.dumps(models.Dashboard.from_json(tree), cls=encoder.JSONEncoder)) != tree


def test_a_value_of_a_wrong_type_is_found() -> None:
    tree = json.loads(json.dumps(TREES["crowsnest-risk"]))
    tree["panels"][1]["gridPos"]["w"] = "wide"
    seen: list[str] = []
    wrong_types(models.Dashboard.from_json(tree), "risk", seen)
    assert seen == ["risk.panels[1].grid_pos.w: 'wide' is no <class 'int'>"]


# The vocabulary


def test_every_alert_is_explained_on_its_dashboard() -> None:
    shown: dict[str, set[str]] = {}
    for one in DASHBOARDS:
        for panel in one.panels:
            for name in panel.look.alerts + panel.look.about:
                shown.setdefault(name, set()).add(one.uid)
    lacking = {alert.name for alert in rules.alerts() if alert.dashboard not in shown.get(alert.name, ())}
    assert lacking == set(SHOWN_NOWHERE)


@pytest.mark.parametrize("name", sorted(bounds()))
def test_colours_change_where_the_alert_fires(name: str) -> None:
    (alert,) = (one for one in rules.alerts() if one.name == name)
    made = steps((name,))
    values = [step.value for step in made if step.value is not None]
    for bound, value in zip(sorted({one.value for one in alert.bounds.values()}), values, strict=True):
        assert value == pytest.approx(bound, abs=2e-6)
        just, beyond = (bound - 0.01, bound + 0.01) if bound == 0 else (bound - abs(bound) * 1e-3, bound + abs(bound) * 1e-3)
        below, above = colour_at(made, just), colour_at(made, beyond)
        assert (below == Colour.GOOD) != (above == Colour.GOOD)


def colour_at(made: tuple[Step, ...], value: float) -> Colour:
    return [step.colour for step in made if step.value is None or value >= step.value][-1]


def test_zero_is_well_where_an_alert_fires_above_it() -> None:
    assert colour_at(steps(("OrderStuck",)), 0) == Colour.GOOD
    assert colour_at(steps(("TargetDown",)), 0) != Colour.GOOD
    assert colour_at(steps(("TargetDown",)), 1) == Colour.GOOD


def test_the_worst_bound_has_the_darkest_colour() -> None:
    assert [step.colour for step in steps(("DailyLossWarning", "DailyLossCritical", "DailyLossBreaker"))] == [
        *(Colour.BREAKER, Colour.CRITICAL, Colour.WARNING, Colour.GOOD)
    ]
    assert [step.colour for step in steps(("DrawdownWarning", "DrawdownCritical", "DrawdownBreaker"))] == [
        *(Colour.GOOD, Colour.WARNING, Colour.CRITICAL, Colour.BREAKER)
    ]


def test_alerts_of_two_directions_are_refused() -> None:
    with pytest.raises(VocabularyError, match="two directions"):
        steps(("DailyLossWarning", "DrawdownWarning"))
    with pytest.raises(VocabularyError, match="no alert"):
        steps(("Nonsense",))


def test_thresholds_stand_in_no_dashboard() -> None:
    """They come from alerts; a panel without alerts has none."""
    for _, panel in PANELS:
        if panel["type"] == "logs":
            continue
        made = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        if "Alert " not in panel["description"]:
            assert made == [{"value": None, "color": Colour.NEUTRAL.value}]


def test_a_name_has_its_colour_everywhere() -> None:
    found: dict[str, set[str]] = {}
    for _, panel in PANELS:
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            for one in override["properties"]:
                if one["id"] == "color":
                    found.setdefault(override["matcher"]["options"], set()).add(one["value"]["fixedColor"])
    assert found
    assert {name: colours for name, colours in found.items() if len(colours) > 1} == {}


def test_a_metric_has_its_unit_everywhere() -> None:
    """Where a panel shows a metric as it is, and not what a function makes of it."""
    units: dict[str, set[str]] = {}
    for _, panel in PANELS:
        for target in panel["targets"]:
            plain = re.fullmatch(r"(?:sum|max|min)(?: by \([^)]*\))? ?\(([a-z_:0-9]+)\{[^}]*\}\)", target.get("expr", ""))
            if plain:
                units.setdefault(plain[1], set()).add(panel["fieldConfig"]["defaults"]["unit"])
    assert len(units) > 20
    assert {name: found for name, found in units.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("suffix", "units"),
    [
        ("_seconds", {Unit.SECONDS}),
        ("_usd", {Unit.DOLLARS}),
        ("_dollars", {Unit.DOLLARS}),
        ("_pct", {Unit.PERCENT}),
        ("_us", {Unit.MICROSECONDS}),
        ("_bytes", {Unit.BYTES}),
    ],
)
def test_the_unit_is_the_one_in_the_name(suffix: str, units: set[Unit]) -> None:
    seen = 0
    for uid, panel in PANELS:
        for target in panel["targets"]:
            plain = re.fullmatch(r"(?:sum|max|min)(?: by \([^)]*\))? ?\(([a-z_:0-9]+)(\{[^}]*\})?\)", target.get("expr", ""))
            if plain and plain[1].endswith(suffix):
                seen += 1
                assert panel["fieldConfig"]["defaults"]["unit"] in units, f"{uid}: {panel['title']}"
    assert seen


def test_every_kind_of_panel_is_rendered() -> None:
    assert set(rendering._KINDS) == set(HEIGHTS)
    assert set(vocabulary.SEVERITIES) == {alert.row["severity"] for alert in rules.alerts()}


# What Grafana makes of a question


def asked(text: str, store: str = "prometheus", **fields: object) -> str:
    span = macros.Span(1_000_000_000, 1_000_003_600, 15)
    target = {"datasource": {"uid": grafana.uid(store), "type": grafana.DATASOURCES[store].type}, **fields}
    target |= {"queryType": "range"} if store in ("loki", "victorialogs") else {}
    target |= {"rawSql": text, "format": "table"} if store in ("postgresql", "questdb") else {"expr": text}
    return macros.question(target, {}, span, {"one": ["a.b"], "many": ["x", "y'z"]}).text


def test_intervals_are_those_of_grafana() -> None:
    assert asked("rate(a[$__rate_interval])") == "rate(a[60s])"
    assert asked("increase(a[$__range])") == "increase(a[3600s])"
    assert asked("count_over_time({a=`b`} [$__interval])", "loki") == "count_over_time({a=`b`} [15s])"


def test_variables_are_written_as_each_language_wants_them() -> None:
    assert asked('a{b=~"$one"}') == r'a{b=~"a\\.b"}'
    assert asked('a{b=~"$many"}') == 'a{b=~"(x|y\'z)"}'
    assert asked("b IN (${many:sqlstring})", "postgresql") == "b IN ('x','y''z')"
    assert asked("$one | stats count()", "victorialogs") == "a.b | stats count()"


def test_sql_macros_are_those_of_grafana() -> None:
    assert asked("$__timeFilter(time)", "postgresql") == "time BETWEEN '2001-09-09T01:46:40Z' AND '2001-09-09T02:46:40Z'"
    assert asked("$__timeGroup(time, '1m')", "postgresql") == "floor(extract(epoch from time)/60)*60"
    assert asked("SAMPLE BY $__interval_msT", "questdb") == "SAMPLE BY 15000T"


def test_a_macro_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\$__unknown is filled in by nobody"):
        asked("a[$__unknown]")


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (le) (rate(a_bucket{x="y"}[5m]))', {"a_bucket"}),
        ("a / on () group_left () (b > 0) or vector(0)", {"a", "b"}),
        (
            'count(up{plane=~"x"} == 1 unless on (component) {__name__=~"(trading|strategy)_kill"})',
            {"up", "trading_kill", "strategy_kill"},
        ),
        ('label_replace(sum by (s) (a:b:rate5m), "x", "$1", "s", "(.*)")', {"a:b:rate5m"}),
        ("predict_linear(a[6h], 24 * 3600)", {"a"}),
    ],
)
def test_the_metrics_of_a_question_are_found(expression: str, names: set[str]) -> None:
    assert macros.metrics(expression) == names


def test_generated_files_are_where_the_stack_looks() -> None:
    assert {path.parent for path in files()} == {grafana.DASHBOARDS}
    assert Path(grafana.DASHBOARDS).is_dir()


def test_for_a_real_grafana_every_variable_is_everything() -> None:
    """What the browser would fill in before it asks."""
    for uid, panel in PANELS:
        variables = TREES[uid]["templating"].get("list", [])
        for target in panel["targets"]:
            text = json.dumps(grafana_check.filled(target, variables))
            assert not any(re.search(rf"\$\{{?{one['name']}\b", text) for one in variables), text
