"""Panels in the SDK's terms: which Grafana panel a kind is, and everything that all of its kind have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grafana_foundation_sdk.builders import bargauge as bargauge_builder
from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import dashboard as dashboard_builder
from grafana_foundation_sdk.builders import gauge as gauge_builder
from grafana_foundation_sdk.builders import heatmap as heatmap_builder
from grafana_foundation_sdk.builders import logs as logs_builder
from grafana_foundation_sdk.builders import piechart as piechart_builder
from grafana_foundation_sdk.builders import stat as stat_builder
from grafana_foundation_sdk.builders import statetimeline as statetimeline_builder
from grafana_foundation_sdk.builders import table as table_builder
from grafana_foundation_sdk.builders import timeseries as timeseries_builder
from grafana_foundation_sdk.models import common, dashboard, heatmap, piechart

from dashboards.panels import Column, Kind, Link, Panel
from dashboards.queries import Target, reference
from dashboards.vocabulary import NONE, Colour, State, alert_text, colours, steps

# Plugin and uid by which Grafana means: each target says itself where it asks.
MIXED = common.DataSourceRef(type_val="datasource", uid="-- Mixed --")
MIN_INTERVAL = "15s"


def rendered(panel: Panel, number: int, place: dashboard.GridPos) -> dashboard.Panel:
    """One panel at its place."""
    builder = _KINDS[panel.kind](panel)
    stores = {query.store for query in panel.queries}
    builder.id(number).title(panel.title).description(
        " ".join(filter(None, [panel.description, alert_text(panel.look.alerts + panel.look.about)]))
    )
    builder.grid_pos(place)
    builder.datasource(reference(stores.pop()) if len(stores) == 1 else MIXED)
    for index, query in enumerate(panel.queries):
        builder.with_target(Target(query, chr(ord("A") + index)))
    if panel.kind != "lines":
        _field_options(builder, panel)
    for transformation in _transformations(panel):
        builder.with_transformation(transformation)
    made: dashboard.Panel = builder.build()
    return made


def _field_options(builder: Any, panel: Panel) -> None:
    builder.unit(panel.unit.value).thresholds(_thresholds(panel))
    # A panel without a value says so.
    builder.no_value("none")
    if panel.look.low is not None:
        builder.min(panel.look.low)
    if panel.look.high is not None:
        builder.max(panel.look.high)
    if panel.look.decimals is not None:
        builder.decimals(panel.look.decimals)
    if panel.look.states:
        builder.mappings([_mapping(panel.look.states)])
    if panel.look.links:
        builder.data_links([_link(link) for link in panel.look.links])
    if panel.kind in ("chart", "bars", "pie", "ranking"):
        for name, colour in colours([query.legend for query in panel.queries]).items():
            builder.override_by_name(name, [dashboard.DynamicConfigValue("color", _fixed(colour))])
    for name, column in panel.look.columns.items():
        builder.override_by_name(name, _column(column))


def _fixed(colour: Colour) -> dict[str, str]:
    return {"mode": dashboard.FieldColorModeId.FIXED.value, "fixedColor": colour.value}


def _column(column: Column) -> list[dashboard.DynamicConfigValue]:
    values: list[tuple[str, Any]] = [("unit", column.unit.value)]
    if column.title:
        values.append(("displayName", column.title))
    if column.link:
        values.append(("links", [{"title": column.link.title, "url": column.link.url, "targetBlank": True}]))
    if column.states:
        values.append(("mappings", [_mapping(column.states)]))
        values.append(("custom.cellOptions", {"type": "color-text"}))
    return [dashboard.DynamicConfigValue(name, value) for name, value in values]


def _thresholds(panel: Panel) -> dashboard_builder.ThresholdsConfig:
    chosen = steps(panel.look.alerts) if panel.look.alerts else NONE
    return dashboard_builder.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(
        [dashboard.Threshold(value=step.value, color=step.colour.value) for step in chosen]
    )  # fmt: skip


def _mapping(states: Any) -> dashboard.ValueMap:
    chosen: dict[int, State] = dict(states)
    return dashboard.ValueMap(
        options={
            str(value): dashboard.ValueMappingResult(text=state.text, color=state.colour.value, index=index)
            for index, (value, state) in enumerate(sorted(chosen.items()))
        }
    )


def _link(link: Link) -> dashboard_builder.DashboardLink:
    return dashboard_builder.DashboardLink(link.title).url(link.url).target_blank(True)


def _transformations(panel: Panel) -> list[dashboard.DataTransformerConfig]:
    made = []
    if panel.look.join:
        made.append(
            dashboard.DataTransformerConfig(id_val="joinByField", options={"byField": panel.look.join, "mode": "outer"})
        )
    if panel.look.hide:
        excluded = dict.fromkeys(panel.look.hide, True)
        made.append(dashboard.DataTransformerConfig(id_val="organize", options={"excludeByName": excluded}))
    return made


def _legend(panel: Panel) -> build.VizLegendOptions:
    legend = build.VizLegendOptions().placement(common.LegendPlacement.BOTTOM).show_legend(True)
    if len(panel.queries) > 1 or "{{" in "".join(query.legend for query in panel.queries):
        return legend.display_mode(common.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
    return legend.display_mode(common.LegendDisplayMode.LIST)


def _tooltip() -> build.VizTooltipOptions:
    return build.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)


def _reduced(*, values: bool = False) -> build.ReduceDataOptions:
    return build.ReduceDataOptions().calcs(["lastNotNull"]).values(values)


def _chart(panel: Panel) -> Any:
    builder = timeseries_builder.Panel().legend(_legend(panel)).tooltip(_tooltip()).interval(MIN_INTERVAL)
    builder.line_width(1).fill_opacity(10).show_points(common.VisibilityMode.NEVER).span_nulls(False)
    builder.color_scheme(dashboard_builder.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    if panel.look.stacked:
        builder.fill_opacity(30).stacking(build.StackingConfig().mode(common.StackingMode.NORMAL))
    if panel.look.alerts:
        builder.thresholds_style(build.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    return builder


def _bars(panel: Panel) -> Any:
    return _chart(panel).draw_style(common.GraphDrawStyle.BARS).fill_opacity(60).line_width(0)


def _stat(panel: Panel) -> Any:
    coloured = panel.look.alerts or panel.look.states
    builder = stat_builder.Panel().reduce_options(_reduced()).text_mode(common.BigValueTextMode.AUTO)
    builder.color_mode(common.BigValueColorMode.BACKGROUND if coloured else common.BigValueColorMode.VALUE)
    builder.graph_mode(common.BigValueGraphMode.NONE if panel.look.states else common.BigValueGraphMode.AREA)
    return builder.color_scheme(dashboard_builder.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))


def _gauge(_: Panel) -> Any:
    builder = gauge_builder.Panel().reduce_options(_reduced()).show_threshold_markers(True)
    return builder.color_scheme(dashboard_builder.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))


def _ranking(panel: Panel) -> Any:
    # A table has a bar for each of its rows, series have one for their last value.
    rows = any(query.mode == "table" for query in panel.queries)
    builder = bargauge_builder.Panel().reduce_options(_reduced(values=rows)).orientation(common.VizOrientation.HORIZONTAL)
    builder.display_mode(common.BarGaugeDisplayMode.BASIC).value_mode(common.BarGaugeValueMode.COLOR)
    mode = dashboard.FieldColorModeId.THRESHOLDS if panel.look.alerts else dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME
    return builder.color_scheme(dashboard_builder.FieldColor().mode(mode))


def _buckets(_: Panel) -> Any:
    builder = bargauge_builder.Panel().reduce_options(_reduced()).orientation(common.VizOrientation.VERTICAL)
    builder.display_mode(common.BarGaugeDisplayMode.BASIC).value_mode(common.BarGaugeValueMode.COLOR)
    return builder.color_scheme(dashboard_builder.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))


def _heat(panel: Panel) -> Any:
    builder = heatmap_builder.Panel().calculate(False).interval(MIN_INTERVAL)
    builder.color(heatmap_builder.HeatmapColorOptions().mode(heatmap.HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
    return builder.y_axis(heatmap_builder.YAxisConfig().unit(panel.unit.value).axis_placement(common.AxisPlacement.LEFT))


def _pie(_: Panel) -> Any:
    builder = piechart_builder.Panel().reduce_options(_reduced()).pie_type(piechart.PieChartType.DONUT)
    legend = piechart_builder.PieChartLegendOptions().show_legend(True).placement(common.LegendPlacement.RIGHT)
    legend.display_mode(common.LegendDisplayMode.TABLE)
    builder.legend(legend.values([piechart.PieChartLegendValues.VALUE, piechart.PieChartLegendValues.PERCENT]))
    return builder.color_scheme(dashboard_builder.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))


def _states(_: Panel) -> Any:
    builder = statetimeline_builder.Panel().merge_values(True).row_height(0.8).show_value(common.VisibilityMode.AUTO)
    builder.legend(build.VizLegendOptions().show_legend(False)).interval(MIN_INTERVAL)
    return builder.color_scheme(dashboard_builder.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))


def _table(_: Panel) -> Any:
    return table_builder.Panel().show_header(True).cell_height(common.TableCellHeight.SM).filterable(True)


def _lines(_: Panel) -> Any:
    builder = logs_builder.Panel().show_time(True).wrap_log_message(True).enable_log_details(True)
    return builder.sort_order(common.LogsSortOrder.DESCENDING)


_KINDS: dict[Kind, Callable[[Panel], Any]] = {
    "chart": _chart,
    "bars": _bars,
    "stat": _stat,
    "gauge": _gauge,
    "ranking": _ranking,
    "buckets": _buckets,
    "heat": _heat,
    "pie": _pie,
    "states": _states,
    "table": _table,
    "lines": _lines,
}
