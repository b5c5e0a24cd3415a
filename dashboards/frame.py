"""What every dashboard has: rows that lead from a symptom to its cause, a grid without holes, variables, links, annotations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog import encoder
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import HEIGHTS, WIDTHS, Panel
from dashboards.queries import reference
from dashboards.rendering import rendered
from dashboards.vocabulary import Colour, VocabularyError

COLUMNS = 24
TAG = "crowsnest"
REFRESH = "30s"
SINCE = "now-1h"
# Links of Grafana begin at its own path below the gateway; this leads out of it, in a new tab, which is the browser's work.
OUT = "/.."
VIEWER_LOGS = f"{OUT}/logs?start=${{__from:date:iso}}&end=${{__to:date:iso}}"


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard: values of a label, rows of a query, or a text that is typed."""

    name: str
    label: str
    store: str = ""
    query: str = ""
    default: str = ""
    options: tuple[str, ...] = ()


PROCESS = Variable("process", "Process", "prometheus", 'label_values(up{plane!=""}, component)')
STRATEGY = Variable("strategy", "Strategy", "prometheus", "label_values(trading_orders_total, strategy)")
SYMBOL = Variable("symbol", "Symbol", "prometheus", "label_values(data_bars_received_total, symbol)")


@dataclass(frozen=True)
class Row:
    """Lines of panels under a heading that asks a question."""

    title: str
    lines: tuple[tuple[Panel, ...], ...]
    folded: bool = False


def row(title: str, *lines: tuple[Panel, ...]) -> Row:
    """A row that is open."""
    return Row(title, lines)


@dataclass(frozen=True)
class Dashboard:
    """One dashboard. `related` are the uids of those that a reader goes to next."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    related: tuple[str, ...] = ()
    since: str = SINCE
    refresh: str = REFRESH
    tags: tuple[str, ...] = ()

    @property
    def panels(self) -> list[Panel]:
        """All of them, in reading order."""
        return [panel for one in self.rows for line in one.lines for panel in line]

    def render(self, titles: dict[str, str]) -> dict[str, Any]:
        """The JSON that Grafana reads.

        Args:
            titles: of all dashboards, by uid.

        Raises:
            VocabularyError: a line that does not fill the grid, or a related dashboard that does not exist.
        """
        builder = build.Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG, *self.tags])
        builder.time(self.since, "now").refresh(self.refresh).timezone("browser").readonly()
        builder.tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        builder.variables([_variable(one) for one in self.variables])
        builder.annotations([_annotation(*one) for one in ANNOTATIONS])
        builder.links(list(self._links(titles)))
        made = builder.build()
        made.panels = list(self._placed())
        tree: dict[str, Any] = json.loads(json.dumps(made, cls=encoder.JSONEncoder))
        return tree

    def _placed(self) -> Iterator[dashboard.Panel | dashboard.RowPanel]:
        number, top = 0, 0
        for one in self.rows:
            number += 1
            place = dashboard.GridPos(h=1, w=COLUMNS, x=0, y=top)
            yield dashboard.RowPanel(id_val=number, title=one.title, collapsed=False, grid_pos=place, panels=[])
            top += 1
            for line in one.lines:
                height, left = max(HEIGHTS[panel.kind] for panel in line), 0
                for panel, width in zip(line, self._widths(line), strict=True):
                    number += 1
                    yield rendered(panel, number, dashboard.GridPos(h=height, w=width, x=left, y=top))
                    left += width
                top += height

    def _widths(self, line: tuple[Panel, ...]) -> list[int]:
        open_ones = [panel for panel in line if not panel.look.width]
        rest = COLUMNS - sum(panel.look.width for panel in line)
        share = rest // len(open_ones) if open_ones else 0
        widths = [panel.look.width or share for panel in line]
        if sum(widths) != COLUMNS or not set(widths) <= set(WIDTHS):
            where = f"{self.uid}: the line of {line[0].title!r}"
            raise VocabularyError(f"{where} has widths {widths}; they must be of {WIDTHS} and add up to {COLUMNS}")
        return widths

    def _links(self, titles: dict[str, str]) -> Iterator[build.DashboardLink]:
        for uid in self.related:
            if uid not in titles:
                raise VocabularyError(f"{self.uid}: there is no dashboard {uid!r} to link to")
            link = build.DashboardLink(titles[uid]).type(dashboard.DashboardLinkType.LINK).url(f"/d/{uid}")
            yield link.keep_time(True).include_vars(True).icon("dashboard")
        every = build.DashboardLink("All dashboards").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG])
        yield every.as_dropdown(True).keep_time(True)
        viewer = build.DashboardLink("Log viewer").type(dashboard.DashboardLinkType.LINK).url(VIEWER_LOGS)
        yield viewer.target_blank(True).icon("doc").tooltip("The records of this time range, in the viewer")


# Title, question, text, colour: what happened to everything at once.
ANNOTATIONS = (
    (
        "Kill switch",
        "max by (switch_type) (crowsnest:kill_switch_active) > 0",
        "kill switch {{switch_type}}",
        Colour.CRITICAL,
    ),
    (
        "Deploys and restarts",
        "changes(process_start_time_seconds[$__rate_interval]) > 0",
        "{{component}} was started",
        Colour.NEUTRAL,
    ),
    (
        "Outages",
        'max by (alertname, component) (ALERTS{alertstate="firing",alertname=~".*Down|ProbeFailed"})',
        "{{alertname}}: {{component}}",
        Colour.WARNING,
    ),
)


def _annotation(name: str, question: str, text: str, colour: Colour) -> build.AnnotationQuery:
    builder = build.AnnotationQuery().name(name).datasource(reference("prometheus")).enable(True).icon_color(colour.value)
    return builder.expr(question).title_format(name).text_format(text)


def _variable(one: Variable) -> Any:
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    if one.options:
        chosen = dashboard.VariableOption(selected=True, text=one.options[0], value=one.options[0])
        return build.CustomVariable(one.name).label(one.label).values(",".join(one.options)).current(chosen)
    if not one.store:
        text = dashboard.VariableOption(selected=True, text=one.default, value=one.default)
        return build.TextBoxVariable(one.name).label(one.label).default_value(one.default).current(text)
    builder = build.QueryVariable(one.name).label(one.label).datasource(reference(one.store))
    builder.query(_variable_query(one)).refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    builder.sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    return builder.multi(True).include_all(True).current(everything)


def _variable_query(one: Variable) -> str | dict[str, object]:
    if one.store in ("postgresql", "questdb"):
        return one.query
    return {"query": one.query, "refId": f"{one.name}Variable"}
