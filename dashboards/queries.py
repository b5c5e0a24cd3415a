"""Questions to the stores, each in its language, by the store's fixed uid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models import common, loki, prometheus

from infra.grafana import DATASOURCES, uid

Mode = Literal["range", "instant", "heatmap", "buckets", "table", "series", "lines", "stats", "stats_range"]


@dataclass(frozen=True)
class Query:
    """A question, how it is asked, and what its series are called."""

    store: str
    text: str
    legend: str = ""
    mode: Mode = "range"


def prom(text: str, legend: str = "") -> Query:
    """Prometheus, over time."""
    return Query("prometheus", text, legend)


def prom_now(text: str, legend: str = "") -> Query:
    """Prometheus, at the end of the time range."""
    return Query("prometheus", text, legend, "instant")


def prom_table(text: str) -> Query:
    """Prometheus, at the end of the time range, a row a series."""
    return Query("prometheus", text, mode="table")


def prom_heat(text: str) -> Query:
    """Buckets of a histogram over time."""
    return Query("prometheus", text, "{{le}}", "heatmap")


def prom_buckets(text: str) -> Query:
    """Buckets of a histogram over the whole time range."""
    return Query("prometheus", text, "{{le}}", "buckets")


def mimir(text: str, legend: str = "") -> Query:
    """Mimir, over time."""
    return Query("mimir", text, legend)


def mimir_now(text: str, legend: str = "") -> Query:
    """Mimir, at the end of the time range."""
    return Query("mimir", text, legend, "instant")


def mimir_table(text: str) -> Query:
    """Mimir, at the end of the time range, a row a series."""
    return Query("mimir", text, mode="table")


def loki_lines(text: str) -> Query:
    """Lines of Loki."""
    return Query("loki", text, mode="lines")


def loki_now(text: str, legend: str = "") -> Query:
    """A metric query of LogQL, at the end of the time range."""
    return Query("loki", text, legend, "instant")


def loki_rate(text: str, legend: str = "") -> Query:
    """A metric query of LogQL."""
    return Query("loki", text, legend)


def logs_lines(text: str) -> Query:
    """Records of VictoriaLogs."""
    return Query("victorialogs", text, mode="lines")


def logs_stats(text: str, legend: str = "") -> Query:
    """Statistics of VictoriaLogs over the whole time range."""
    return Query("victorialogs", text, legend, "stats")


def logs_over_time(text: str, legend: str = "") -> Query:
    """Statistics of VictoriaLogs over time."""
    return Query("victorialogs", text, legend, "stats_range")


def sql_table(text: str) -> Query:
    """Rows of the trading database."""
    return Query("postgresql", text, mode="table")


def sql_series(text: str) -> Query:
    """Series of the trading database: columns time, metric and value."""
    return Query("postgresql", text, mode="series")


def ticks_table(text: str) -> Query:
    """Rows of QuestDB."""
    return Query("questdb", text, mode="table")


def ticks_series(text: str) -> Query:
    """Series of QuestDB: columns time, metric and value."""
    return Query("questdb", text, mode="series")


def reference(store: str) -> common.DataSourceRef:
    """How a dashboard names a store."""
    return common.DataSourceRef(type_val=DATASOURCES[store].type, uid=uid(store))


class PlainQuery(variants.Dataquery):
    """A target of a plugin for which the SDK has no type."""

    def __init__(self, store: str, ref_id: str, **fields: object) -> None:
        self._fields = {"datasource": reference(store), "refId": ref_id, **fields}

    def to_json(self) -> dict[str, object]:
        """As Grafana reads it."""
        return self._fields


class Target(builder.Builder[variants.Dataquery]):
    """Builds the target of a panel."""

    def __init__(self, query: Query, ref_id: str) -> None:
        self._query = query
        self._ref_id = ref_id

    def build(self) -> variants.Dataquery:
        """The target in its store's own terms."""
        query = self._query
        make = {"prometheus": self._prometheus, "mimir": self._prometheus, "loki": self._loki, "victorialogs": self._logs}
        return make.get(query.store, self._sql)(query)

    def _prometheus(self, query: Query) -> variants.Dataquery:
        formats = {
            "heatmap": prometheus.PromQueryFormat.HEATMAP,
            "buckets": prometheus.PromQueryFormat.HEATMAP,
            "table": prometheus.PromQueryFormat.TABLE,
        }
        now = query.mode in ("instant", "table", "buckets")
        return prometheus.Dataquery(
            datasource=reference(query.store),
            expr=query.text,
            legend_format=query.legend or None,
            format_val=formats.get(query.mode, prometheus.PromQueryFormat.TIME_SERIES),
            instant=now,
            range_val=not now,
            editor_mode=prometheus.QueryEditorMode.CODE,
            ref_id=self._ref_id,
        )

    def _loki(self, query: Query) -> variants.Dataquery:
        return loki.Dataquery(
            datasource=reference(query.store),
            expr=query.text,
            legend_format=query.legend or None,
            query_type=(loki.LokiQueryType.INSTANT if query.mode == "instant" else loki.LokiQueryType.RANGE).value,
            editor_mode=loki.QueryEditorMode.CODE,
            ref_id=self._ref_id,
        )

    def _logs(self, query: Query) -> variants.Dataquery:
        kinds = {"lines": "instant", "stats": "stats", "stats_range": "statsRange"}
        legend = {"legendFormat": query.legend} if query.legend else {}
        lines = {"maxLines": 200} if query.mode == "lines" else {}
        kind = kinds[query.mode]
        return PlainQuery(query.store, self._ref_id, expr=query.text, queryType=kind, editorMode="code", **legend, **lines)

    def _sql(self, query: Query) -> variants.Dataquery:
        form = "time_series" if query.mode == "series" else "table"
        return PlainQuery(query.store, self._ref_id, rawSql=query.text, format=form, rawQuery=True, editorMode="code")
